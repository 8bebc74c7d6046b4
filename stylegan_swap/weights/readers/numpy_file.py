"""Arrays of .npy and .npz files without running anything of them, and without trusting what they announce.

NumPy's own loader takes memory for whatever shape a header names; here the bytes that are there decide.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.readers import ForbiddenPickle, own_errors, refuse_impostors

LARGEST = 2**28  # bytes of all arrays; ten times the components of GANSpace at full width
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(file: Path) -> np.ndarray:
    """The array of a .npy file, float32.

    Raises:
        CheckpointError: unreadable, damaged, no numbers, or it would have to run code.
    """
    refuse_impostors(file)
    with own_errors(file), file.open("rb") as stream:
        return _array(stream.read(LARGEST))


def read_npz(file: Path) -> dict[str, np.ndarray]:
    """The numeric arrays of a .npz file, float32, by name; the first 256 MB of them.

    Raises:
        CheckpointError: unreadable, damaged, no numbers in it, or it would have to run code.
    """
    refuse_impostors(file)
    arrays = {}
    room = LARGEST
    with own_errors(file), zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(".npy") and entry.file_size <= room:
                room -= entry.file_size
                arrays[entry.filename.removesuffix(".npy")] = _array(archive.read(entry))
    if not arrays:
        raise CheckpointError(f"{file}: holds no arrays; give the file its authors published")
    return arrays


def _array(data: bytes) -> np.ndarray:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format")
    shape, fortran, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise ForbiddenPickle("pickled objects, which are a program")
    if dtype.kind not in "fiu":
        raise ValueError(f"no numbers but {dtype}")
    flat = np.frombuffer(data, dtype, math.prod(map(int, shape)), stream.tell()).astype(np.float32)
    return flat.reshape(shape, order="F" if fortran else "C")
