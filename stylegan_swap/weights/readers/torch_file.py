"""The one reader of PyTorch's files and of pickles: tensors and plain values, nothing is executed.

Every road that is given a file reads it here: ``convert``, methods with published weights, ``train --start``
and ``--checkpoint``, recognisers, LPIPS, directions. ``torch.load(weights_only=True)`` is not used: it knows
the names that old checkpoints need only by importing or registering classes, and a short program makes it
copy, hash or reserve without limit.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.readers import own_errors, refuse_impostors
from stylegan_swap.weights.readers.pickled_arrays import NAMES, Storages, numbers, read_older_format
from stylegan_swap.weights.readers.restricted_pickle import RestrictedUnpickler

_ZIP = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<26xHH")  # ends with the lengths of name and extra field
# A pickle of the number PyTorch's files began with before 1.6.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# Beginnings of other packed files.
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}
_NAMES_TOLD = 3  # of the files in an archive
# PROTO of 2 and later; NVIDIA's writers used 3 and 4.
_PICKLE = tuple(bytes([0x80, version]) for version in (2, 3, 4, 5))


def read_file(file: Path, *, mapped: bool = False) -> Any:
    """Read what a foreign file holds.

    Args:
        file: a zip or older file of ``torch.save``, or a pickle of NVIDIA's repositories.
        mapped: leave the numbers of a zip in the file until they are used.

    Returns:
        Dicts, lists, tensors on the CPU, numbers, ``PickledModule`` and ``PickledNetwork``.

    Raises:
        CheckpointError: missing, damaged, unsafe, or none of these formats.
    """
    refuse_impostors(file)
    with own_errors(file):
        data = _memory(file, mapped)
        head = bytes(data[: len(_LEGACY)])
        if head.startswith(_ZIP):
            return _read_zip(file, data)
        if head == _LEGACY:
            return read_older_format(data, NAMES)
        # Protocols 0 and 1 have no mark at the start.
        if head.startswith(_PICKLE) or file.suffix.lower() == ".pkl":
            return RestrictedUnpickler(data, NAMES).load()
    if packed := next((name for mark, name in _PACKED.items() if head.startswith(mark)), None):
        raise CheckpointError(f"{file}: is packed by {packed}; unpack it and give the file inside")
    raise CheckpointError(
        f"{file}: is neither a PyTorch file nor a pickle (it begins with {head[:8]!r}); "
        "fetch it again, or give a .pt, .pth or .pkl file of a published network"
    )


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read a state dict: a .safetensors file, or what :func:`read_file` reads.

    Raises:
        CheckpointError: as :func:`read_file`, or it holds anything but tensors by name.
    """
    if file.suffix.lower() == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        refuse_impostors(file)
        with own_errors(file), file.open("rb") as stream:
            if stream.read(len(_ZIP)) == _ZIP and zipfile.is_zipfile(stream):
                raise _archive(file, zipfile.ZipFile(stream).namelist())
        try:
            return load_file(file)
        except (SafetensorError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{file}: is truncated or damaged ({reason}); fetch it again") from error
    content = read_file(file)
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(f"{file}: is no mapping of names to tensors; give a state dict")
    return dict(content)


def _archive(file: Path, names: list[str]) -> CheckpointError:
    """The error of a zip around a file: Google Drive packs what is fetched as a folder."""
    files = [name for name in names if not name.endswith("/")]
    told = ", ".join("".join(filter(str.isprintable, name))[:100] for name in files[:_NAMES_TOLD])
    more = f" and {len(files) - _NAMES_TOLD} more" if len(files) > _NAMES_TOLD else ""
    return CheckpointError(
        f"{file}: is an archive that holds {told or 'nothing'}{more}; unpack it and give the file inside"
    )


def _memory(file: Path, mapped: bool) -> memoryview:
    """The whole file, writable, as tensors must be; what is written stays in memory."""
    with file.open("rb") as stream:
        if mapped:
            return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))
        data = bytearray(file.stat().st_size)
        if stream.readinto(data) != len(data):
            raise EOFError("it became shorter while it was read")
        return memoryview(data)


def _read_zip(file: Path, data: memoryview) -> Any:
    """Read a zip file of ``torch.save``: the program data.pkl, and a stored entry for every storage."""
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    programs = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
    if not programs:
        raise _archive(file, list(entries))
    # PyTorch stores without compression; a compressed entry could unpack to any size.
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise CheckpointError(
            f"{file}: is a compressed archive, not a PyTorch file; unpack it and give the file inside"
        )
    if sum(entry.file_size for entry in entries.values()) > len(data):
        raise CheckpointError(f"{file}: announces more numbers than it holds; fetch it again")
    [program] = programs
    folder = program.removesuffix("data.pkl")
    if f"{folder}constants.pkl" in entries:
        raise CheckpointError(f"{file}: is a TorchScript program; ask its author for a state dict")

    def record(name: str) -> memoryview:
        entry = entries[folder + name]
        start = entry.header_offset
        start += _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack_from(data, start))
        return data[start : start + entry.file_size]

    if f"{folder}byteorder" in entries and bytes(record("byteorder")) != b"little":
        raise ValueError("written on a big-endian machine")

    def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
        return numbers(record(f"data/{key}"), dtype, count)

    return RestrictedUnpickler(record("data.pkl"), NAMES, Storages(storage)).load()
