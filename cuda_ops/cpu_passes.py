"""What the CPU kernels do to an image: one pass through memory each, where no gradient is wanted.

- `finish`: what follows a convolution (`csrc_cpu/finish.cpp`). In plain torch these passes took
  as long as half the convolutions at 1024 pixels.
- `cpu_to_rgb`: the step to RGB (`csrc_cpu/to_rgb.cpp`), reading the hidden tensor once.
- `winograd_conv2d`: 3×3 convolutions with a quarter of the multiplications and all that follows them
  (`csrc_cpu/winograd.cpp`), in float32.

They are compiled within seconds where there is a C++ compiler; without one plain torch gives the same
results.

Source of the last: Lavin & Gray, Fast Algorithms for Convolutional Neural Networks (CVPR 2016), F(4×4, 3×3).
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from ctypes import c_float
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from cuda_ops.arguments import DTYPES, wants_gradient
from cuda_ops.build import cpu_recipe
from cuda_ops.cpu_library import CPU_DTYPES, MOST_TAPS, Finish, ToRgb, Winograd, load_cpu_library, openmp
from cuda_ops.dispatch import ENVIRONMENT, ON_CPU, build_state, requested, use_kernels
from cuda_ops.fused_epilogue import Ending, checked_ending
from cuda_ops.fused_to_rgb import check_to_rgb
from cuda_ops.toolchain import BuildError

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Smaller results are not worth a compiler; never by what ran before, so that results do not depend on it.
SMALLEST_RESULT = 1 << 17  # numbers
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

_lock = threading.Lock()
_loaded: list[ctypes.CDLL | str] = []


def cpu_kernels() -> str:
    """One sentence on the state of the CPU kernels; nothing is compiled."""
    if requested() == "torch":
        return "off: chosen by the user"
    if _loaded and isinstance(_loaded[0], str):
        return f"off: {_loaded[0]}"
    try:
        return build_state(cpu_recipe(), "first large image")
    except BuildError as error:
        return f"off: {error}"


def cpu_library() -> ctypes.CDLL | str:
    """The library, compiled and loaded at the first call, or why there is none."""
    if not _loaded:
        with _lock:
            if not _loaded:
                _loaded.append(load_cpu_library())
    return _loaded[0]


def kernels_for(x: Tensor, numel: int) -> Literal["library", "cpu"] | None:
    """Which compiled kernels finish a layer on `x`: those of `library`, the passes here, or none.

    Args:
        x: what goes into the layer.
        numel: numbers that come out of it.

    Raises:
        ValueError: STYLEGAN_SWAP_OPS has a value that it must not have.
        RuntimeError: it asks for CUDA kernels that cannot be had.
    """
    # Every layer asks: on a CPU without a call.
    if (x.device.type != "cpu" or ON_CPU[0]) and use_kernels(x):
        return "library"
    if x.device.type != "cpu" or numel < SMALLEST_RESULT or torch.is_grad_enabled():
        return None
    return "cpu" if cpu_kernels_serve(x, numel) else None


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
    # Unset the variable means "auto"; every layer asks, so that needs no call.
    if os.environ.get(ENVIRONMENT) and requested() == "torch":
        return False
    return isinstance(_loaded[0] if _loaded else cpu_library(), ctypes.CDLL)


class CpuEnding(NamedTuple):
    """What follows a convolution as the kernels read it: the gain is in scale, bias and strength."""

    operands: tuple[Tensor | None, ...]  # scale, bias and noise; they must outlive the call
    addresses: tuple[int, int, int | None]
    noise_batch: int
    constants: tuple[float, float, float]  # strength, slope, limit


def cpu_ending(x: Tensor, shape: tuple[int, int, int, int], **ending: Unpack[Ending]) -> CpuEnding:
    """The operands of an epilogue for a result `[batch, channels, h, w]`; ValueError where they misfit."""
    scale, noise, strength, bias, slope, gain, limit = checked_ending(shape, x.dtype, **ending)
    # Whatever the program's default type and device are.
    like: dict[str, Any] = {"dtype": torch.float32, "device": x.device}
    scale = torch.full(shape[:2], gain, **like) if scale is None else (scale.float() * gain).contiguous()
    bias = torch.zeros(shape[1], **like) if bias is None else (bias.float() * gain).contiguous()
    noise = None if noise is None else noise.to(x.dtype).contiguous()
    return CpuEnding(
        (scale, bias, noise),
        (scale.data_ptr(), bias.data_ptr(), None if noise is None else noise.data_ptr()),
        1 if noise is None else noise.shape[0],
        (0.0 if strength is None else float(strength) * gain, slope, limit),
    )


def refuse_unserved(x: Tensor, *operands: Tensor | None) -> None:
    """Raise ValueError for a number type without kernels, or where autograd would differentiate."""
    if x.dtype not in CPU_DTYPES or (torch.is_grad_enabled() and wants_gradient(x, *operands)):
        raise ValueError(
            f"cuda_ops: the CPU kernels take float32 and bfloat16 and give no gradients, got {x.dtype}; "
            "plain torch serves the rest, ask `cpu_kernels_serve` first."
        )


def call(name: str, argument_list: ctypes.Structure) -> None:
    """Run a kernel.

    Raises:
        RuntimeError: the kernels cannot be had.
        MemoryError: there is no memory for its scratch space.
    """
    library = _loaded[0] if _loaded else cpu_library()
    if not isinstance(library, ctypes.CDLL):
        raise RuntimeError(f"cuda_ops: the CPU kernels cannot be had: {library}.")
    if getattr(library, name)(ctypes.byref(argument_list)):
        raise MemoryError(f"{name}: no memory for its scratch space")


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
        *(x.data_ptr(), None if odd is None else odd.data_ptr(), y.data_ptr(), *epilogue.addresses),
        epilogue.noise_batch,
        openmp(),
        *(torch.get_num_threads(), DTYPES[x.dtype], len(along_y), len(along_x)),
        (c_float * MOST_TAPS)(*along_y),
        (c_float * MOST_TAPS)(*along_x),
        *epilogue.constants,
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
        *(x.data_ptr(), y.data_ptr(), weight.data_ptr(), bias.data_ptr()),
        None if skip is None else skip.data_ptr(),
        openmp(),
        *(torch.get_num_threads(), DTYPES[x.dtype]),
        *_centred(along_y, along_x),
        -1.0 if clamp is None else clamp,
    )
    call("cpu_ops_to_rgb", argument_list)
    return y


def _centred(*axes: list[float]) -> list[ctypes.Array[c_float]]:
    """Up to four taps of an axis as four, zeros of padding before them; doubling pads `(t + 1) // 2`."""
    zeros = [0.0] * (MOST_TAPS // 2)
    padded = []
    for taps in axes:
        padded.append((c_float * MOST_TAPS)(*zeros[(len(taps) + 1) // 2 :], *taps))
    return padded


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
        *(x.data_ptr(), y.data_ptr(), weight.data_ptr()),
        *(None if styles is None else styles.data_ptr(), *epilogue.addresses),
        epilogue.noise_batch,
        openmp(),
        torch.get_num_threads(),
        *epilogue.constants,
    )
    call("cpu_ops_winograd", argument_list)
    return y
