"""What follows a convolution, on a CPU and where no gradient is wanted: compiled, one pass through memory.

Road: photo → detect → align → encoder → swapper → **generator** → paste. `csrc_cpu/finish.cpp` does the work,
compiled once within seconds where there is a C++ compiler; without one, plain torch gives the same results
in four to six passes. At 1024 pixels these passes took as long as half the convolutions.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import warnings
from ctypes import c_float, c_int32, c_int64, c_void_p
from pathlib import Path

import torch
from torch import Tensor

from cuda_ops import arguments
from cuda_ops.arguments import DTYPES, address
from cuda_ops.build import cpu_recipe, find_built
from cuda_ops.dispatch import ENVIRONMENT, refuse_known_failure, requested
from cuda_ops.fused_epilogue import check_ending
from cuda_ops.library import loaded
from cuda_ops.toolchain import BuildError

MOST_TAPS = 4
_DTYPES = (torch.float32, torch.bfloat16)
# Smaller results are not worth a compiler; never by what ran before, so that results do not depend on it.
_WORTH = 1 << 17
_lock = threading.Lock()


class _Finish(ctypes.Structure):
    """The argument list, field by field that of `csrc_cpu/finish.cpp`."""

    _fields_ = (
        *((name, c_int64) for name in ("n", "c", "h", "w", "in_h", "in_w", "pad_y", "pad_x")),
        *((name, c_void_p) for name in ("x", "y", "scale", "bias", "noise")),
        ("noise_n", c_int64),
        ("parallel", c_void_p),
        *((name, c_int32) for name in ("threads", "dtype", "taps_y", "taps_x")),
        ("along_y", c_float * MOST_TAPS),
        ("along_x", c_float * MOST_TAPS),
        *((name, c_float) for name in ("strength", "slope", "limit")),
    )


def cpu_kernels_serve(x: Tensor, numel: int) -> bool:
    """Whether the result of a layer on `x` shall be finished here; the first call may compile.

    Args:
        x: what goes into the layer.
        numel: numbers that come out of it.

    Raises:
        ValueError: STYLEGAN_SWAP_OPS has a value that it must not have.
    """
    if x.device.type != "cpu" or numel < _WORTH or torch.is_grad_enabled() or type(x) is not Tensor:
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active():
        return False
    # Under autocast the convolution's result has another type than what goes into it.
    mixed = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") not in _DTYPES
    if mixed or x.dtype not in _DTYPES or not arguments.channels_last(x):
        return False
    return requested() != "torch" and isinstance(_library(), ctypes.CDLL)


def finish(
    x: Tensor,
    *,
    taps: tuple[list[float], list[float]] | None = None,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    scale: Tensor | None = None,
    noise: Tensor | None = None,
    strength: Tensor | None = None,
    bias: Tensor | None = None,
    slope: float = 1.0,
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    """Compute `clamp(gain · lrelu(scale · fir(x) + strength · noise + bias), ±clamp)`.

    Computed in float32 and rounded once. Only for tensors that `cpu_kernels_serve` was asked about.

    Args:
        x: `[batch, channels, h, w]`, float32 or bfloat16; overwritten where there is no filter.
        taps: of a separable filter along y and along x, applied as they stand; None for no filter.
        padding: `(x0, x1, y0, y1)` zeros around `x`, none negative.
        scale: `[batch, channels]`.
        noise: `[batch or 1, 1, h', w']`; goes with `strength`.
        strength: `[1]`.
        bias: `[channels]`.
        slope: of the leaky ReLU below zero.
        gain: above 0.
        clamp: largest absolute value of the result; None for no limit.

    Returns:
        `[batch, channels, h', w']`, channels last; `x` itself where there is no filter.

    Raises:
        ValueError: operands that do not fit, another number type, or a gradient is wanted.
        RuntimeError: the kernels cannot be had.
        MemoryError: there is no memory for a row.
    """
    if x.dtype not in _DTYPES or (torch.is_grad_enabled() and x.requires_grad):
        raise ValueError(
            f"cuda_ops: the CPU kernels take float32 and bfloat16 and give no gradients, got {x.dtype}; "
            "plain torch serves the rest, ask `cpu_kernels_serve` first."
        )
    batch, channels, height, width = x.shape
    along_y, along_x = taps or ([], [])
    x0, x1, y0, y1 = padding
    if taps is not None:
        height, width = height + y0 + y1 - len(along_y) + 1, width + x0 + x1 - len(along_x) + 1
    check_ending(batch, channels, torch.Size((height, width)), scale, noise, strength, bias, gain, clamp)
    x = x.contiguous(memory_format=torch.channels_last)
    y = x
    if taps is not None:
        y = torch.empty((batch, channels, height, width), dtype=x.dtype, memory_format=torch.channels_last)
    factors = torch.full((batch, channels), gain) if scale is None else (scale.float() * gain).contiguous()
    offsets = torch.zeros(channels) if bias is None else (bias.float() * gain).contiguous()
    maps = None if noise is None else noise.to(x.dtype).contiguous()
    given = _Finish(
        *(batch, channels, height, width, *x.shape[2:], y0, x0),
        *map(address, (x, y, factors, offsets, maps)),
        1 if noise is None else noise.shape[0],
        _parallel(),
        *(torch.get_num_threads(), DTYPES[x.dtype], len(along_y), len(along_x)),
        (c_float * MOST_TAPS)(*along_y),
        (c_float * MOST_TAPS)(*along_x),
        *(0.0 if strength is None else float(strength) * gain, slope, -1.0 if clamp is None else clamp),
    )
    library = _library()
    if not isinstance(library, ctypes.CDLL):
        raise RuntimeError(f"cuda_ops: the CPU kernels cannot be had: {library}.")
    if library.cpu_ops_finish(ctypes.byref(given)):
        raise MemoryError("cuda_ops: no memory for one row of an image")
    return y


def separable(taps: Tensor) -> tuple[list[float], list[float]] | None:
    """The two factors of a filter `[t_y, t_x]`, each flipped as convolving needs it; None if it has none.

    None also where the filter is longer than the kernels' four taps.
    """
    if taps.ndim != 2 or max(taps.shape) > MOST_TAPS:
        return None
    rows: list[list[float]] = taps.tolist()
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


def cpu_kernels() -> str:
    """One sentence on the state of the CPU kernels; nothing is compiled."""
    if requested() == "torch":
        return "off: chosen by the user"
    if _loaded and isinstance(_loaded[0], str):
        return f"off: {_loaded[0]}"
    try:
        recipe = cpu_recipe()
        if (path := find_built(recipe)) is not None:
            return f"compiled, in {path.parent}"
        refuse_known_failure(recipe)
    except BuildError as error:
        return f"off: {error}"
    return f"not compiled yet; the first large image does it with {recipe.compiler}, in seconds"


_loaded: list[ctypes.CDLL | str] = []


def _library() -> ctypes.CDLL | str:
    """The library, or why there is none."""
    if not _loaded:
        with _lock:
            if not _loaded:
                _loaded.append(_load())
    return _loaded[0]


def _load() -> ctypes.CDLL | str:
    try:
        recipe = cpu_recipe()
    except BuildError as error:
        # Without a compiler plain torch is what is to be expected: nobody is warned.
        return str(error)
    try:
        refuse_known_failure(recipe)
        return loaded(recipe, checked_cpu_library)
    except BuildError as error:
        warnings.warn(
            f"the CPU kernels are not in use, plain torch is (slower, same results): {error}. "
            f"{ENVIRONMENT}=torch silences this.",
            RuntimeWarning,
            stacklevel=2,
        )
        return str(error)


def checked_cpu_library(path: Path, key: str) -> ctypes.CDLL:
    """Load a library and try it on a few numbers.

    Args:
        path: the file.
        key: of the recipe it must have been built by.

    Raises:
        BuildError: it is another library, does not load, or is wrong.
    """
    try:
        library = ctypes.CDLL(str(path))
        library.cpu_ops_key.restype = ctypes.c_char_p
        library.cpu_ops_size.restype = c_int64
        fits = library.cpu_ops_key().decode() == key and library.cpu_ops_size() == ctypes.sizeof(_Finish)
        library.cpu_ops_finish.argtypes = (c_void_p,)
    except (OSError, AttributeError) as error:
        raise BuildError(f"{path}: cannot be loaded ({error}); delete it and build again") from None
    if not fits:
        raise BuildError(f"{path}: was built from other sources; delete it and build again")
    numbers = (c_float * 20)(*range(-10, 10))
    ones, zero = (c_float * 20)(*[1.0] * 20), (c_float * 20)()
    given = _Finish(*(1, 20, 1, 1, 1, 1), x=ctypes.addressof(numbers), y=ctypes.addressof(numbers))
    given.scale, given.bias = ctypes.addressof(ones), ctypes.addressof(zero)
    given.threads, given.slope, given.limit = 1, 0.5, 4.0
    library.cpu_ops_finish(ctypes.byref(given))
    if list(numbers) != [max(-4.0, x * 0.5) for x in range(-10, 0)] + [min(4.0, float(x)) for x in range(10)]:
        raise BuildError(f"{path}: a trial run gave wrong numbers; delete it and build again")
    return library


@functools.cache
def _parallel() -> int | None:
    """The address of GOMP_parallel in the OpenMP runtime that torch uses, None if there is none.

    LLVM's and Intel's runtimes have it too.
    """
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    paths = {line.split(maxsplit=5)[5] for line in lines if line.count("/") > 0 and len(line.split()) > 5}
    # Other packages bring runtimes of their own: torch's is in its folder, or there is only one.
    for path in sorted(paths, key=lambda path: ("/torch" not in path, path)):
        if Path(path).name.startswith(("libgomp", "libiomp5", "libomp")):
            try:
                return ctypes.cast(ctypes.CDLL(path).GOMP_parallel, c_void_p).value
            except (OSError, AttributeError):
                continue
    return None
