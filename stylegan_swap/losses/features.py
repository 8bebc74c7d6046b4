"""Feature term: the result looks like the target photo to a face network, layer by layer.

The perceptual distance of the default training, needing no file that does not come
with dlib. LPIPS is in ``perceptual``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def feature_loss(features: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Return the mean relative difference of feature maps per image, ``[batch]``.

    Every map counts the same: its absolute differences are taken over the mean activation of the
    target's map, so that layers of different scale can be added.

    Args:
        features: maps of the result, ``[batch, channels, h, w]`` each, any sizes.
        target: maps of the target photo, of the same shapes; they get no gradient.

    Raises:
        ValueError: if the two lists do not have the same length.
    """
    if len(features) != len(target) or not features:
        raise ValueError(f"feature_loss: {len(features)} maps against {len(target)}; give as many of both.")
    terms = []
    for result_map, target_map in zip(features, target, strict=True):
        target_map = target_map.detach().float()
        scale = target_map.abs().mean((1, 2, 3)).clamp_min(1e-6)
        terms.append((result_map.float() - target_map).abs().mean((1, 2, 3)) / scale)
    return sum(terms[1:], terms[0]) / len(terms)
