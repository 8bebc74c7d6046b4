"""The step to RGB, on a CPU and where no gradient is wanted: compiled, one pass through memory.

`csrc_cpu/to_rgb.cpp` does the work, reading the hidden tensor once, in float32 or bfloat16; sums and image
are float32. `fused_to_rgb` is the counterpart for CUDA; plain torch takes a convolution, a conversion, an
up-sampling and a sum.
"""

from __future__ import annotations

import ctypes
from ctypes import c_float

import torch
from torch import Tensor

from cuda_ops.arguments import DTYPES, addresses
from cuda_ops.cpu_library import MOST_TAPS, ToRgb, call, openmp, refuse_unserved
from cuda_ops.fused_to_rgb import check_to_rgb


def cpu_to_rgb(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    skip: Tensor | None = None,
    taps: tuple[list[float], list[float]] | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Compute `clamp(Σ_c weight[n, o, c] · x[n, c] + bias[o], ±clamp) + up-sampled skip` in float32.

    Only for tensors that `cpu_kernels_serve` was asked about.

    Args:
        x: `[batch, channels, h, w]`, float32 or bfloat16.
        weight: `[batch, 3, channels]`, with style and gain.
        bias: `[3]`.
        skip: `[batch, 3, h/2, w/2]`, the image of the block before; goes with `taps`.
        taps: what `separable` gives of the filter of the up-sampling by 2.
        clamp: limit before the skip is added; None for none.

    Returns:
        `[batch, 3, h, w]`, float32, channels last.

    Raises:
        ValueError: operands that do not fit, another number type, or a gradient is needed.
        RuntimeError: the kernels cannot be had.
        MemoryError: there is no memory for a row.
    """
    refuse_unserved(x, weight, bias, skip)
    check_to_rgb(x, weight, bias, skip, taps is not None, clamp)
    batch, _, height, width = x.shape
    if skip is not None and (height % 2 or width % 2):
        raise ValueError(f"to_rgb: a skip doubles to even sides, got {height}x{width}.")
    last = torch.channels_last
    x, weight = x.contiguous(memory_format=last), weight.float().contiguous()
    bias = weight.new_zeros(3) if bias is None else bias.float().contiguous()
    skip = None if skip is None else skip.float().contiguous(memory_format=last)
    y = torch.empty((batch, 3, height, width), dtype=torch.float32, device=x.device, memory_format=last)
    along_y, along_x = taps or ([], [])
    argument_list = ToRgb(
        *x.shape,
        *addresses(x, y, weight, bias, skip),
        openmp(),
        *(torch.get_num_threads(), DTYPES[x.dtype]),
        _centred(along_y),
        _centred(along_x),
        -1.0 if clamp is None else clamp,
    )
    call("cpu_ops_to_rgb", argument_list)
    return y


def _centred(taps: list[float]) -> ctypes.Array[c_float]:
    """Up to four taps as four with two zeros of padding before them; doubling pads `(t + 1) // 2`."""
    return (c_float * MOST_TAPS)(*[0.0] * (MOST_TAPS // 2 - (len(taps) + 1) // 2), *taps)
