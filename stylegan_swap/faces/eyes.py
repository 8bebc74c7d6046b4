"""The eyeballs of a swapped face: gaze, pupils and catch-lights of the photo it goes into, its own colour.

Part of ``fine_detail``. Where somebody looks and what light falls into the eyes belong to the attribute
photo, and a network draws them softly, in colours that run. Between the lids some of its lightness gives way
to the photo's; its colour stays, averaged over the eye. Eyes that it has not drawn at all are not drawn here.
"""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.faces.colour import luma, structure_band
from stylegan_swap.faces.mask import eye_masks

#: Share of the lightness that is the photo's.
SHARE = 0.4
# How far the lids' landmarks are grown, as a share of the side; how soft their edge is and how far colour is
# averaged, in pixels that the network resolves.
_MARGIN, _SOFT, _COLOUR = 0.005, 0.5, 1.5
# Shares of the photo's amplitude of structure below which eyes are not drawn and above which they are.
_DRAWN = (0.15, 0.3)


def with_eyes_of(image: np.ndarray, photo: np.ndarray, points: np.ndarray, unit: float) -> np.ndarray:
    """Put the lightness of the photo's eyeballs into a swapped crop.

    Args:
        image: float32 ``[P, P, 3]`` in 0..255.
        photo: the attribute photo's crop, likewise.
        points: its landmarks ``[68, 2]`` in crop pixels.
        unit: pixels of the crop for each that the network resolves.

    Returns:
        float32 ``[P, P, 3]``; outside the lids what was given.
    """
    mask = cv2.GaussianBlur(np.clip(eye_masks(points, image.shape[0], _MARGIN), 0, 1), (0, 0), _SOFT * unit)
    light = luma(image)
    colour = image - light[..., None]
    theirs = luma(photo)
    mask *= _drawn(light, theirs, mask, unit)
    light = light + SHARE * mask * (theirs - light)
    colour += mask[..., None] * (cv2.GaussianBlur(colour, (0, 0), _COLOUR * unit) - colour)
    return light[..., None] + colour


def _drawn(ours: np.ndarray, theirs: np.ndarray, mask: np.ndarray, unit: float) -> float:
    """Whether the eyes have structure: 0 for a blank face, 1 for what a network draws."""
    amplitudes = []
    for grey in (ours, theirs):
        band = structure_band(grey, unit)
        amplitudes.append(float(np.sqrt((mask * band * band).sum())))
    low, high = _DRAWN
    return float(np.clip((amplitudes[0] / max(amplitudes[1], 1e-6) - low) / (high - low), 0, 1))
