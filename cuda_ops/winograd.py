"""3×3 convolutions of the generator with a quarter of the multiplications, on a CPU in float32.

Where no gradient is needed and there is a C++ compiler; `csrc_cpu/winograd.cpp` does the work, with
modulation and all that follows a convolution in it.
Source: Lavin & Gray, Fast Algorithms for Convolutional Neural Networks (CVPR 2016), F(4×4, 3×3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cuda_ops.arguments import addresses, wants_gradient
from cuda_ops.cpu_library import Winograd, call, cpu_ending, openmp
from cuda_ops.fused_epilogue import Ending

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Channels of the image and of the result come in groups of so many.
_IN, _OUT = 16, 32
_TILE = 4  # pixels of the result along the side of a tile
_FEWEST_TILES = 48  # from which reading four times the weights pays
# Instructions for which it was measured to be the faster one.
_FAST = ("AVX2", "AVX512")
# G of the paper for the points 0, ±1, ±2 and infinity.
_TO_POINTS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


def winograd_serves(x: Tensor, weight: Tensor) -> bool:
    """Whether `winograd_conv2d` is the faster way; of tensors that `cpu_kernels_serve` was asked about.

    Args:
        x: `[batch, in, h, w]`.
        weight: `[..., out, in, k, k]`, of a convolution that keeps the size.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or weight.dtype != torch.float32:
        return False
    out, inner, *kernel = weight.shape[-4:]
    tiles = x.shape[0] * -(-x.shape[2] // _TILE) * -(-x.shape[3] // _TILE)
    divides = kernel == [3, 3] and inner % _IN == 0 and out % _OUT == 0
    if not divides or tiles < _FEWEST_TILES or torch.is_autocast_enabled("cpu"):
        return False
    return torch.backends.cpu.get_cpu_capability() in _FAST


def winograd_weight(weight: Tensor) -> Tensor:
    """Transform a weight for `winograd_conv2d`; it becomes four times as large.

    Args:
        weight: `[out, in, 3, 3]`, out a multiple of 32 and in of 16.

    Returns:
        `[out / 32, 36, in, 32]`, float32.

    Raises:
        ValueError: another shape.
    """
    out, inner, *kernel = weight.shape
    if kernel != [3, 3] or inner % _IN or out % _OUT:
        raise ValueError(
            f"winograd_weight: {list(weight.shape)} must be [out, in, 3, 3], out a multiple of {_OUT} and in "
            f"of {_IN}."
        )
    points = torch.tensor(_TO_POINTS, dtype=torch.float64, device=weight.device)
    transformed = torch.kron(points, points) @ weight.permute(2, 3, 0, 1).reshape(9, -1).double()
    return transformed.float().reshape(36, out // _OUT, _OUT, inner).permute(1, 0, 3, 2).contiguous()


def winograd_conv2d(
    x: Tensor, weight: Tensor, *, style: Tensor | None = None, **ending: Unpack[Ending]
) -> Tensor:
    """Compute `clamp(gain · lrelu(scale · conv(style · x) + strength · noise + bias), ±clamp)`.

    There are zeros around `x`. Rounds more coarsely than an ordinary convolution: errors of 4e-6 instead of
    1e-6 of the result's root mean square, with 512 channels. The same bits whatever the number of threads.

    Args:
        x: `[batch, in, h, w]`, float32.
        weight: what `winograd_weight` gives.
        style: `[batch, in]`.
        ending: see `fused_epilogue.Ending`; sizes are those of the result.

    Returns:
        `[batch, out, h, w]`, channels last.

    Raises:
        ValueError: operands that do not fit, another number type, or a gradient is needed.
        RuntimeError: the kernels cannot be had.
        MemoryError: there is no memory for a block of tiles.
    """
    served = x.dtype == weight.dtype == torch.float32 and x.device.type == weight.device.type == "cpu"
    operands = (ending.get("scale"), ending.get("noise"), ending.get("strength"), ending.get("bias"))
    if not served or (torch.is_grad_enabled() and wants_gradient(x, weight, style, *operands)):
        raise ValueError(
            f"winograd_conv2d takes float32 on a CPU and gives no gradients, got {x.dtype} on {x.device} and "
            f"a weight of {weight.dtype}; plain torch serves the rest, ask `cpu_kernels_serve` and "
            "`winograd_serves` first."
        )
    batch, channels, height, width = x.shape
    groups, points, inner, lanes = weight.shape
    if (points, inner, lanes) != (36, channels, _OUT) or (style is not None and style.shape != x.shape[:2]):
        raise ValueError(
            f"winograd_conv2d: x {list(x.shape)}, weight {list(weight.shape)} and style "
            f"{None if style is None else list(style.shape)} must be [batch, in, h, w], [out / 32, 36, "
            "in, 32] and [batch, in]."
        )
    shape = (batch, groups * _OUT, height, width)
    epilogue = cpu_ending(x, shape, **ending)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    if y.numel() == 0:
        return y
    weight = weight.contiguous()
    styles = None if style is None else style.float().contiguous()
    argument_list = Winograd(
        *(batch, channels, *shape[1:]),
        *addresses(x, y, weight, styles, *epilogue[:3]),
        epilogue.noise_batch,
        openmp(),
        torch.get_num_threads(),
        *epilogue[4:],
    )
    call("cpu_ops_winograd", argument_list)
    return y
