"""The library of the CPU kernels: compiled once where there is a compiler, loaded, tried, trusted.

`cpu_passes` calls it; `library` is the counterpart for CUDA.
"""

from __future__ import annotations

import ctypes
import functools
from ctypes import c_float, c_int32, c_int64, c_void_p
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from cuda_ops.build import cpu_recipe
from cuda_ops.dispatch import refuse_known_failure, warn_of_plain_torch
from cuda_ops.library import load_with, open_library
from cuda_ops.toolchain import BuildError

MOST_TAPS = 4
CPU_DTYPES = (torch.float32, torch.bfloat16)


class Finish(ctypes.Structure):
    """The argument list of a pass over an image, field by field that of `csrc_cpu/finish.cpp`."""

    _fields_ = (
        *((name, c_int64) for name in ("n", "c", "h", "w", "in_h", "in_w", "pad_y", "pad_x")),
        *((name, c_void_p) for name in ("x", "odd", "y", "scale", "bias", "noise")),
        ("noise_n", c_int64),
        ("parallel", c_void_p),
        *((name, c_int32) for name in ("threads", "dtype", "taps_y", "taps_x")),
        ("along_y", c_float * MOST_TAPS),
        ("along_x", c_float * MOST_TAPS),
        *((name, c_float) for name in ("strength", "slope", "limit")),
    )


class Winograd(ctypes.Structure):
    """The argument list of a convolution, field by field that of `csrc_cpu/winograd.cpp`."""

    _fields_ = (
        *((name, c_int64) for name in ("n", "in_c", "out_c", "h", "w")),
        *((name, c_void_p) for name in ("x", "y", "weight", "style", "scale", "bias", "noise")),
        ("noise_n", c_int64),
        ("parallel", c_void_p),
        ("threads", c_int32),
        *((name, c_float) for name in ("strength", "slope", "limit")),
    )


class ToRgb(ctypes.Structure):
    """The argument list of a step to RGB, field by field that of `csrc_cpu/to_rgb.cpp`."""

    _fields_ = (
        *((name, c_int64) for name in ("n", "c", "h", "w")),
        *((name, c_void_p) for name in ("x", "y", "weight", "bias", "skip", "parallel")),
        *((name, c_int32) for name in ("threads", "dtype")),
        ("along_y", c_float * MOST_TAPS),
        ("along_x", c_float * MOST_TAPS),
        ("limit", c_float),
    )


def load_cpu_library() -> ctypes.CDLL | str:
    """The library, compiled where it must be and tried; or why there is none, told as a warning."""
    try:
        recipe = cpu_recipe()
    except BuildError as error:
        # Without a compiler plain torch is what is to be expected: nobody is warned.
        return str(error)
    try:
        refuse_known_failure(recipe)
        return load_with(checked_cpu_library, recipe)
    except BuildError as error:
        warn_of_plain_torch("CPU", error)
        return str(error)


def checked_cpu_library(path: Path, key: str) -> ctypes.CDLL:
    """Load a library and try it on a few numbers.

    Args:
        path: the file.
        key: of the recipe it must have been built by.

    Raises:
        BuildError: it is another library, does not load, or is wrong.
    """

    def sizes_of(library: ctypes.CDLL) -> list[int]:
        return [library.cpu_ops_size(), library.cpu_ops_winograd_size(), library.cpu_ops_to_rgb_size()]

    functions = ("cpu_ops_finish", "cpu_ops_winograd", "cpu_ops_to_rgb")
    library = open_library(path, key, "cpu_ops", functions, sizes_of, (Finish, Winograd, ToRgb))
    # The first call may come from anywhere: under autocast, torch's own answers would be rounded.
    with torch.autocast("cpu", enabled=False):
        works = _finishes(library) and _convolves(library) and _projects(library)
    if not works:
        raise BuildError(f"{path}: a trial run gave wrong numbers; delete it and build again")
    return library


# Of the trial runs: whatever the program's default type and device are.
_LIKE: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}


def _finishes(library: ctypes.CDLL) -> bool:
    x = torch.arange(-10.0, 10.0, **_LIKE)
    y, unit, zeros = x.clone(), torch.ones_like(x), torch.zeros_like(x)
    trial = Finish(*(1, 20, 1, 1, 1, 1), x=y.data_ptr(), y=y.data_ptr())
    trial.scale, trial.bias = unit.data_ptr(), zeros.data_ptr()
    trial.threads, trial.slope, trial.limit = 1, 0.5, 4.0
    library.cpu_ops_finish(ctypes.byref(trial))
    return torch.equal(y, torch.where(x > 0, x, x * 0.5).clamp(-4, 4))


def _convolves(library: ctypes.CDLL) -> bool:
    x = torch.linspace(-1, 1, 480, **_LIKE).reshape(5, 6, 16)
    y = torch.full((5, 6, 32), torch.nan, **_LIKE)
    unit, zeros = torch.ones(32, **_LIKE), torch.zeros(32, **_LIKE)
    # The kernel that leaves everything where it is, in the coordinates of F(4x4, 3x3).
    along = torch.tensor([0, -1 / 6, 1 / 6, 1 / 12, -1 / 12, 0], **_LIKE)
    weight = torch.zeros(1, 36, 16, 32, **_LIKE)
    weight[0, :, range(16), range(16)] = torch.outer(along, along).reshape(36, 1)
    trial = Winograd(*(1, 16, 32, 5, 6), x.data_ptr(), y.data_ptr(), weight.data_ptr(), threads=1)
    trial.scale, trial.bias, trial.slope, trial.limit = unit.data_ptr(), zeros.data_ptr(), 1.0, -1.0
    library.cpu_ops_winograd(ctypes.byref(trial))
    return torch.allclose(y, F.pad(x, (0, 16)), atol=1e-5)


def _projects(library: ctypes.CDLL) -> bool:
    x = torch.linspace(-1, 1, 120, **_LIKE).reshape(2, 3, 20)
    y = torch.full((2, 3, 3), torch.nan, **_LIKE)
    weight, bias = torch.linspace(0, 1, 60, **_LIKE).reshape(3, 20), torch.ones(3, **_LIKE)
    trial = ToRgb(1, 20, 2, 3, x.data_ptr(), y.data_ptr(), weight.data_ptr(), bias.data_ptr(), threads=1)
    trial.limit = 8.0
    library.cpu_ops_to_rgb(ctypes.byref(trial))
    return torch.allclose(y, (x @ weight.t() + 1).clamp(-8, 8), atol=1e-4)


@functools.cache
def openmp() -> int | None:
    """The address of GOMP_parallel in the OpenMP runtime (GNU's, LLVM's, Intel's) of torch, or None."""
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
