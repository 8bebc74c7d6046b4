"""Give a swapped crop the contrast of the photo, octave by octave: the last part of ``fine_detail``.

A network draws softly: in each octave its image has the right lines with too little contrast. The attribute
photo shows, place by place, how much contrast its light, lens and skin give. Bands of the result are
amplified until they have as much energy there, at most twofold and never weakened: nothing appears, only what
is drawn already grows.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from stylegan_swap.faces.align import enlarged
from stylegan_swap.faces.blur import blurred
from stylegan_swap.faces.colour import luma

# Gaussians, in pixels that the network resolves, that bound the octaves; coarser ones are right as they are.
SCALES = (0.0, 0.35, 0.7, 1.4, 2.8)
# Within this radius, in the same pixels, energies are compared.
WINDOW = 5.0
MOST = 2.0
# Squared grey levels: below, both are flat.
_FLOOR = 0.5
# Finer bands than those of a picture with so many times the network's pixels are one band.
WORK = 4


def match_contrast(image: np.ndarray, photo: np.ndarray, resolved: int) -> np.ndarray:
    """Amplify the octaves of a crop's luma where the photo has more energy in them.

    Args:
        image: float32 ``[P, P, 3]`` in 0..255.
        photo: the attribute photo's crop, likewise.
        resolved: pixels across the crop that the network really draws.

    Returns:
        float32 ``[P, P, 3]``, not clipped.
    """
    side, work = image.shape[0], min(image.shape[0], WORK * resolved)
    unit = work / resolved
    grey, like = luma(image), luma(photo)
    finest: tuple[np.ndarray, np.ndarray] | None = None
    added = np.zeros((work, work), np.float32)
    if work < side:
        small, smaller = enlarged(grey, work), enlarged(like, work)
        finest = grey - enlarged(small, side), like - enlarged(smaller, side)
        grey, like = small, smaller
    octaves = (
        [fine - coarse for fine, coarse in itertools.pairwise(blurred(each, s * unit) for s in SCALES)]
        for each in (grey, like)
    )
    for band, wanted in zip(*octaves, strict=True):
        added += (_gain(band, wanted, WINDOW * unit) - 1) * band
    total = added if work == side else enlarged(added, side)
    if finest is not None:
        gain = _gain(finest[0], finest[1], WINDOW * unit, work)
        total = total + (cv2.resize(gain, (side, side), interpolation=cv2.INTER_LINEAR) - 1) * finest[0]
    return image + total[..., None]


def _gain(ours: np.ndarray, theirs: np.ndarray, radius: float, side: int | None = None) -> np.ndarray:
    """How much stronger the photo's band is, 1 to ``MOST``, on a map of the given side."""
    energies = []
    for band in (ours, theirs):
        energy = band * band
        if side is not None:
            energy = cv2.resize(energy, (side, side), interpolation=cv2.INTER_AREA)
        energies.append(blurred(energy, radius))
    ratio = (np.maximum(energies[1], 0) + _FLOOR) / (np.maximum(energies[0], 0) + _FLOOR)
    return np.clip(np.sqrt(ratio), 1, MOST)
