"""What follows a convolution, on a CPU and where no gradient is wanted: compiled, one pass through memory.

`csrc_cpu/finish.cpp` does the work, compiled once within seconds where there is a C++ compiler; without one,
plain torch gives the same results in four to six passes. At 1024 pixels these passes took as long as half the
convolutions.
"""

from __future__ import annotations

import functools
from ctypes import c_float
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cuda_ops.arguments import DTYPES, addresses
from cuda_ops.cpu_library import (
    CPU_DTYPES,
    MOST_TAPS,
    Finish,
    call,
    cpu_ending,
    cpu_library_serves,
    openmp,
    refuse_unserved,
)
from cuda_ops.fused_epilogue import Ending

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Smaller results are not worth a compiler; never by what ran before, so that results do not depend on it.
SMALLEST_RESULT = 1 << 17  # numbers


def cpu_kernels_serve(x: Tensor, numel: int) -> bool:
    """Whether the result of a layer on `x` shall be finished here; the first call may compile.

    Args:
        x: what goes into the layer.
        numel: numbers that come out of it.

    Raises:
        ValueError: STYLEGAN_SWAP_OPS has a value that it must not have.
    """
    if x.device.type != "cpu" or numel < SMALLEST_RESULT or torch.is_grad_enabled() or type(x) is not Tensor:
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active():
        return False
    # Under autocast the convolution's result has another type than what goes into it.
    mixed = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") not in CPU_DTYPES
    if (
        mixed
        or x.dtype not in CPU_DTYPES
        or not (x.stride(1) == 1 and x.shape[1] > 1 and x.shape[2] * x.shape[3] > 1)
    ):
        return False
    return cpu_library_serves()


def finish(
    x: Tensor,
    *,
    odd: Tensor | None = None,
    taps: tuple[list[float], list[float]] | None = None,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    **ending: Unpack[Ending],
) -> Tensor:
    """Compute `clamp(gain · lrelu(scale · fir(x) + strength · noise + bias), ±clamp)`.

    Computed in float32 and rounded once. Only for tensors that `cpu_kernels_serve` was asked about.

    Args:
        x: `[batch, channels, h, w]`, float32 or bfloat16; overwritten where there is no filter.
        odd: `[batch, channels, h or h - 1, w]`: rows 1, 3, 5, ... of an image whose even rows are `x`; goes
            with `taps`. None where `x` is the whole image.
        taps: of a separable filter along y and along x, applied as they stand; None for no filter.
        padding: `(x0, x1, y0, y1)` zeros around `x`, none negative.
        ending: see `fused_epilogue.Ending`; sizes are those of the result.

    Returns:
        `[batch, channels, h', w']`, channels last; `x` itself where there is no filter.

    Raises:
        ValueError: operands that do not fit, another number type, or a gradient is needed.
        RuntimeError: the kernels cannot be had.
        MemoryError: there is no memory for a row.
    """
    operands = (ending.get("scale"), ending.get("noise"), ending.get("strength"), ending.get("bias"))
    refuse_unserved(x, odd, *operands)
    batch, channels, height, width = x.shape
    if odd is not None:
        rows = odd.shape[2]
        alike = odd.dtype == x.dtype and odd.shape == (batch, channels, rows, width)
        if taps is None or not alike or rows not in (height, height - 1):
            raise ValueError(
                f"finish: odd rows {list(odd.shape)} in {odd.dtype} must be [{batch}, {channels}, "
                f"{height} or {height - 1}, {width}] in {x.dtype}, as the even rows are, and go with taps."
            )
        odd = odd.contiguous(memory_format=torch.channels_last)
        height += rows
    in_height, in_width = height, width
    along_y, along_x = taps or ([], [])
    x0, x1, y0, y1 = padding
    if taps is not None:
        height, width = height + y0 + y1 - len(along_y) + 1, width + x0 + x1 - len(along_x) + 1
    shape = (batch, channels, height, width)
    epilogue = cpu_ending(x, shape, **ending)
    y = x = x.contiguous(memory_format=torch.channels_last)
    if taps is not None:
        y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    argument_list = Finish(
        *(*shape, in_height, in_width, y0, x0),
        *addresses(x, odd, y, *epilogue[:3]),
        epilogue.noise_batch,
        openmp(),
        *(torch.get_num_threads(), DTYPES[x.dtype], len(along_y), len(along_x)),
        (c_float * MOST_TAPS)(*along_y),
        (c_float * MOST_TAPS)(*along_x),
        *epilogue[4:],
    )
    call("cpu_ops_finish", argument_list)
    return y


def separable(taps: Tensor) -> tuple[list[float], list[float]] | None:
    """The two factors of a filter `[t_y, t_x]`, each flipped as convolving needs it; None if it has none.

    None also where the filter is longer than the kernels' four taps.
    """
    if taps.ndim != 2 or max(taps.shape) > MOST_TAPS:
        return None
    return _factors(tuple(map(tuple, taps.tolist())))


@functools.lru_cache(maxsize=16)
def _factors(rows: tuple[tuple[float, ...], ...]) -> tuple[list[float], list[float]] | None:
    total = sum(map(sum, rows))
    if total == 0:
        return None
    along_y = [sum(row) for row in rows]
    along_x = [sum(column) / total for column in zip(*rows, strict=True)]
    error = max(
        abs(tap - a * b)
        for row, a in zip(rows, along_y, strict=True)
        for tap, b in zip(row, along_x, strict=True)
    )
    if error > 1e-6 * abs(total):
        return None
    return along_y[::-1], along_x[::-1]
