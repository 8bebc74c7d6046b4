"""Arrays of .npy and .npz files without running anything of them, and without trusting what they announce.

Before the road, where directions of other projects are read. NumPy's own loader takes memory for whatever
shape a header names; here the shape is compared with the bytes that are there first.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.store import refuse_impostors

# Ten times the components of GANSpace at full width.
LARGEST = 2**28
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_BROKEN = (OSError, EOFError, ValueError, TypeError, SyntaxError, KeyError, NotImplementedError, zlib.error)


def read_npy(file: Path) -> np.ndarray:
    """The array of a .npy file, float32.

    Raises:
        CheckpointError: unreadable, damaged, no numbers, or it would have to run code.
    """
    refuse_impostors(file)
    with file.open("rb") as stream:
        return _array(stream, file.stat().st_size, str(file))


def read_npz(file: Path) -> dict[str, np.ndarray]:
    """The numeric arrays of a .npz file, float32, by name; arrays above 256 MB are left out.

    Raises:
        CheckpointError: unreadable, damaged, no numbers in it, or it would have to run code.
    """
    refuse_impostors(file)
    arrays = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if not entry.filename.endswith(".npy") or entry.file_size > LARGEST:
                    continue
                with archive.open(entry) as stream:
                    name = entry.filename.removesuffix(".npy")
                    arrays[name] = _array(stream, entry.file_size, f"{file}, {name}")  # type: ignore[arg-type]
    except (zipfile.BadZipFile, RuntimeError, *_BROKEN) as error:
        raise CheckpointError(f"{file}: is no readable .npz file ({error}); fetch it again") from error
    if not arrays:
        raise CheckpointError(f"{file}: holds no arrays; give the file its authors published")
    return arrays


def _array(stream: BinaryIO, size: int, name: str) -> np.ndarray:
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = _HEADERS[version](stream)
    except _BROKEN as error:
        raise CheckpointError(f"{name}: is no .npy array ({error}); fetch it again") from error
    if dtype.hasobject:
        raise CheckpointError(
            f"{name}: refused, it holds pickled objects, which are a program; nothing was executed; "
            "ask its author for plain numbers"
        )
    if dtype.kind not in "fiu":
        raise CheckpointError(f"{name}: holds no numbers (type {dtype}); give a file of directions")
    count = 1
    for side in shape:
        count *= int(side)
    if count * dtype.itemsize > min(size, LARGEST):
        raise CheckpointError(f"{name}: announces more numbers than it holds; fetch it again")
    data = stream.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise CheckpointError(f"{name}: is cut off; fetch it again")
    flat = np.frombuffer(data, dtype, count).astype(np.float32)
    return flat.reshape(shape, order="F" if fortran else "C")
