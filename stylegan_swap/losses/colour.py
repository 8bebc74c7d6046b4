"""Colour terms: skin and light of the result are the attribute photo's, in patches of the face.

For cross pairs, where no pixel of the answer is known but its coarse colours are. A
recogniser does not mind a rainbow, so hue is held in smaller patches than brightness, which shapes a face.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

BRIGHTNESS_GRID, HUE_GRID = 16, 32


def brightness_loss(image: Tensor, attribute: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute difference of patch brightness inside the face per image, ``[batch]``.

    Brightness is the mean of the channels, in 16×16 patches of the crop.

    Args:
        image: ``[batch, 3, S, S]``, range [-1, 1].
        attribute: like ``image``.
        mask: ``[batch, 1, S, S]`` in 0..1, 1 = face.
    """
    difference = image.float() - attribute
    return _in_patches(difference.mean(1, keepdim=True), mask, BRIGHTNESS_GRID)


def hue_loss(image: Tensor, attribute: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute difference of patch hue inside the face per image, ``[batch]``.

    Hue is what the channels differ from their mean by, in 32×32 patches of the crop. Arguments as in
    :func:`brightness_loss`.
    """
    difference = image.float() - attribute
    return _in_patches(difference - difference.mean(1, keepdim=True), mask, HUE_GRID)


def _in_patches(difference: Tensor, mask: Tensor, grid: int) -> Tensor:
    """Mean size ``[batch]`` of the patch means of a difference, over patches that are mostly face."""
    inside = F.adaptive_avg_pool2d(mask, grid)
    weights = (inside * 2 - 1).clamp_min(0)
    patches = F.adaptive_avg_pool2d(difference * mask, grid) / inside.clamp_min(0.1)
    total = (patches.abs().mean(1, keepdim=True) * weights).sum((1, 2, 3))
    return total / weights.sum((1, 2, 3)).clamp_min(1)
