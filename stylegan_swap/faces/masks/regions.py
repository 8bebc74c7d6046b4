"""Lips, nose, brows and eyes as masks from the 68 landmarks, for methods trained with parsing maps."""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import INNER_LIPS, LEFT_EYE, RIGHT_EYE
from stylegan_swap.faces.masks.mask import fill_polygon

OUTER_LIPS = slice(48, 60)
RIGHT_BROW, LEFT_BROW = slice(17, 22), slice(22, 27)
BRIDGE, NOSTRILS = slice(27, 31), slice(31, 36)
# Thickness of a brow and width of the bridge of the nose, as a share of the distance between the eyes.
BROW, NOSE = 0.16, 0.30
DRAWN = 256


def region_masks(landmarks: np.ndarray, size: int, side: int = 64) -> np.ndarray:
    """Draw the regions.

    ``landmarks``: ``[68, 2]`` in pixels of a crop; ``size``: side of the crop; ``side``: side of the masks,
    at most 256. Returns float32 ``[4, side, side]``, 0 and 1: lips (without the open mouth), nose, brows,
    eyes.
    """
    points = (np.asarray(landmarks, np.float32) + 0.5) * (DRAWN / size) - 0.5
    eyes = [points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0)]
    eye_distance = float(np.linalg.norm(eyes[0] - eyes[1]))
    across = (eyes[1] - eyes[0]) / max(eye_distance, 1e-6)
    bridge, nostrils = points[BRIDGE], points[NOSTRILS]
    # Widening from the root to the wings; half of each width to either side.
    half = NOSE * eye_distance / 2 * np.linspace(0.5, 1.0, len(bridge))[:, None] * across
    outline = np.concatenate([bridge - half, nostrils, bridge + half]).astype(np.float32)
    lips = fill_polygon(points[OUTER_LIPS], DRAWN) * (fill_polygon(points[INNER_LIPS], DRAWN) < 0.5)
    nose = fill_polygon(cv2.convexHull(outline).reshape(-1, 2), DRAWN)
    brows = np.maximum(
        _stroke(points[RIGHT_BROW], BROW * eye_distance), _stroke(points[LEFT_BROW], BROW * eye_distance)
    )
    lids = fill_polygon(np.stack([points[LEFT_EYE], points[RIGHT_EYE]]), DRAWN)
    masks = (np.stack([lips, nose, brows, lids]) > 0.5).astype(np.float32)
    # Like the published label maps: samples, not means, so that masks stay 0 and 1.
    picks = (np.arange(side) * DRAWN) // side
    return masks[:, picks][:, :, picks]


def _stroke(points: np.ndarray, width: float) -> np.ndarray:
    canvas = np.zeros((DRAWN, DRAWN), np.uint8)
    line = np.round(points).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(canvas, [line], False, 255, max(1, round(width)))
    return canvas.astype(np.float32) / 255
