"""Bilinear resizing of image batches."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize(x: Tensor, size: int) -> Tensor:
    """Resize square images ``[batch, C, s, s]`` bilinearly to ``size``, low-passed when shrinking.

    Raises:
        ValueError: if ``x`` is not a batch of square images.
    """
    if x.ndim != 4 or x.shape[2] != x.shape[3]:
        raise ValueError(f"Expected aligned square images [batch, channels, s, s], got {tuple(x.shape)}.")
    if x.shape[2] == size:
        return x
    return F.interpolate(
        x, size=(size, size), mode="bilinear", align_corners=False, antialias=x.shape[2] > size
    )
