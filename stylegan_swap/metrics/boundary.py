"""The seam: gradients along the mask's edge, in the result against the attribute photo.

Formula and calibration: ``docs/evaluation/image.md``.
"""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.metrics.background import swap_mask
from stylegan_swap.metrics.sample import Column, Sample

# The aligned crop's side; all lengths below are its pixels.
SCALE = 256
# The edge is where the method takes half of each picture: there a feathered blend is steepest.
LEVEL = 0.5
HALF_WIDTH = 4.0  # px
# Derivatives of a Gaussian this wide see a seam of one pixel and hardly the grain of the photo.
SIGMA = 1.5  # px
# Grey levels per pixel, about the gradient of evenly lit skin; keeps the ratio finite on flat pictures.
FLOOR = 0.5


class BoundaryGradient:
    """Mean gradient magnitude of luma in a band along the mask's edge, result over attribute photo.

    The band holds the pixels at most 4 px on *either side* of the 0.5 level of the mask, on the 256-px crop
    of the attribute face (of the hull where the mask is unknown). 1 = no seam, above = a seam, below = the
    edge is blurred.
    """

    columns = (Column("seam", "one", 10.0),)

    def __call__(self, sample: Sample) -> dict[str, float]:
        """The ratio; 1 where the mask has no edge inside the crop, for then nothing was changed."""
        alignment = sample.attribute.alignment(SCALE)
        band = edge_band(swap_mask(sample, alignment))
        if not band.any():
            return {"seam": 1.0}
        result = gradient_magnitude(sample.result_in_place(SCALE))[band].mean()
        original = gradient_magnitude(sample.attribute.crop(SCALE))[band].mean()
        return {"seam": float((result + FLOOR) / (original + FLOOR))}


def edge_band(mask: np.ndarray, half_width: float = HALF_WIDTH, level: float = LEVEL) -> np.ndarray:
    """The pixels near the edge of a mask, on both sides of it.

    Holes have edges too: a mouth or glasses that the method leaves alone can show a seam as well.

    Args:
        mask: float32 ``[H, W]`` in 0..1.
        half_width: in pixels.
        level: where the edge is.

    Returns:
        bool ``[H, W]``; all False where the mask is all above or all below the level.
    """
    inside = (mask > level).astype(np.uint8)
    if inside.min() == inside.max():
        return np.zeros(mask.shape, bool)
    to_outside = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    to_inside = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    # The edge runs half a pixel before the first pixel of the other side.
    return np.maximum(to_outside, to_inside) - 0.5 <= half_width


def luma(image: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 luma of RGB ``[H, W, 3]`` in 0..255, float32 ``[H, W]`` in 0..255."""
    return cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)


def gradient_magnitude(image: np.ndarray, sigma: float = SIGMA) -> np.ndarray:
    """Length of the gradient of luma under a Gaussian, grey levels per pixel.

    Args:
        image: RGB ``[H, W, 3]`` in 0..255.
        sigma: of the Gaussian, in pixels.

    Returns:
        float32 ``[H, W]``.
    """
    smooth = cv2.GaussianBlur(luma(image), (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    down, across = np.gradient(smooth)
    return np.hypot(across, down)
