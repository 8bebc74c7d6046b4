"""Reads PyTorch's files of other projects as tensors and plain values, and tells which reader a file needs.

Road: before it, where weights of other projects are converted. Everything of PyTorch's formats goes through
``torch.load(weights_only=True)``; foreign classes that are known there mean the stand-ins of
``restricted_pickle``, others are refused by name.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.readers.pickle_machine import ForbiddenPickle
from stylegan_swap.weights.readers.restricted_pickle import read_pickle, refusal, stand_ins
from stylegan_swap.weights.readers.torch_program import check_older_program, check_zip_program
from stylegan_swap.weights.store import refuse_impostors

_ZIP = b"PK\x03\x04"
# A pickle of the number PyTorch's files began with before 1.6.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# PROTO of 2 and later; NVIDIA's writers used 3 and 4.
_PICKLE = tuple(bytes([0x80, version]) for version in (2, 3, 4, 5))
_UNREADABLE = (
    *(OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AttributeError),
    *(AssertionError, ArithmeticError, struct.error, zipfile.BadZipFile, NotImplementedError),
)


def read_file(file: Path, *, mapped: bool = False) -> Any:
    """Read what a foreign file holds.

    Args:
        file: a zip or older file of ``torch.save``, or a pickle of NVIDIA's repositories.
        mapped: leave the numbers of a zip in the file until they are used.

    Returns:
        Dicts, lists, tensors, numbers, ``PickledModule`` and ``PickledNetwork``.

    Raises:
        CheckpointError: missing, damaged, unsafe, or none of these formats.
    """
    refuse_impostors(file)
    with file.open("rb") as stream:
        head = stream.read(len(_LEGACY))
    if head.startswith(_ZIP):
        _check_zip(file)
        _check_program(file, check_zip_program)
        return _load(file, mapped)
    if head == _LEGACY:
        _check_program(file, check_older_program)
        return _load(file)
    # Protocols 0 and 1 have no mark at the start; the reader refuses what they could ask for as well.
    if head.startswith(_PICKLE) or file.suffix.lower() == ".pkl":
        return read_pickle(file)
    raise CheckpointError(
        f"{file}: is neither a PyTorch file nor a pickle (it begins with {head[:8]!r}); "
        "give a .pt, .pth or .pkl file of a published network"
    )


def _load(file: Path, mapped: bool = False) -> Any:
    try:
        with torch.serialization.safe_globals([*stand_ins()]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except ForbiddenPickle as error:
        raise refusal(file, str(error)) from None
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise refusal(file, _reason(error) if named is None else named[1][:200]) from None
    except MemoryError as error:
        raise CheckpointError(f"{file}: not enough memory to read it; close other programs") from error
    except _UNREADABLE as error:
        raise _damaged(file, error) from error
    _check_tensors(file, content)
    return content


def _check_program(file: Path, check: Callable[[Path], None]) -> None:
    try:
        check(file)
    except ForbiddenPickle as error:
        raise refusal(file, str(error)) from None
    except MemoryError as error:
        raise CheckpointError(f"{file}: not enough memory to read it; close other programs") from error
    except _UNREADABLE as error:
        raise _damaged(file, error) from error


def _check_zip(file: Path) -> None:
    """PyTorch stores without compression; a compressed entry could unpack to any size."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise _damaged(file, error) from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError(
            f"{file}: is a compressed archive, not a PyTorch file; unpack it and give the file inside"
        )
    if sum(entry.file_size for entry in entries) > file.stat().st_size:
        raise CheckpointError(f"{file}: announces more numbers than it holds; fetch it again")


def _check_tensors(file: Path, content: Any) -> None:
    """No tensor may be larger than what is stored for it: a copy would take any amount of memory."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
                raise CheckpointError(f"{file}: holds a sparse or quantised tensor; only plain ones are read")
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise CheckpointError(
                    f"{file}: a tensor {list(value.shape)} is larger than its numbers; fetch it again"
                )
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set):
            waiting.extend(value)
        elif isinstance(getattr(value, "state", None), dict):
            waiting.append(value.state)


def _damaged(file: Path, error: BaseException) -> CheckpointError:
    return CheckpointError(f"{file}: is truncated or damaged ({_reason(error)}); fetch it again")


def _reason(error: BaseException) -> str:
    """What PyTorch says, without its advice to load the file unsafely."""
    text = " ".join(str(error).split())
    text = text.rpartition("WeightsUnpickler error: ")[2]
    text = re.split(r"\W*(?:In PyTorch 2|Weights only load|Re-running|Check the documentation)", text)[0]
    return text[:200] or type(error).__name__
