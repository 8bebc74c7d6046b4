"""Times whole swaps of photographs, warm and cold.

Used by `stylegan-swap bench` and `benchmarks/bench_swap.py`.
"""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan_swap.api import Swapper
from stylegan_swap.evaluation.bench.machine import describe_machine
from stylegan_swap.evaluation.bench.stages import cold_command, cold_stages, timed_stages
from stylegan_swap.images.demo_photos import demo_photos
from stylegan_swap.nn.device import choose_device

_QUALITY = 95


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
            folder / name, quality=_QUALITY
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
        swapper = Swapper.from_pretrained(method, device=device, dtype=dtype)
        person = swapper.prepare(identity)
        best, stages = math.inf, {}
        for index in range(rounds + 1):
            with timed_stages() as seconds:
                start = time.perf_counter()
                swapper(person, attribute).save(folder / "result.jpg", overwrite=True, quality=_QUALITY)
                took = time.perf_counter() - start
            if index and took < best:
                best, stages = took, {**seconds, "other": took - sum(seconds.values())}
        result = SwapTimes(best, stages, machine=describe_machine(choose_device(device)))
        runs = range(cold_rounds)
        if cold_rounds:
            result.cold = min(cold_command(identity, attribute, method=method, device=device) for _ in runs)
            laps = [cold_stages(identity, attribute, method=method, device=device) for _ in runs]
            result.cold_stages = min(laps, key=lambda lap: lap["sum"])
        return result
