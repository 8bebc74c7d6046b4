"""Mask term: the predicted face mask is the landmark hull without what lies in front of it.

Without supervision a paste mask shrinks until the result is the attribute photo.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the binary cross-entropy per image, ``[batch]``.

    Args:
        logits: ``[batch, 1, S, S]``, before the sigmoid.
        mask: ``[batch, 1, S, S]`` in 0..1, 1 = face.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), mask, reduction="none").mean((1, 2, 3))
