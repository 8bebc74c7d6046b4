"""Runs the pickle inside a PyTorch file on our own machine first, for what PyTorch's reader does not bound.

Road: before it, where weights of other projects are converted; ``torch_file`` asks here. PyTorch's restricted
reader calls nothing dangerous, but a program of a few bytes may make it copy one text a million times, hash
what is nested a thousand levels deep (which ends the process), or reserve any memory. Names are not judged
here: PyTorch refuses them, by name.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from stylegan_swap.weights.readers.pickle_machine import (
    ForbiddenPickle,
    PickleMachine,
    PlainDict,
    StandIn,
    shown,
)
from stylegan_swap.weights.readers.restricted_pickle import allowed

# Of checkpoints with optimisers and module sources: a few megabytes.
_LARGEST = 64 << 20
# A PyTorch file of before 1.6 begins with so many programs: number, version, system, content, keys.
_PROGRAMS = 5
# What hashes its arguments, or reserves as much as they say, means the functions of ``restricted_pickle``.
_JUDGED = ("collections.OrderedDict", "builtins.set", "dnnlib.util.EasyDict", "torch_utils.persistence")


class Opaque(PlainDict):
    """Whatever a name makes: takes any arguments, entries and state, and keeps only what is hashed."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def take_state(self, state: Any) -> None:
        """Keep nothing: PyTorch decides what a state means."""


def check_zip_program(file: Path) -> None:
    """Check the program of a zip file of ``torch.save``.

    Raises:
        ForbiddenPickle: an instruction that no state dict needs.
        ValueError, IndexError, KeyError, TypeError, struct.error: damaged, or made to take time or memory.
        OSError, zipfile.BadZipFile: it cannot be read.
    """
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if entry.filename.rpartition("/")[2] != "data.pkl":
                continue
            if entry.file_size > _LARGEST:
                raise ValueError(f"a description of {entry.file_size} bytes")
            _machine(memoryview(archive.read(entry))).load()


def check_older_program(file: Path) -> None:
    """Check the programs a file of PyTorch before 1.6 begins with; raises as :func:`check_zip_program`."""
    with file.open("rb") as stream:
        machine = _machine(memoryview(stream.read(min(_LARGEST, file.stat().st_size))))
    for _ in range(_PROGRAMS):
        machine.load()


def _machine(data: memoryview) -> PickleMachine:
    return PickleMachine(data, _lookup, lambda _identity: Opaque())


def _lookup(module: str, name: str) -> StandIn:
    full = f"{'builtins' if module == '__builtin__' else module}.{name}"
    if full in ("builtins.bytearray", "collections.Counter"):
        raise ForbiddenPickle(shown(full))
    if full == "_codecs.encode":
        # The text stands for its bytes, so that what is handed over is counted.
        return StandIn(full, lambda text, *_: text)
    if full.startswith(_JUDGED):
        return allowed(module, name)
    return StandIn(full, Opaque)
