"""Noise, leaky ReLU and clamp behind a convolution, in one sweep through memory where no gradient is needed.

At 1024 pixels a tensor of the generator is larger than any cache, so a pass for the noise and one for the
activation read and write all of it twice. In pieces that a core's cache holds, the second pass is nearly
free.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# A quarter to a half of what a core's second-level cache holds on common processors.
_PIECE_BYTES = 512 * 1024
# Below this, what is gained does not pay for the calls.
_WORTH_BYTES = 4 * _PIECE_BYTES


def add_noise_and_activate(
    y: Tensor, noise: Tensor | None, slope: float = 0.2, clamp: float | None = None
) -> Tensor:
    """Compute `clamp(leaky_relu(y + noise), ±clamp)`, writing into `y`.

    Args:
        y: `[batch, channels, h, w]`; overwritten.
        noise: `[batch or 1, 1, h, w]`, or None.
        slope: below zero; above 0, or autograd needs a copy.
        clamp: largest absolute value of the result; None for no limit.

    Returns:
        `y`, or a new tensor where gradients need one.
    """
    if noise is not None and _sweeps(y, noise):
        # Pieces of 16 bits are worked on in float32: in 16 bits a CPU adds one number to each of 32
        # channels, as noise is added, five times as slowly as it converts them back and forth.
        rows = max(1, _PIECE_BYTES * y.shape[2] // (y.numel() * 4))
        for piece, noise_piece in zip(y.split(rows, dim=2), noise.split(rows, dim=2), strict=True):
            exact = piece.to(torch.promote_types(y.dtype, torch.float32))
            F.leaky_relu_(exact.add_(noise_piece.to(exact.dtype)), slope)
            if clamp is not None:
                exact.clamp_(-clamp, clamp)
            if exact is not piece:
                piece.copy_(exact)
        return y
    if noise is not None:
        # Adding float32 to 16 bits in place takes a CPU twenty times as long as adding 16 bits.
        y = y.add_(noise.to(y.dtype))
    y = F.leaky_relu(y, slope, inplace=slope > 0)
    return y if clamp is None else y.clamp(-clamp, clamp)


def _sweeps(y: Tensor, noise: Tensor) -> bool:
    """Whether rows of `y` are pieces of memory, large together, and nothing is to be differentiated."""
    if y.device.type != "cpu" or y.shape[0] != 1 or y.numel() * y.element_size() < _WORTH_BYTES:
        return False
    if torch.is_grad_enabled() and (y.requires_grad or noise.requires_grad):
        return False
    return y.is_contiguous(memory_format=torch.channels_last) and not torch.compiler.is_compiling()
