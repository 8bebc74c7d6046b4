"""What the numbers were measured on: processor, threads, versions; and memory in a process of its own.

Used by everything that prints timings.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from cuda_ops import ops_backend
from stylegan_swap.evaluation.bench.clock import in_turn
from stylegan_swap.nn.device import has_fast_bfloat16

_MIB = 2**20
_COPY_MIB = 256


def describe_machine(device: torch.device | str = "cpu") -> dict[str, str]:
    """Processor or GPU, threads, versions."""
    where = torch.device(device)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else _processor()
    return {
        "device": f"{where} ({name})",
        "threads": str(torch.get_num_threads()),
        "bfloat16": "in hardware" if has_fast_bfloat16(where) else "emulated",
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
    done = subprocess.run(
        [sys.executable, "-c", script + closing, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the measured process failed: {done.stderr.strip()[-500:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
