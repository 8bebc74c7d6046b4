"""Read a folder of photographs as aligned faces: with a manifest and landmarks, or plain.

Called by ``Photos.from_folder``. A folder with ``manifest.csv`` (columns ``file``, ``person``, ``split``,
``expression`` if known) and ``landmarks68.json`` (file → 68 points in pixels of the file) is taken at its
word; in any other folder every face is detected, and people are told apart by sub-folder, else by file.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stylegan_swap.errors import ImageReadError, NoFaceError, StyleganSwapWarning
from stylegan_swap.faces.detection.detect import detect_faces, largest_face
from stylegan_swap.files.paths import contained
from stylegan_swap.files.table import read_table
from stylegan_swap.images.collection import Collection
from stylegan_swap.training.data.crops import FaceCrop, crop_face

MANIFEST = "manifest.csv"
LANDMARKS = "landmarks68.json"
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
# Plain folders have no validation people.
PLAIN_SPLIT = "train"


def read_folder(folder: Path, split: str, side: int) -> list[FaceCrop]:
    """All faces of one split, in the order of the manifest, else of the file names.

    Damaged photographs are left out; one warning lists them with the reasons.

    Args:
        folder: the photographs.
        split: rows of the manifest with this ``split``; a plain folder is all ``train``.
        side: side of the crops in pixels.

    Raises:
        ImageReadError: the folder or a file is missing, no photo can be read, the split is empty, or
            landmarks are missing; the message names the file.
        NoFaceError: a plain folder in which no photo shows a face.
    """
    if not folder.is_dir():
        raise ImageReadError(f"{folder}: no such folder; give the folder that holds the photographs")
    if (folder / MANIFEST).is_file():
        photographs = Collection(folder)
        crops = list(_with_manifest(folder, split, side, photographs))
        return _remaining(crops, photographs)
    return _plain(folder, split, side)


def fingerprint(folder: Path, split: str, side: int) -> str:
    """What a cached pack of this folder must have been made of: changes with any file's size or time.

    Raises:
        ImageReadError: the folder is missing.
    """
    if not folder.is_dir():
        raise ImageReadError(f"{folder}: no such folder; give the folder that holds the photographs")
    names = [name for name in (MANIFEST, LANDMARKS) if (folder / name).is_file()]
    files = [folder / name for name in names] if MANIFEST in names else _photo_files(folder)
    facts = [(str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps([split, side, facts]).encode()).hexdigest()


def _remaining(crops: list[FaceCrop], photographs: Collection) -> list[FaceCrop]:
    """What was read, with a warning of what was not."""
    if not crops and photographs.damaged:
        raise ImageReadError(
            f"{photographs.folder}: no photograph can be read: {photographs.listing}; copy them again"
        )
    photographs.list_damaged()
    return crops


def _with_manifest(folder: Path, split: str, side: int, photographs: Collection) -> Iterator[FaceCrop]:
    table = read_table(folder / MANIFEST, ImageReadError, ("file", "person", "split"))
    rows = table.rows
    missing = {"file", "person", "split"} - set(table.columns if rows else ())
    if missing:
        raise ImageReadError(
            f"{folder / MANIFEST}: no rows or no column {', '.join(sorted(missing))}; "
            "each photo needs its file, person and split"
        )
    chosen = [row for row in rows if row["split"] == split]
    if not chosen:
        splits = ", ".join(sorted({row["split"] for row in rows}))
        raise ImageReadError(f"{folder / MANIFEST}: no photo has split {split!r}; choose one of {splits}")
    landmarks = _landmarks(folder / LANDMARKS)
    for row in chosen:
        name = row["file"]
        if name not in landmarks:
            raise ImageReadError(f"{folder / LANDMARKS}: no landmarks of {name}; add them or drop its row")
        points = np.asarray(landmarks[name], np.float64)
        if points.shape != (68, 2) or not np.isfinite(points).all():
            raise ImageReadError(f"{folder / LANDMARKS}: {name} needs 68 finite points, has {points.shape}")
        photo = photographs.read(contained(folder, name, folder / MANIFEST), name)
        if photo is None:
            continue
        yield crop_face(
            photo.pixels,
            points,
            side,
            name=name,
            person=row["person"],
            expression=row.get("expression", ""),
            source=Path(name).parent.name or folder.name,
        )


def _landmarks(path: Path) -> dict[str, list[list[float]]]:
    try:
        points = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ImageReadError(
            f"{path}: missing; a folder with {MANIFEST} needs it (file → 68 points), "
            f"or remove {MANIFEST} to have the faces detected"
        ) from error
    except ValueError as error:
        raise ImageReadError(f"{path}: not JSON ({error}); write it again") from error
    if not isinstance(points, dict):
        raise ImageReadError(f"{path}: not an object file → 68 points; write it again")
    return points


def _photo_files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return [path for path in files if not path.name.startswith(".")]


def _plain(folder: Path, split: str, side: int) -> list[FaceCrop]:
    if split != PLAIN_SPLIT:
        raise ImageReadError(
            f"{folder}: no photo has split {split!r}: without {MANIFEST} all photos are {PLAIN_SPLIT!r}"
        )
    files = _photo_files(folder)
    if not files:
        raise ImageReadError(
            f"{folder}: no photographs ({', '.join(sorted(SUFFIXES))}); choose another folder"
        )
    crops: list[FaceCrop] = []
    photographs = Collection(folder)
    for path in files:
        name = path.relative_to(folder)
        photo = photographs.read(path, str(name))
        if photo is None:
            continue
        pixels = photo.pixels
        try:
            face = largest_face(detect_faces(pixels, name=str(name)))
        except NoFaceError:
            warnings.warn(f"{path}: no face found, the photo is left out", StyleganSwapWarning, stacklevel=4)
            continue
        person = name.parent.as_posix() if name.parent.parts else name.stem
        source = name.parts[0] if name.parent.parts else folder.name
        crops.append(crop_face(pixels, face.landmarks, side, name=str(name), person=person, source=source))
    if not crops and len(photographs.damaged) < len(files):
        raise NoFaceError(f"{folder}: none of the {len(files)} photographs shows a face; choose others")
    return _remaining(crops, photographs)
