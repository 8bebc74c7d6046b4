"""Colour of the swapped skin: mean and spread of chroma in Lab, eyes and mouth left out.

Formula and calibration: ``docs/evaluation/image.md``.
"""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import OUTER_LIPS
from stylegan_swap.faces.masks.mask import eye_masks, fill_polygon, hull_mask
from stylegan_swap.faces.pixels.colour import to_lab
from stylegan_swap.metrics.background import swap_mask
from stylegan_swap.metrics.sample import Column, Sample

# The aligned crop's side; all lengths below are its pixels.
SCALE = 256
# Eyes and lips are grown by this, the hull is shrunk by it: lashes, lip contour and hair are not skin.
MARGIN = 6  # px
# Takes the photo's grain out before chroma is squared; colour seen as colour is wider than this.
SIGMA = 2.0  # px
# Units of Lab; keeps the ratio of spreads finite on black-and-white photos.
FLOOR = 1.0
_FEWEST = 200  # pixels


class ChromaMatch:
    """Chroma of the skin inside the mask, result against attribute photo, on the 256-px crop.

    ``chroma_shift`` is the distance of the mean colours in the a-b plane of CIE Lab (D65), 2.3 being just
    noticeable on a flat patch (Mahy et al. 1994). ``chroma_spread`` is the ratio of their spreads: above 1 is
    blotchy, towards 0 is uniformly painted. Lightness is not part of either.
    """

    # The floor: a smile of the same person, same light (docs/evaluation/image.md).
    columns = (Column("chroma_shift", "lower", 50.0, "ΔE", 0.5), Column("chroma_spread", "one", 10.0))

    def __call__(self, sample: Sample) -> dict[str, float]:
        """Compare the skins, in the same pixels of both pictures."""
        skin = skin_pixels(sample)
        original_mean, original_spread = chroma_statistics(sample.attribute.crop(SCALE), skin)
        result_mean, result_spread = chroma_statistics(sample.result_in_place(SCALE), skin)
        return {
            "chroma_shift": float(np.hypot(*(result_mean - original_mean))),
            "chroma_spread": (result_spread + FLOOR) / (original_spread + FLOOR),
        }


def skin_pixels(sample: Sample) -> np.ndarray:
    """Skin of the swapped face on the attribute photo's 256-px crop, bool ``[256, 256]``.

    The hull, 6 px narrower, without the eyes and lips of *either* picture and, where the mask is known and
    leaves at least 200 pixels, only where the method takes at least half of the swapped face.
    """
    alignment = sample.attribute.alignment(SCALE)
    points = alignment.to_crop(sample.attribute.face)
    skin = _shrunk(hull_mask(points, SCALE) > 0.5)
    faces = [points]
    if sample.result.landmarks is not None:
        faces.append(alignment.to_crop(sample.result.landmarks))
    for face in faces:
        features = np.maximum(eye_masks(face, SCALE), fill_polygon(face[OUTER_LIPS], SCALE)) > 0.5
        skin &= _shrunk(~features)
    if sample.mask is not None:
        swapped = skin & (swap_mask(sample, alignment) > 0.5)
        if swapped.sum() >= _FEWEST:
            return swapped
    return skin


def chroma_statistics(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean and spread of colour, lightness left out.

    Args:
        image: RGB ``[H, W, 3]`` in 0..255; low-passed here (Gaussian of 2 px).
        mask: bool ``[H, W]``.

    Returns:
        The mean (a, b), float64 ``[2]``, and the spread √(var a + var b), in Lab units.
    """
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), SIGMA, borderType=cv2.BORDER_REFLECT_101)
    chroma = to_lab(smooth)[..., 1:][mask].astype(np.float64)
    return chroma.mean(0), float(np.sqrt(chroma.var(0).sum()))


def _shrunk(mask: np.ndarray) -> np.ndarray:
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) > MARGIN
