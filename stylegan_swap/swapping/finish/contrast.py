"""Give a swapped crop the contrast of the photo, octave by octave.

A network draws softly: in each octave its image has the right lines with too little contrast. The attribute
photo shows, place by place, how much contrast its light, lens and skin give. Bands of the result are
amplified until they have as much energy there, at most twofold and never weakened: nothing appears, only what
is drawn already grows.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from stylegan_swap.faces.geometry.align import enlarged
from stylegan_swap.faces.pixels.blur import octaves
from stylegan_swap.faces.pixels.colour import luma

# Lengths are in pixels that the network resolves.
SCALES = (0.0, 0.35, 0.7, 1.4, 2.8)  # Gaussians that bound the octaves; coarser ones are right as they are
WINDOW = 5.0  # radius within which energies are compared
MOST = 2.0  # largest factor on an octave
_FLOOR = 0.5  # squared grey levels below which an octave is flat
_MAP_PIXELS = 2.0  # pixels of the map on which energies are compared, per radius of the window


def match_contrast(image: np.ndarray, photo: np.ndarray, resolved: int) -> np.ndarray:
    """Amplify the octaves of a crop's luma where the photo has more energy in them.

    ``image``: float32 ``[P, P, 3]`` in 0..255; ``photo``: the attribute photo's crop, likewise; ``resolved``:
    pixels across the crop that the network really draws. Returns float32 ``[P, P, 3]``, not clipped.
    """
    unit = image.shape[0] / resolved
    sigmas = [scale * unit for scale in SCALES]
    added = np.zeros(image.shape[:2], np.float32)
    for image_band, photo_band in zip(
        octaves(luma(image), sigmas), octaves(luma(photo), sigmas), strict=True
    ):
        added += _growth(image_band, photo_band, WINDOW * unit)
    return image + added[..., None]


def match_finest(image: np.ndarray, photo: np.ndarray, side: int, resolved: int) -> np.ndarray:
    """The same for the one band that copies of that side do not hold; arguments as there."""
    image_band, photo_band = (
        grey - enlarged(enlarged(grey, side), len(grey)) for grey in (luma(image), luma(photo))
    )
    return image + _growth(image_band, photo_band, WINDOW * len(image) / resolved)[..., None]


def _growth(image_band: np.ndarray, photo_band: np.ndarray, radius: float) -> np.ndarray:
    """What a band lacks to be as strong as the photo's, at most ``MOST`` times what it is."""
    size, side = len(image_band), min(len(image_band), math.ceil(len(image_band) * _MAP_PIXELS / radius))
    bands = np.dstack([image_band, photo_band])
    energies = cv2.resize(bands * bands, (side, side), interpolation=cv2.INTER_AREA)
    energies = np.maximum(cv2.GaussianBlur(energies, (0, 0), radius * side / size), 0) + _FLOOR
    gain = np.clip(np.sqrt(energies[..., 1] / energies[..., 0]), 1, MOST)
    return (cv2.resize(gain, (size, size), interpolation=cv2.INTER_LINEAR) - 1) * image_band
