"""Give a swapped crop the identity photo's own lines and skin, where a network draws soft blotches.

Part of ``fine_detail``. The identity photo is carried onto the attribute's landmarks and relit as the method
``warp`` does it. Of that only what is fine enters, where the network has drawn something coarser: in shape,
pose, expression and light the network is right, and the carried photo is not.
"""

from __future__ import annotations

import numpy as np

from stylegan_swap.faces.blur import blurred
from stylegan_swap.faces.colour import luma
from stylegan_swap.methods.warp import AlignedFace, warp_swap

# What is finer than a Gaussian of so many of the network's pixels is the photo's.
SCALE = 3.0
# Softness of the region's edge, in the same pixels.
EDGE = 2.0
# The band that must be drawn already, and the radius within which that is looked for, in the same pixels.
COARSE = 6.0
WINDOW = 4.0
# Energy of what is fine in the photo, as a share of that in the drawing, below which it counts as soft.
SOFT = 0.5
# Amplitudes of the coarser band, as shares of the photo's, from which the photo is trusted and trusted fully.
DRAWN = (0.5, 0.9)
# Squared grey levels below which a band counts as flat.
_FLOOR = 4.0


def with_texture_of(
    image: np.ndarray, identity: AlignedFace, photo: np.ndarray, points: np.ndarray, resolved: int
) -> np.ndarray:
    """Replace what is fine in a swapped crop by what the identity photo shows there.

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
    coarse = [blurred(one, SCALE * unit) for one in (image, carried)]
    share *= _as_drawn(luma(coarse[0]), luma(coarse[1]), unit)
    ours, theirs = image - coarse[0], carried - coarse[1]
    # A photo that is much softer than what was drawn has nothing to give.
    energy = [float((luma(band) ** 2 * share).sum()) for band in (ours, theirs)]
    share *= min(1.0, energy[1] / max(SOFT * energy[0], 1e-6))
    return image + share[..., None] * (theirs - ours)


def _as_drawn(ours: np.ndarray, theirs: np.ndarray, unit: float) -> np.ndarray:
    """0 where the photo has lines of which nothing coarser is drawn, 1 where it is: float32 ``[S, S]``."""
    amplitudes = []
    for grey in (ours, theirs):
        band = grey - blurred(grey, COARSE * unit)
        amplitudes.append(np.sqrt(blurred(band * band, WINDOW * unit) + _FLOOR))
    low, high = DRAWN
    return np.clip((amplitudes[0] / amplitudes[1] - low) / (high - low), 0, 1)
