"""Gaussian blurs whose cost does not grow with their width, and the octaves of a picture between them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

_REDUCED_SIGMA = 2.0  # pixels of blur that remain after shrinking; below twice that nothing is shrunk


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur a picture; wide blurs on a smaller copy, which costs a hundredth of the contrast in accuracy.

    Args:
        image: float32 ``[H, W]`` or ``[H, W, C]``.
        sigma: standard deviation in pixels; 0 gives the picture itself.
    """
    if sigma == 0:
        return image
    height, width = image.shape[:2]
    step = sigma / _REDUCED_SIGMA
    size = math.ceil(width / step), math.ceil(height / step)
    if step < 2 or min(size) < 8:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    # What averaging over a pixel of the copy and drawing straight lines between them blur by themselves.
    sigma_x = math.sqrt((sigma * size[0] / width) ** 2 - 0.25)
    sigma_y = math.sqrt((sigma * size[1] / height) ** 2 - 0.25)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    # About the picture's edge, as a true blur mirrors it; about a pixel's centre would be half a pixel off.
    small = cv2.GaussianBlur(small, (0, 0), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def octaves(image: np.ndarray, sigmas: Sequence[float]) -> list[np.ndarray]:
    """Split a picture into the bands between Gaussians; their sum is what the last one takes away.

    ``image``: float32 ``[H, W]`` or ``[H, W, C]``; ``sigmas``: standard deviations in pixels, ascending.
    Returns one picture about 0 for each pair of neighbours.
    """
    bands: list[np.ndarray] = []
    finer = blurred(image, sigmas[0])
    for sigma in sigmas[1:]:
        coarser = blurred(image, sigma)
        bands.append(finer - coarser)
        finer = coarser
    return bands
