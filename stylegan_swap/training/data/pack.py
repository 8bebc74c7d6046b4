"""A training set in one file: ``*.faces``, an uncompressed zip of aligned JPEG crops and ``index.json``.

Written and read by ``Photos``. One file of a few megabytes travels to another machine more easily than
thousands of photographs, and opens in a second because nothing is left to align.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_swap.errors import ImageReadError, ImageWriteError
from stylegan_swap.files.atomic import replacing
from stylegan_swap.training.data.crops import FaceCrop

SUFFIX = ".faces"
INDEX = "index.json"
FORMAT = "stylegan-swap faces"
VERSION = 1

# What a damaged zip or index raises, depending on where the damage is.
_DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


def write_pack(crops: list[FaceCrop], file: Path, *, fingerprint: str = "") -> None:
    """Write all crops into one file, whole or not at all.

    Args:
        crops: what to store.
        file: the pack; its folder must exist.
        fingerprint: what the crops were made of, see ``photo_folder.fingerprint``; for caches.

    Raises:
        ImageWriteError: the folder is missing or cannot be written to.
    """
    entries = []
    for number, crop in enumerate(crops):
        entries.append(
            {
                "jpeg": f"{number:06d}.jpg",
                "name": crop.name,
                "person": crop.person,
                "expression": crop.expression,
                "source": crop.source,
                "sharp_side": crop.sharp_side,
                "glasses": crop.glasses,
                "side": crop.side,
                # float32 → float → JSON → float32 gives back the same number.
                "landmarks": crop.landmarks.astype(float).tolist(),
            }
        )
    index = {"format": FORMAT, "version": VERSION, "fingerprint": fingerprint, "photos": entries}
    try:
        with replacing(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_member(INDEX), json.dumps(index))
            for number, crop in enumerate(crops):
                archive.writestr(_member(f"{number:06d}.jpg"), crop.jpeg)
    except OSError as error:
        raise ImageWriteError(f"{file}: cannot write the pack ({error}); choose another place") from error


def read_pack(file: Path) -> list[FaceCrop]:
    """All crops of a pack, in the order they were written.

    Raises:
        ImageReadError: missing, damaged, not a pack, or of another version.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            index = _checked(json.loads(_member_of(archive, INDEX)), file)
            names = [entry["jpeg"] for entry in index["photos"]]
            if sum(archive.getinfo(name).file_size for name in names) > file.stat().st_size:
                raise ValueError("pictures that are listed more than once")
            return [_crop(entry, _member_of(archive, entry["jpeg"])) for entry in index["photos"]]
    except FileNotFoundError as error:
        raise ImageReadError(f"{file}: no such pack; make it from a folder of photographs") from error
    except _DAMAGE as error:
        raise ImageReadError(f"{file}: damaged or not a {SUFFIX} pack ({error}); pack again") from error


def pack_fingerprint(file: Path) -> str | None:
    """The fingerprint stored in a pack; None when there is no such file or it is no usable pack."""
    try:
        with zipfile.ZipFile(file) as archive:
            return str(_checked(json.loads(_member_of(archive, INDEX)), file)["fingerprint"])
    except (ImageReadError, *_DAMAGE):
        return None


def _member_of(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member; nothing is unpacked, so a small pack cannot become a large one in memory."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, a pack is not")
    return archive.read(entry)


def _member(name: str) -> zipfile.ZipInfo:
    """With a fixed date, so that equal contents make equal files."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def _checked(index: Any, file: Path) -> dict:
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise ImageReadError(f"{file}: not a {SUFFIX} pack; make one from a folder of photographs")
    if index.get("version") != VERSION:
        raise ImageReadError(
            f"{file}: pack of version {index.get('version')}, this library reads {VERSION}; pack again"
        )
    return index


def _crop(entry: dict, jpeg: bytes) -> FaceCrop:
    landmarks = np.asarray(entry["landmarks"], np.float32)
    if landmarks.shape != (68, 2):
        raise ValueError(f"{entry['name']} has landmarks {landmarks.shape}")
    return FaceCrop(
        name=str(entry["name"]),
        person=str(entry["person"]),
        expression=str(entry["expression"]),
        source=str(entry["source"]),
        sharp_side=float(entry["sharp_side"]),
        glasses=bool(entry["glasses"]),
        side=int(entry["side"]),
        landmarks=landmarks,
        jpeg=jpeg,
    )
