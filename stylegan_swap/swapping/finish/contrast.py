"""Give a swapped crop the contrast of the photo, octave by octave: the last part of ``fine_detail``.

A network draws softly: in each octave its image has the right lines with too little contrast. The attribute
photo shows, place by place, how much contrast its light, lens and skin give. Bands of the result are
amplified until they have as much energy there, at most twofold and never weakened: nothing appears, only what
is drawn already grows.
"""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np

from stylegan_swap.faces.geometry.align import enlarged
from stylegan_swap.faces.pixels.blur import blurred
from stylegan_swap.faces.pixels.colour import luma

# Gaussians, in pixels that the network resolves, that bound the octaves; coarser ones are right as they are.
SCALES = (0.0, 0.35, 0.7, 1.4, 2.8)
# Within this radius, in the same pixels, energies are compared.
WINDOW = 5.0
MOST = 2.0
# Squared grey levels: below, both are flat.
_FLOOR = 0.5
# Widths of a window, in pixels of the map on which energies are compared.
_MAP = 2.0


def match_contrast(image: np.ndarray, photo: np.ndarray, resolved: int) -> np.ndarray:
    """Amplify the octaves of a crop's luma where the photo has more energy in them.

    Args:
        image: float32 ``[P, P, 3]`` in 0..255.
        photo: the attribute photo's crop, likewise.
        resolved: pixels across the crop that the network really draws.

    Returns:
        float32 ``[P, P, 3]``, not clipped.
    """
    unit = image.shape[0] / resolved
    octaves = (
        [fine - coarse for fine, coarse in itertools.pairwise(blurred(luma(each), s * unit) for s in SCALES)]
        for each in (image, photo)
    )
    added = np.zeros(image.shape[:2], np.float32)
    for band, wanted in zip(*octaves, strict=True):
        added += _growth(band, wanted, WINDOW * unit)
    return image + added[..., None]


def match_finest(image: np.ndarray, photo: np.ndarray, side: int, resolved: int) -> np.ndarray:
    """The same for the one band that copies of that side do not hold; arguments as there."""
    ours, theirs = (grey - enlarged(enlarged(grey, side), len(grey)) for grey in (luma(image), luma(photo)))
    return image + _growth(ours, theirs, WINDOW * len(image) / resolved)[..., None]


def _growth(ours: np.ndarray, theirs: np.ndarray, radius: float) -> np.ndarray:
    """What a band lacks to be as strong as the photo's, at most ``MOST`` times what it is."""
    size, side = len(ours), min(len(ours), math.ceil(len(ours) * _MAP / radius))
    energies = []
    for band in (ours, theirs):
        energy = cv2.resize(band * band, (side, side), interpolation=cv2.INTER_AREA)
        energies.append(cv2.GaussianBlur(energy, (0, 0), radius * side / size))
    ratio = (np.maximum(energies[1], 0) + _FLOOR) / (np.maximum(energies[0], 0) + _FLOOR)
    gain = np.clip(np.sqrt(ratio), 1, MOST)
    return (cv2.resize(gain, (size, size), interpolation=cv2.INTER_LINEAR) - 1) * ours
