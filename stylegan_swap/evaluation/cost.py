"""Cost of a swap: seconds, memory, parameters, FLOPs. Definitions: ``docs/evaluation/cost.md``."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stylegan_swap.errors import StyleganSwapError
from stylegan_swap.evaluation.bench.clock import wait_for
from stylegan_swap.evaluation.pairs import Pair
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.images.photo import read_photo
from stylegan_swap.methods.base.protocol import Method
from stylegan_swap.metrics.sample import Column, look
from stylegan_swap.swapping.swapper import PhotoSwapper

_MIB = 2**20

COLUMNS = (
    Column("swap_seconds", "lower", 1e6, "s"),
    Column("swap_memory", "lower", 1e6, "MiB"),
    Column("parameters", "lower", 1e6, "M"),
    Column("operations", "lower", 1e6, "GFLOP"),
)
FREE_SIDE = 256  # crop side in px for methods that take any


@dataclass(frozen=True)
class Cost:
    """Cost of one call.

    Attributes:
        seconds: median wall-clock time of the warm calls.
        memory: peak of the call above the memory in use before it, MiB (1 MiB = 2²⁰ bytes).
        parameters: numbers in the networks, each tensor once, buffers not counted.
        flops: floating-point operations of matrix products and convolutions, a multiply-add being two;
            0 for methods without networks.
        device: ``"cpu"`` or the name of the GPU; memory is that device's.
    """

    seconds: float
    memory: float
    parameters: int
    flops: int
    device: str


def measure_cost(
    call: Callable[[], object],
    modules: Iterable[nn.Module] = (),
    *,
    repeats: int = 5,
    warmup: int = 1,
    device: torch.device | str = "cpu",
) -> Cost:
    """Measure anything that can be called.

    Args:
        call: what to measure; it must do the same each time.
        modules: the networks whose parameters count.
        repeats: warm calls that are timed.
        warmup: calls before that.
        device: where the work is; a CUDA device is waited for, and its memory is what is measured.

    Raises:
        ValueError: ``repeats`` is below 1 or ``warmup`` below 0.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"a cost needs at least 1 timed call, got repeats={repeats}, warmup={warmup}")
    device = torch.device(device)
    for _ in range(warmup):
        call()
    seconds = []
    for _ in range(repeats):
        wait_for(device)
        start = time.perf_counter()
        call()
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    memory = peak_memory(call, device)
    with FlopCounterMode(display=False) as counter:
        call()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Cost(
        statistics.median(seconds), memory, count_parameters(modules), int(counter.get_total_flops()), name
    )


def cost_of_method(
    method: Method, x_id: Tensor, x_attr: Tensor, landmarks: Tensor | None = None, **options: int
) -> tuple[Cost, Cost]:
    """The cost of a method on one pair of aligned faces: preparing a person, and each swap after that.

    Detection, alignment and pasting are the same for all methods and not in it.

    Args:
        method: any method of the registry.
        x_id: ``[1, 3, S, S]``, RGB in [-1, 1].
        x_attr: as ``x_id``.
        landmarks: of ``x_attr``, ``[1, 68, 2]`` in crop pixels.
        options: ``repeats`` and ``warmup`` of ``measure_cost``.

    Returns:
        The cost of ``prepare`` and of ``swap_aligned``. Both carry all parameters of the method.
    """
    prepared = method.prepare(x_id)
    calls = (lambda: method.prepare(x_id), lambda: method.swap_aligned(prepared, x_attr, landmarks))
    first, second = (
        measure_cost(call, modules_of(method), device=x_attr.device, **options) for call in calls
    )
    return first, second


def cost_columns(method: str, pairs: Sequence[Pair], device: str = "auto") -> list[tuple[Column, float]]:
    """Cost of one swap of aligned faces, on the first pair that can be read, at the method's own size."""
    swapper = PhotoSwapper.from_pretrained(method, device=device)
    side = swapper.method.size or FREE_SIDE
    for pair in pairs:
        try:
            views = [look(read_photo(path).pixels, str(path)) for path in (pair.identity, pair.attribute)]
        except StyleganSwapError:
            continue
        if any(view.landmarks is None for view in views):
            continue
        x_id, x_attr = (from_pixels(view.crop(side)) for view in views)
        points = [view.alignment(side).to_crop(np.asarray(view.landmarks)) for view in views]
        _, cost = cost_of_method(swapper.method, x_id, x_attr, torch.from_numpy(points[1])[None])
        values = (cost.seconds, cost.memory, cost.parameters / 1e6, cost.flops / 1e9)
        return list(zip(COLUMNS, values, strict=True))
    return []


def modules_of(method: Any) -> list[nn.Module]:
    """The networks of a method: itself, or its attributes."""
    return [part for part in (method, *vars(method).values()) if isinstance(part, nn.Module)]


def count_parameters(modules: Iterable[nn.Module]) -> int:
    """Numbers in the parameters of networks; a tensor that several share counts once."""
    return sum({id(p): p.numel() for module in modules for p in module.parameters()}.values())


def peak_memory(call: Callable[[], object], device: torch.device | str = "cpu") -> float:
    """How far a call raises the memory in use above what it was before, MiB.

    On CUDA the allocator's peak. On a CPU the resident set: on Linux what is free is given back and the
    high-water mark set back first; elsewhere they cannot be, and calls that need less than an earlier peak
    of the process read 0.

    Args:
        call: what to measure.
        device: where the work is.
    """
    device = torch.device(device)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        base = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - base) / _MIB
    # Otherwise a warm call finds what it needs already resident. glibc's own; other C libraries lack it.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        # proc(5): 5 sets the high-water mark back to what is resident now.
        Path("/proc/self/clear_refs").write_text("5")
        read = _high_water_of_linux
    except OSError:
        read = _high_water
    mark = read()
    call()
    return max(0.0, read() - mark)


def _high_water_of_linux() -> float:
    """``VmHWM`` in MiB; getrusage's own mark is not set back with it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _high_water() -> float:
    # KiB on Linux and BSD, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024
