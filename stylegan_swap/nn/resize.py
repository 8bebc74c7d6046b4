"""The one bilinear resizing of image batches."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize(x: Tensor, side: int, *, antialias: bool = True) -> Tensor:
    """Resize square images ``[batch, C, s, s]`` bilinearly to ``[batch, C, side, side]``.

    Args:
        x: the images; returned as they are where they have the side already.
        side: in pixels.
        antialias: low-pass where the images shrink; False samples single points, as some published code does.

    Raises:
        ValueError: if ``x`` is not a batch of square images.
    """
    if x.ndim != 4 or x.shape[2] != x.shape[3]:
        raise ValueError(f"Expected square images [batch, channels, s, s], got {tuple(x.shape)}.")
    if x.shape[2] == side:
        return x
    shrinks = x.shape[2] > side
    return F.interpolate(
        x, (side, side), mode="bilinear", align_corners=False, antialias=antialias and shrinks
    )


def doubled(x: Tensor) -> Tensor:
    """Enlarge ``[batch, C, r, r]`` bilinearly to ``[batch, C, 2r, 2r]``."""
    return resize(x, 2 * x.shape[2])
