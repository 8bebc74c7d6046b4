"""Where the time of a swap goes: decode, detection, landmarks, align, network, paste, recognition, encode.

Used by `stylegan-swap bench` and `benchmarks/bench_swap.py`. The library's own functions are timed in their
place for as long as a measurement runs; what one calls of another is counted to the inner one alone.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Where → attribute → stage. The stage of the innermost call wins.
_STAGES = (
    ("stylegan_swap.api", "read_photo", "decode"),
    ("stylegan_swap.api", "select_faces", "detection"),
    ("stylegan_swap.faces.detection.landmarks:DlibLandmarks", "__call__", "landmarks"),
    ("stylegan_swap.faces.geometry.align:Alignment", "crop", "align"),
    ("stylegan_swap.methods.default.method:DefaultMethod", "swap_aligned", "network"),
    ("stylegan_swap.methods.default.method:DefaultMethod", "prepare", "network"),
    ("stylegan_swap.api", "paste_back", "paste"),
    ("stylegan_swap.api", "describe_face", "recognition"),
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
import stylegan_swap.api
lap("import the rest")
from stylegan_swap.files.allocator import keep_freed_memory
keep_freed_memory()
swapper = stylegan_swap.api.Swapper.from_pretrained(sys.argv[4], device=sys.argv[5])
lap("weights")
from stylegan_swap.evaluation.bench.stages import timed_stages
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
def timed_stages() -> Iterator[dict[str, float]]:
    """Inside, every stage's seconds add up in the dictionary this gives; one thread at a time."""
    seconds: dict[str, float] = {}
    running: list[float] = []
    undo: list[tuple[Any, str, Any]] = []

    def timed(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            running.append(0.0)
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                took = time.perf_counter() - start
                inner = running.pop()
                seconds[stage] = seconds.get(stage, 0.0) + took - inner
                if running:
                    running[-1] += took

        return wrapper

    try:
        for home, name, stage in _STAGES:
            owner = _owner(home)
            original = getattr(owner, name)
            undo.append((owner, name, original))
            setattr(owner, name, timed(original, stage))
        yield seconds
    finally:
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)


def _owner(home: str) -> Any:
    import importlib

    module, _, attribute = home.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def cold_command(identity: Path, attribute: Path, *, method: str = "default", device: str = "auto") -> float:
    """Seconds of a whole `stylegan-swap swap`, from start of the interpreter to its end.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "stylegan_swap.cli.main", "swap", str(identity), str(attribute)]
        command += ["-o", str(Path(folder, "result.jpg")), "--method", method, "--device", device]
        start = time.perf_counter()
        _run(command)
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
        return dict(json.loads(_run(command).splitlines()[-1]))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if done.returncode:
        raise RuntimeError(f"the timed swap failed: {done.stderr.strip()[-500:]}")
    return done.stdout
