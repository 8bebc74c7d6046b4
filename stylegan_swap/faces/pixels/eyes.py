"""The eyeballs of a swapped face: gaze, pupils and catch-lights of the photo it goes into, its own colour.

Part of ``fine_detail``. Where somebody looks and what light falls into the eyes belong to the attribute
photo, and a network draws them softly, in colours that run. Between the lids some of its lightness gives way
to the photo's; its colour stays, averaged over the eye. Eyes that it has not drawn at all are not drawn here.
"""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.faces.masks.mask import eye_masks
from stylegan_swap.faces.pixels.blur import blurred
from stylegan_swap.faces.pixels.colour import luma, structure_band

#: Share of the lightness that is the photo's.
SHARE = 0.4
# How far the lids' landmarks are grown, as a share of the side; how soft their edge is and how far colour is
# averaged, in pixels that the network resolves.
_MARGIN, _SOFT, _COLOUR = 0.005, 0.5, 1.5
# Pixels that the network resolves, beyond the lids, that a blurred pixel between them still depends on.
_LOOKED_AT = 8.0
# Shares of the photo's amplitude of structure below which eyes are not drawn and above which they are.
_DRAWN = (0.15, 0.3)


def with_eyes_of(image: np.ndarray, photo: np.ndarray, points: np.ndarray, unit: float) -> np.ndarray:
    """Put the lightness of the photo's eyeballs into a swapped crop.

    ``image``: float32 ``[P, P, 3]`` in 0..255; ``photo``: the attribute photo's crop, likewise; ``points``:
    its landmarks ``[68, 2]`` in crop pixels; ``unit``: pixels of the crop for each that the network resolves.

    Returns:
        float32 ``[P, P, 3]``; outside the lids what was given.
    """
    x0, y0, side = _around(points, image.shape[0], unit)
    window = slice(y0, y0 + side), slice(x0, x0 + side)
    result = image.copy()
    margin = _MARGIN * image.shape[0] / side
    mask = eye_masks(points - np.array([x0, y0], np.float32), side, margin)
    result[window] = _mixed(image[window], photo[window], cv2.GaussianBlur(mask, (0, 0), _SOFT * unit), unit)
    return result


def _around(points: np.ndarray, size: int, unit: float) -> tuple[int, int, int]:
    """A square of the crop that holds both eyes and all that is looked at for them: left, top and side."""
    eyes = points[36:48]
    reach = _LOOKED_AT * unit + 2 * _MARGIN * size
    low = np.floor(eyes.min(0) - reach)
    side = int(np.clip(np.ceil((eyes.max(0) + reach - low).max()), 1, size))
    x0, y0 = np.clip(low, 0, size - side).astype(int)
    return int(x0), int(y0), side


def _mixed(image: np.ndarray, photo: np.ndarray, mask: np.ndarray, unit: float) -> np.ndarray:
    light = luma(image)
    colour = image - light[..., None]
    photo_light = luma(photo)
    mask *= _drawn(light, photo_light, mask, unit)
    light = light + SHARE * mask * (photo_light - light)
    colour += mask[..., None] * (blurred(colour, _COLOUR * unit) - colour)
    return light[..., None] + colour


def _drawn(swapped_luma: np.ndarray, photo_luma: np.ndarray, mask: np.ndarray, unit: float) -> float:
    """Whether the eyes have structure: 0 for a blank face, 1 for what a network draws."""
    amplitudes = []
    for grey in (swapped_luma, photo_luma):
        band = structure_band(grey, unit)
        amplitudes.append(float(np.sqrt((mask * band * band).sum())))
    low, high = _DRAWN
    return float(np.clip((amplitudes[0] / max(amplitudes[1], 1e-6) - low) / (high - low), 0, 1))
