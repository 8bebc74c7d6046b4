"""Times calls against each other: in turn, in one process, so that a busy machine slows all of them alike.

Used by everything in `bench` and by the scripts in `benchmarks/`. Ratios of numbers from one run mean
something on any machine; seconds only on an idle one.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

Call = Callable[[], object]
FEWEST_ROUNDS = 2


@dataclass
class Timing:
    """The rounds of one call.

    Attributes:
        wall: seconds of each round, the device's queue included.
        cpu: seconds of processor time of each round, all threads together. On a machine shared with
            others this is the steadier number, as long as the threads do not wait for each other.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median round in seconds."""
        return statistics.median(self.wall)

    @property
    def best(self) -> float:
        """The fastest round in seconds: what the machine can do undisturbed."""
        return min(self.wall)

    @property
    def cpu_best(self) -> float:
        """The least processor time of a round in seconds."""
        return min(self.cpu)


def in_turn(
    calls: Mapping[str, Call],
    *,
    device: torch.device | str = "cpu",
    rounds: int = 5,
    seconds: float = 30.0,
    warm_up: bool = True,
) -> dict[str, Timing]:
    """Time calls one after the other, round by round.

    Args:
        calls: name → what to time.
        device: where they run; a GPU's queue is waited for.
        rounds: the most rounds.
        seconds: no further round begins after so long; at least two are done.
        warm_up: run each once beforehand, untimed.

    Returns:
        Name → its timing.

    Raises:
        ValueError: there is nothing to time, or fewer rounds than one.
    """
    if not calls or rounds < 1:
        raise ValueError(f"in_turn: {len(calls)} calls and {rounds} rounds; at least one of each is needed.")
    where = torch.device(device)
    if warm_up:
        for call in calls.values():
            call()
    result = {name: Timing() for name in calls}
    end = time.perf_counter() + seconds
    # A collection in the middle of a call would be charged to it.
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        for index in range(rounds):
            if index >= FEWEST_ROUNDS and time.perf_counter() > end:
                break
            for name, call in calls.items():
                wall, cpu = _lap(call, where)
                result[name].wall.append(wall)
                result[name].cpu.append(cpu)
    finally:
        if enabled:
            gc.enable()
    return result


def _lap(call: Call, device: torch.device) -> tuple[float, float]:
    wait_for(device)
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    wait_for(device)
    return time.perf_counter() - wall, time.process_time() - cpu


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
