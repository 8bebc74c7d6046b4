"""Entries of attribute features into a generator's blocks, inside and outside the face."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.fused_mask_blend import mask_blend
from cuda_ops.layers import EqualizedConv2d


class InsideEntry(nn.Module):
    """Gated denormalisation at 8, 16 and 32 pixels: SPADE's maps under AAD's gate.

    h ← (1 − g) ⊙ h + g ⊙ (γ(a) ⊙ ĥ + β(a)) with ĥ = instance-normalised h and a gate
    g = σ(conv(ĥ, a)) per pixel (Park et al. 2019, SPADE; Li et al. 2019, FaceShifter).

    Args:
        channels: channels of the generator at this resolution.
        width: channels of the attribute features.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.scale = EqualizedConv2d(width, channels, 3, 1, 1)
        self.shift = EqualizedConv2d(width, channels, 3, 1, 1)
        self.gate = EqualizedConv2d(channels + width, 1, 3, 1, 1)

    def forward(self, hidden: Tensor, entry: Tensor) -> Tensor:
        """Return the blended features, shaped as ``hidden``: ``[batch, channels, r, r]``."""
        normal = F.instance_norm(hidden, eps=1e-5)
        gate = self.gate(torch.cat([normal, entry], 1)).sigmoid()
        # A scale of 1 + 0.1·x keeps the sum of both branches near unit variance at the start.
        modulated = normal * (1 + 0.1 * self.scale(entry)) + self.shift(entry)
        return torch.lerp(hidden, modulated.to(hidden.dtype), gate.to(hidden.dtype).expand_as(hidden))


class OutsideEntry(nn.Module):
    """Replacement outside the face from 64 pixels on: h ← m ⊙ h + (1 − m) ⊙ P(a).

    P is a 1×1 convolution; m the face mask at this resolution. Where m = 1 the result is h itself.

    Args:
        channels: channels of the generator at this resolution.
        width: channels of the attribute features.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.project = EqualizedConv2d(width, channels, 1, 1, 0)

    def forward(self, hidden: Tensor, entry: Tensor, mask: Tensor) -> Tensor:
        """Return the blended features, shaped as ``hidden``; ``mask`` is ``[batch, 1, r, r]``."""
        return mask_blend(hidden, self.project(entry), mask)
