"""Timing calls in turn in one process, so that a busy machine slows all of them alike; the machine's data.

Ratios of numbers from one run mean something on any machine; seconds only on an idle one.
"""

from __future__ import annotations

import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cuda_ops import ops_backend
from stylegan_swap.nn.device import has_fast_bfloat16

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
    """Time calls one after the other, round by round; returns the timing of each name.

    Args:
        calls: name → call.
        device: where they run; a GPU's queue is waited for.
        rounds: the most rounds.
        seconds: no further round begins after so long; at least two are done.
        warm_up: run each once beforehand, untimed.

    Raises:
        ValueError: there is nothing to time, or fewer rounds than one.
    """
    if not calls or rounds < 1:
        raise ValueError(f"in_turn: {len(calls)} calls and {rounds} rounds; at least one of each is needed.")
    device = torch.device(device)
    if warm_up:
        for call in calls.values():
            call()
    timings = {name: Timing() for name in calls}
    end = time.perf_counter() + seconds
    # A collection in the middle of a call would be charged to it.
    gc.collect(1)
    enabled = gc.isenabled()
    gc.disable()
    try:
        for index in range(rounds):
            if index >= FEWEST_ROUNDS and time.perf_counter() > end:
                break
            for name, call in calls.items():
                wait_for(device)
                wall, cpu = time.perf_counter(), time.process_time()
                call()
                wait_for(device)
                timings[name].wall.append(time.perf_counter() - wall)
                timings[name].cpu.append(time.process_time() - cpu)
    finally:
        if enabled:
            gc.enable()
    return timings


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


_MIB = 2**20
_COPY_MIB = 256


def describe_machine(device: torch.device | str = "cpu") -> dict[str, str]:
    """Processor or GPU, threads, versions."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": f"{device} ({name})",
        "threads": str(torch.get_num_threads()),
        "bfloat16": "in hardware" if has_fast_bfloat16(device) else "emulated",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "operations": ops_backend().active,
    }


def copy_bandwidth(device: torch.device | str = "cpu") -> float:
    """Bytes read and written per second by a copy too large for any cache, the best of five."""
    source = torch.ones(_COPY_MIB * _MIB // 4, device=device)
    target = torch.empty_like(source)
    timing = in_turn({"copy": lambda: target.copy_(source)}, device=device, rounds=5)["copy"]
    return 2 * source.numel() * source.element_size() / timing.best


def memory_of(script: str, arguments: Sequence[str] = ()) -> float:
    """The most memory a fresh interpreter held while it ran a script, MiB.

    Args:
        script: Python source; ``sys.argv[1:]`` are the arguments.
        arguments: as text.

    Raises:
        RuntimeError: the script failed, or the system does not tell (it must be Linux).
    """
    # getrusage's mark is inherited from the process that starts this one; VmHWM is the new program's own.
    closing = (
        "\nimport json as _json\n_lines = open('/proc/self/status').read().splitlines()\n"
        "print(_json.dumps(next(int(l.split()[1]) / 1024 for l in _lines if l.startswith('VmHWM'))))\n"
    )
    if not Path("/proc/self/status").is_file():
        raise RuntimeError("peak memory of a process is read from /proc/self/status, which is Linux's")
    output = run_process([sys.executable, "-c", script + closing, *arguments])
    return float(json.loads(output.splitlines()[-1]))


def run_process(command: Sequence[str]) -> str:
    """Standard output of a command.

    Raises:
        RuntimeError: it failed; with the end of its standard error.
    """
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise RuntimeError(f"the measured process failed: {process.stderr.strip()[-500:]}")
    return process.stdout


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
