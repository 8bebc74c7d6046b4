"""One map per landmark with a single lit pixel: what FSLSD's landmark encoder reads.

On the road photo → detect → align → **encoder** → swapper → generator → paste these maps go where a photo
would. The published builder draws a Gaussian into whole numbers, of which only the centre survives.
"""

from __future__ import annotations

import torch
from torch import Tensor


def point_maps(points: Tensor, size: int = 256) -> Tensor:
    """Light the pixel (row ⌊y⌋, column ⌊x⌋) of every point.

    Args:
        points: ``[batch, K, 2]`` (x, y) in pixels; (−1, −1) is a missing point.
        size: side of the maps.

    Returns:
        float32 ``[batch, K, size, size]``, 0 and 1; blank for points outside, missing or not finite.

    Raises:
        ValueError: if ``points`` has another shape.

    Source: Xu et al. 2022, FSLSD, the published data loader.
    """
    if points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"points must be [batch, K, 2], got {tuple(points.shape)}.")
    finite = points.isfinite().all(2)
    # Like int() in the published loader, which cuts off towards zero: −0.5 still lies in pixel 0.
    pixels = torch.where(finite[..., None], points, -1.0).trunc().clamp(-1, size).long()
    inside = ((pixels >= 0) & (pixels < size)).all(2)
    index = torch.where(inside, pixels[..., 1] * size + pixels[..., 0], 0)
    maps = torch.zeros(*points.shape[:2], size * size, device=points.device)
    maps.scatter_(2, index[..., None], inside[..., None].float())
    return maps.unflatten(2, (size, size))
