"""Photos turned by known angles, for what looks for faces in them."""

from __future__ import annotations

import math

import cv2
import numpy as np


def turned(
    pixels: np.ndarray, angle: float, border: int = cv2.BORDER_REPLICATE
) -> tuple[np.ndarray, np.ndarray]:
    """The photo turned anticlockwise on a canvas that holds it all, and the map from old to new pixels."""
    height, width = pixels.shape[:2]
    cosine, sine = (abs(f(math.radians(angle))) for f in (math.cos, math.sin))
    size = (round(width * cosine + height * sine), round(width * sine + height * cosine))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
    matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
    return cv2.warpAffine(pixels, matrix, size, borderMode=border), matrix
