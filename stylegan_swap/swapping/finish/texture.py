"""Give a swapped crop the identity photo's own lines and skin, where a network draws soft blotches.

Part of ``fine_detail``. The identity photo is carried onto the attribute's landmarks and relit as the method
``warp`` does it. Octave by octave it takes the place of what was drawn: in the contrast of the attribute
photo's light, and nowhere stronger than what was drawn or the attribute photo shows there, so that shadows
and the folds of a smile stay behind; eyes get the colour, but look where they are drawn to look. What is
coarser stays the network's: in pose and light it is right, and the carried photo is not. A band-wise form of
Burt and Adelson's multi-resolution spline (1983).
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from stylegan_swap.faces.masks.mask import eye_masks
from stylegan_swap.faces.pixels.blur import blurred
from stylegan_swap.faces.pixels.colour import luma
from stylegan_swap.methods.warp.method import AlignedFace, warp_swap

# Gaussians, in pixels that the network resolves, that bound the octaves; what is coarser is the network's.
SCALES = (0.0, 0.5, 1.5, 3.0, 6.0, 12.0)
# From this one on the colours are, too: the identity photo's would be stains of its light.
COLOUR = 6.0
# From this one on the lightness of eyeballs is: where they look is the attribute photo's affair. How far
# beyond the lids that goes, as a share of the crop's side, and how softly, in the same pixels.
GAZE, LIDS, LIDS_EDGE = 3.0, 0.005, 0.7
# Eyeballs have the identity's colours at all widths, so much stronger: as far from the skin's as in photos.
EYE_COLOUR = 1.15
# Softness of the region's edge, in the same pixels.
EDGE = 3.0
# Radius within which the light of both photos is compared, and how much weaker than the attribute's
# contrast the carried photo's may be for all of it to be made up.
LIGHT = 12.0
LIGHT_MOST = 1.6
# How much stronger than what was drawn or what the attribute photo shows the carried photo may be, within so
# many of an octave's widths.
STRONGEST = 1.2
WINDOW = 1.5
# Up to this width it is grain and pores, of which no network draws any, and no lines: both bounds for these.
GRAIN, GRAIN_LIGHT_MOST, GRAIN_STRONGEST = 0.5, 2.5, 3.0
# Energy of an octave of the photo, as a share of that in the drawing, below which it counts as soft.
SOFT = 0.5
# Width, in the same pixels, of which windows are multiples at least.
_SMALLEST = 1.5
# Squared grey levels below which an octave counts as flat.
_FLOOR = 0.1


def with_texture_of(
    image: np.ndarray, identity: AlignedFace, photo: np.ndarray, points: np.ndarray, resolved: int
) -> np.ndarray:
    """Replace the octaves of a swapped crop by what the identity photo shows there.

    Args:
        image: float32 ``[P, P, 3]`` in 0..255.
        identity: the aligned identity face, of any size.
        photo: the attribute photo's crop, like ``image``.
        points: of the attribute face, ``[68, 2]`` in pixels of the crop.
        resolved: pixels across the crop that the network really draws.

    Returns:
        float32 ``[P, P, 3]``, not clipped.
    """
    unit = image.shape[0] / resolved
    carried, known = warp_swap(identity, AlignedFace(photo, points), bare=True)
    share = blurred(known, EDGE * unit) * known
    eyes = blurred(eye_masks(points, image.shape[0], LIDS), LIDS_EDGE * unit)
    few = _few(share, resolved)
    change = np.zeros_like(image)
    widths = SCALES[1:]
    for width, ours, theirs, there in zip(
        widths, *map(_octaves, (image, carried, luma(photo)), [unit] * 3), strict=True
    ):
        drawn, grey = luma(ours), luma(theirs)
        energies = [_few(band * band, resolved) for band in (drawn, grey, there)]
        light, gain = _fitting(energies, few, width)
        given = energies[1] * light * light
        # A photo that is much softer than what was drawn has nothing to give.
        fits = float((given * few).sum()) / max(SOFT * float((energies[0] * few).sum()), 1e-6)
        lightness = _map(gain * light, image) * grey - drawn
        # Amplified like lightness, differences of colour would be stains.
        colour = theirs - grey[..., None]
        colours = (1 + (EYE_COLOUR - 1) * eyes)[..., None] * colour - (ours - drawn[..., None])
        if width > GAZE:
            lightness *= 1 - eyes
        if width > COLOUR:
            colours *= eyes[..., None]
        change += min(1.0, fits) * (lightness[..., None] + colours)
    return image + share[..., None] * change


def _fitting(energies: list[np.ndarray], share: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Two factors for an octave of the carried photo: for the light, and for what nobody else shows there."""
    ours, theirs, there = energies
    most, strongest = (GRAIN_LIGHT_MOST, GRAIN_STRONGEST) if width <= GRAIN else (LIGHT_MOST, STRONGEST)
    wanted, given = (blurred(energy * share, LIGHT) + _FLOOR for energy in (there, theirs))
    light = np.clip(np.sqrt(wanted / given), 1, most)
    window = WINDOW * max(width, _SMALLEST)
    shown = [blurred(energy, window) + _FLOOR for energy in (ours, theirs * light * light, there)]
    return light, np.minimum(1, strongest * np.sqrt(np.maximum(shown[0], shown[2]) / shown[1]))


def _octaves(image: np.ndarray, unit: float) -> list[np.ndarray]:
    copies = [blurred(image, scale * unit) for scale in SCALES]
    return [fine - coarse for fine, coarse in itertools.pairwise(copies)]


def _few(grey: np.ndarray, side: int) -> np.ndarray:
    """The same on the pixels that the network resolves: enough to compare energies."""
    return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)


def _map(factor: np.ndarray, image: np.ndarray) -> np.ndarray:
    return cv2.resize(factor, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
