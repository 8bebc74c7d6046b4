"""Give a swapped crop the identity photo's own lines and skin, where a network draws soft blotches.

The identity photo is carried onto the attribute's landmarks and relit as the method ``warp`` does it.
Octave by octave it takes the place of what was drawn: in the contrast of the attribute photo's light, and
nowhere stronger than what was drawn or the attribute photo shows there, so that shadows and the folds of a
smile stay behind; eyes get the colour, but look where they are drawn to look. What is coarser stays the
network's: in pose and light it is right, and the carried photo is not. A band-wise form of Burt and
Adelson's multi-resolution spline (1983).
"""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.faces.masks.mask import eye_masks
from stylegan_swap.faces.pixels.blur import blurred, octaves
from stylegan_swap.faces.pixels.colour import luma, with_luma
from stylegan_swap.methods.warp.method import AlignedFace, warp_swap

# Lengths are in pixels that the network resolves unless they say otherwise.
SCALES = (0.0, 0.5, 1.5, 3.0, 6.0, 12.0)  # Gaussians that bound the octaves; coarser ones are the network's
CHROMA_TO_SIGMA = 6.0  # above this the colours of the identity photo would be stains of its light
GAZE_TO_SIGMA = (
    3.0  # above this the lightness of eyeballs shows where they look: the attribute photo's affair
)
LIDS_MARGIN = 0.005  # how far eyeballs reach beyond the lids' landmarks, in shares of the crop's side
LIDS_EDGE = 0.7  # softness of their edge
EYE_CHROMA = 1.15  # factor on the identity's eye colours: as far from the skin's as in photos
FACE_EDGE = 3.0  # softness of the edge of what is carried
LIGHT_RADIUS = 12.0  # within which the light of both photos is compared
LIGHT_MOST = 1.6  # largest factor that makes up for a flatter light of the identity photo
STRONGEST = 1.2  # amplitude beyond what was drawn or the attribute photo shows
WINDOW = 1.5  # radius within which those are compared, in an octave's widths
WINDOW_LEAST = 1.5  # width that the window counts at least
# Up to this width it is grain and pores, of which no network draws any, and no lines: looser bounds.
GRAIN_TO_SIGMA = 0.5
GRAIN_LIGHT_MOST = 2.5
GRAIN_STRONGEST = 3.0
SOFT = 0.5  # share of the drawing's energy below which an octave of the identity photo is too soft to give
_FLOOR = 0.1  # squared grey levels below which an octave is flat


def with_texture_of(
    image: np.ndarray, identity: AlignedFace, photo: np.ndarray, points: np.ndarray, resolved: int
) -> np.ndarray:
    """Replace the octaves of a swapped crop by what the identity photo shows there.

    ``image`` and ``photo``, the attribute photo's crop, are float32 ``[P, P, 3]`` in 0..255; ``identity`` is
    of any size; ``points`` are the attribute face's, ``[68, 2]`` in crop pixels; ``resolved`` is how many
    pixels across the crop the network really draws. Returns float32 ``[P, P, 3]``, not clipped.
    """
    size, resolved_size = image.shape[0], (resolved, resolved)
    unit = size / resolved
    sigmas = [scale * unit for scale in SCALES]

    # Carry the identity photo onto the attribute face; where it shows anything it may take part.
    carried, visible = warp_swap(identity, AlignedFace(photo, points), bare=True)
    share = blurred(visible, FACE_EDGE * unit) * visible
    eyes = blurred(eye_masks(points, size, LIDS_MARGIN), LIDS_EDGE * unit)
    small_share = cv2.resize(share, resolved_size, interpolation=cv2.INTER_AREA)

    # Split the three pictures: colours and luma of the drawing and the identity, luma of the photo.
    bands = zip(
        SCALES[1:],
        octaves(with_luma(image), sigmas),
        octaves(with_luma(carried), sigmas),
        octaves(luma(photo), sigmas),
        strict=True,
    )
    change = np.zeros_like(image)
    for sigma, drawn, given, shown in bands:
        drawn_luma, given_luma = drawn[..., 3], given[..., 3]

        # Fit the identity's octave to the light and to what else shows there, on the network's pixels.
        greys = np.dstack([drawn_luma, given_luma, shown])
        energies = cv2.resize(greys * greys, resolved_size, interpolation=cv2.INTER_AREA)
        light, gain = _fitting(energies, small_share, sigma)
        available = float((energies[..., 1] * light * light * small_share).sum())
        needed = float((energies[..., 0] * small_share).sum())
        # A photo that is much softer than what was drawn has nothing to give.
        fit_share = min(1.0, available / max(SOFT * needed, 1e-6))

        # Amplified like lightness, differences of colour would be stains.
        factor = cv2.resize(gain * light, (size, size), interpolation=cv2.INTER_LINEAR)
        lightness = factor * given_luma - drawn_luma
        chroma = given[..., :3] - given_luma[..., None]
        colours = (1 + (EYE_CHROMA - 1) * eyes)[..., None] * chroma
        colours -= drawn[..., :3] - drawn_luma[..., None]
        if sigma > GAZE_TO_SIGMA:
            lightness *= 1 - eyes
        if sigma > CHROMA_TO_SIGMA:
            colours *= eyes[..., None]
        change += fit_share * (lightness[..., None] + colours)
    return image + share[..., None] * change


def _fitting(energies: np.ndarray, share: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Factors for an octave of the carried photo: for the light, and for what nobody else shows there.

    ``energies``: of drawing, identity and attribute photo, ``[s, s, 3]``; ``share``: how much takes part,
    ``[s, s]``; ``sigma``: width of the octave.
    """
    grain = sigma <= GRAIN_TO_SIGMA
    most, strongest = (GRAIN_LIGHT_MOST, GRAIN_STRONGEST) if grain else (LIGHT_MOST, STRONGEST)
    both = blurred(energies[..., 1:] * share[..., None], LIGHT_RADIUS) + _FLOOR
    light = np.clip(np.sqrt(both[..., 1] / both[..., 0]), 1, most)
    lit = energies.copy()
    lit[..., 1] *= light * light
    nearby = blurred(lit, WINDOW * max(sigma, WINDOW_LEAST)) + _FLOOR
    allowed = np.maximum(nearby[..., 0], nearby[..., 2]) / nearby[..., 1]
    return light, np.minimum(1, strongest * np.sqrt(allowed))
