"""Painted faces in place of photographs, for stages that learn from single images: no file, no person."""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.training.data.crops import FaceCrop
from stylegan_swap.training.data.photos import Photos


def painted_photos(count: int = 6, side: int = 64, seed: int = 0) -> Photos:
    """Ovals on coloured grounds, each of a person of its own, with points where a face would have them."""
    draws = np.random.default_rng(seed)
    crops = []
    for number in range(count):
        ground, skin = draws.integers(0, 256, (2, 3)).tolist()
        image = np.full((side, side, 3), ground, np.uint8)
        centre, axes = (side // 2, side // 2), (round(0.28 * side), round(0.36 * side))
        cv2.ellipse(image, centre, axes, 0, 0, 360, skin, -1)
        for x in (0.4, 0.6):
            cv2.circle(image, (round(x * side), round(0.47 * side)), max(1, side // 24), (20, 20, 20), -1)
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
        angle = np.linspace(0, np.pi, 68)
        points = side * np.stack([0.5 - 0.28 * np.cos(angle), 0.5 + 0.36 * np.sin(angle)], 1)
        crops.append(
            FaceCrop(
                name=f"{number}.jpg",
                person=f"person {number}",
                expression="",
                source="painted",
                sharp_side=float(side),
                glasses=False,
                side=side,
                landmarks=points.astype(np.float32),
                jpeg=jpeg,
            )
        )
    return Photos(crops)
