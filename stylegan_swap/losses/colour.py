"""Colour term: skin and light of the result are the attribute photo's, in patches of the face.

Beside the road; for cross pairs, where no pixel of the answer is known but its coarse colours are.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

GRID = 16


def colour_loss(image: Tensor, attribute: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute difference of patch colours inside the face per image, ``[batch]``.

    Args:
        image: ``[batch, 3, S, S]``, range [-1, 1].
        attribute: like ``image``.
        mask: ``[batch, 1, S, S]`` in 0..1, 1 = face.
    """
    inside = F.adaptive_avg_pool2d(mask, GRID)
    weights = (inside * 2 - 1).clamp_min(0)
    weighted = [
        F.adaptive_avg_pool2d(x.float() * mask, GRID) / inside.clamp_min(0.1) for x in (image, attribute)
    ]
    difference = (weighted[0] - weighted[1]).abs().mean(1, keepdim=True) * weights
    return difference.sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp_min(1)
