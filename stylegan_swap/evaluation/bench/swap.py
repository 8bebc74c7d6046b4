"""Time of whole swaps of photographs, warm and cold, stage by stage.

Stages: decode, detection, landmarks, align, network, paste, recognition, encode. The library's own functions
are replaced by timed ones for as long as a measurement runs; an inner call's time is not counted to the outer
one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import pkgutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from stylegan_swap.evaluation.bench.clock import describe_machine, run_process
from stylegan_swap.images.photo import demo_photos
from stylegan_swap.nn.device import choose_device
from stylegan_swap.swapping.swapper import PhotoSwapper

_JPEG_QUALITY = 95


#: Owner of a function (importable name or object), its attribute, and the stage it counts to.
Stage: TypeAlias = "tuple[str | object, str, str]"
STAGES: tuple[Stage, ...] = (
    ("stylegan_swap.swapping.swapper", "read_photo", "decode"),
    ("stylegan_swap.swapping.swapper", "select_faces", "detection"),
    ("stylegan_swap.faces.detection.landmarks:DlibLandmarks", "__call__", "landmarks"),
    ("stylegan_swap.faces.geometry.align:Alignment", "crop", "align"),
    ("stylegan_swap.methods.default.method:DefaultMethod", "swap_aligned", "network"),
    ("stylegan_swap.methods.default.method:DefaultMethod", "prepare", "network"),
    ("stylegan_swap.swapping.swapper", "paste_back", "paste"),
    ("stylegan_swap.swapping.swapper", "describe_face", "recognition"),
    ("stylegan_swap.swapping.result", "describe_face", "recognition"),
    ("stylegan_swap.swapping.result:SwapResult", "save", "encode"),
)

_COLD = """
import json, sys, time
start = last = time.perf_counter()
laps = {}
def lap(name):
    global last
    now = time.perf_counter()
    laps[name] = laps.get(name, 0.0) + now - last
    last = now
import stylegan_swap.cli.main
lap("command line")
import torch
lap("import torch")
import stylegan_swap.swapping.swapper
lap("import the rest")
from stylegan_swap.files.allocator import keep_freed_memory
keep_freed_memory()
swapper = stylegan_swap.swapping.swapper.PhotoSwapper.from_pretrained(sys.argv[4], device=sys.argv[5])
lap("weights")
from stylegan_swap.evaluation.bench.swap import timed_stages
with timed_stages() as stages:
    person = swapper.prepare(sys.argv[1])
    result = swapper(person, sys.argv[2])
    result.save(sys.argv[3], overwrite=True)
    distance = result.faces[0].distance
lap("other")
laps["other"] -= sum(stages.values())
print(json.dumps({**laps, **stages, "sum": time.perf_counter() - start}))
"""


@contextlib.contextmanager
def timed_stages(stages: Iterable[Stage] = STAGES) -> Iterator[dict[str, float]]:
    """Add up the seconds of every stage in the dictionary that is yielded; one thread at a time."""
    seconds: dict[str, float] = {}
    # Time spent in inner stages, one entry per open call.
    inner_times: list[float] = []
    undo: list[tuple[Any, str, Any]] = []

    def timed(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            inner_times.append(0.0)
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                total = time.perf_counter() - start
                seconds[stage] = seconds.get(stage, 0.0) + total - inner_times.pop()
                if inner_times:
                    inner_times[-1] += total

        return wrapper

    try:
        for holder, name, stage in stages:
            owner = pkgutil.resolve_name(holder) if isinstance(holder, str) else holder
            original = getattr(owner, name)
            undo.append((owner, name, original))
            setattr(owner, name, timed(original, stage))
        yield seconds
    finally:
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)


def cold_command(identity: Path, attribute: Path, *, method: str = "default", device: str = "auto") -> float:
    """Seconds of a whole `stylegan-swap swap`, from start of the interpreter to its end.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "stylegan_swap.cli.main", "swap", str(identity), str(attribute)]
        command += ["-o", str(Path(folder, "result.jpg")), "--method", method, "--device", device]
        start = time.perf_counter()
        run_process(command)
        return time.perf_counter() - start


def cold_stages(
    identity: Path, attribute: Path, *, method: str = "default", device: str = "auto"
) -> dict[str, float]:
    """The same work in a fresh interpreter, stage → seconds, imports and weights included.

    Raises:
        RuntimeError: the swap failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = str(Path(folder, "result.jpg"))
        command = [sys.executable, "-c", _COLD, str(identity), str(attribute), result, method, device]
        return dict(json.loads(run_process(command).splitlines()[-1]))


@dataclass
class SwapTimes:
    """Seconds of whole swaps, the best round of each kind.

    Attributes:
        warm: photo file in, result file out, with a prepared identity.
        warm_stages: stage → seconds in that round.
        cold: the whole command; None if it was not asked for.
        cold_stages: stage → seconds in a fresh interpreter, imports and weights included.
        machine: what it was measured on.
    """

    warm: float
    warm_stages: dict[str, float]
    cold: float | None = None
    cold_stages: dict[str, float] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)


def write_photos(folder: Path, megapixels: float) -> tuple[Path, Path]:
    """The two portraits of the demonstration as JPEG files of that many megapixels: identity, attribute."""
    paths = []
    for name, photo in zip(("identity.jpg", "attribute.jpg"), demo_photos(), strict=True):
        height, width = photo.pixels.shape[:2]
        factor = math.sqrt(megapixels * 1e6 / (height * width))
        size = (round(width * factor), round(height * factor))
        Image.fromarray(np.ascontiguousarray(photo.pixels)).resize(size, Image.Resampling.BICUBIC).save(
            folder / name, quality=_JPEG_QUALITY
        )
        paths.append(folder / name)
    return paths[0], paths[1]


def time_swaps(
    method: str = "default",
    *,
    device: str = "auto",
    dtype: str = "auto",
    megapixels: float = 2.0,
    rounds: int = 5,
    cold_rounds: int = 1,
) -> SwapTimes:
    """Swap the demonstration's portraits and time it.

    Args:
        method: see ``swap``.
        device: see ``swap``.
        dtype: see ``swap``; the cold command takes its own default.
        megapixels: of either photo.
        rounds: warm swaps; one more comes before, untimed.
        cold_rounds: runs of the command; 0 leaves it out.

    Raises:
        StyleganSwapError: as ``swap``.
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        identity, attribute = write_photos(folder, megapixels)
        swapper = PhotoSwapper.from_pretrained(method, device=device, dtype=dtype)
        person = swapper.prepare(identity)
        best, stages = math.inf, {}
        for index in range(rounds + 1):
            with timed_stages() as seconds:
                start = time.perf_counter()
                swapper(person, attribute).save(folder / "result.jpg", overwrite=True, quality=_JPEG_QUALITY)
                total = time.perf_counter() - start
            if index and total < best:
                best, stages = total, {**seconds, "other": total - sum(seconds.values())}
        result = SwapTimes(best, stages, machine=describe_machine(choose_device(device)))
        runs = range(cold_rounds)
        if cold_rounds:
            result.cold = min(cold_command(identity, attribute, method=method, device=device) for _ in runs)
            laps = [cold_stages(identity, attribute, method=method, device=device) for _ in runs]
            result.cold_stages = min(laps, key=lambda lap: lap["sum"])
        return result
