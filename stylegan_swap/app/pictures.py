"""Uploaded photos and saved results of the page: what ``photo``, ``edit`` and ``generate`` share.

Road: **uploaded file** → swap, edit or generate → **saved file, and small pictures for the screen**.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from stylegan_swap.app.words import marks
from stylegan_swap.errors import AppError
from stylegan_swap.faces.detection.detect import SMALLEST_FACE, detect_faces
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.images.photo import (
    Photo,
    read_photo,
)
from stylegan_swap.provenance.credentials import Credentials
from stylegan_swap.provenance.photo_file import (
    WRITABLE,
    write_photo,
)
from stylegan_swap.provenance.watermark import SMALLEST_SIDE, Kind
from stylegan_swap.swapping.result import SwapResult

#: Share of the work that is done, and what comes now.
Report: TypeAlias = Callable[[float, str], None]

#: The file types on offer; the first is that of the photo, or PNG where that cannot be written.
FILE_TYPES = ("like the photo", "PNG", "JPEG", "WebP")

THUMBNAIL_SIDE = 96
# Sides of what is shown on the screen; the file to download has all pixels.
SCREEN_SIDE = 1400


@dataclass(frozen=True)
class FoundFaces:
    """The faces of a photo.

    Attributes:
        thumbnails: from left to right, uint8 RGB ``[96, 96, 3]``.
        usable: which of them are large enough to swap.
        largest: the number of the largest, from 0.
    """

    thumbnails: list[np.ndarray]
    usable: list[bool]
    largest: int


@dataclass(frozen=True)
class Outcome:
    """What a swap or an edit gives the page.

    Attributes:
        before: the photo as it is shown on the screen.
        after: the result, likewise; marked as the result is.
        file: the result with all its pixels.
        size: its width and height.
        distances: one per face; see ``SwappedFace.distance``.
        notes: what the user should know, one line each.
        marked: which marks the file carries, in words.
    """

    before: Path
    after: Path
    file: Path
    size: tuple[int, int]
    distances: list[float]
    notes: list[str] = field(default_factory=list)
    marked: str = ""


def silent(_share: float, _what: str) -> None:
    """A report that nobody reads."""


def chosen_file(path: str | Path | None, what: str) -> Path:
    """The uploaded file.

    Raises:
        AppError: there is none, or it was deleted meanwhile.
    """
    if not path:
        raise AppError(f"choose {what} first")
    if not Path(path).is_file():
        raise AppError(f"{Path(path).name}: was deleted here after a while; choose it again")
    return Path(path)


def find_faces(photo: Photo | Path) -> FoundFaces:
    """Look for faces, numbered as ``Swapper`` numbers them.

    Raises:
        NoFaceError: there is none; ImageReadError: the file is no picture, damaged or too large.
    """
    photo = read_photo(photo)
    faces = detect_faces(photo.pixels, name=photo.name, thorough=True)
    crops = [ffhq_alignment(face.landmarks, THUMBNAIL_SIDE).crop(photo.pixels) for face in faces]
    sides = [face.side for face in faces]
    return FoundFaces(
        [np.rint(np.clip(crop, 0, 255)).astype(np.uint8) for crop in crops],
        [side >= SMALLEST_FACE for side in sides],
        int(np.argmax(sides)),
    )


def save_outcome(photo: Photo, result: SwapResult, folder: Path, stem: str, file_type: str) -> Outcome:
    """Write the result as ``SwapResult.save`` does, and both pictures for the screen.

    Args:
        photo: what was swapped into or edited.
        result: of that.
        folder: where the files go.
        stem: name of the result's file, without suffix.
        file_type: one of ``FILE_TYPES``.

    Raises:
        AppError: there is no such file type.
        ImageWriteError: the disk is full, or the C2PA credentials are unusable.
    """
    file = folder / (stem + suffix_of(file_type, Path(photo.name)))
    result.save(file)
    before, after = folder / "before.jpg", folder / "after.jpg"
    write_photo(before, _for_screen(photo.pixels), mark=False, quality=90)
    # What is on the screen can be saved from there: it says what it is as well.
    write_photo(after, _for_screen(np.asarray(result.image.convert("RGB"))), result=result.kind, quality=90)
    return Outcome(
        before,
        after,
        file,
        result.image.size,
        [face.distance for face in result.faces],
        list(dict.fromkeys(result.notes)),
        words_of_marks(result.image.size),
    )


def save_generated(pixels: np.ndarray, path: Path) -> None:
    """Write a face of nobody as ``stylegan-swap generate`` does.

    Raises:
        ImageWriteError: the disk is full, or the C2PA credentials are unusable.
    """
    from stylegan_swap.provenance.metadata import TRAINED

    write_photo(path, pixels, source_type=TRAINED, result=Kind.GENERATED)


def words_of_marks(size: Sequence[int]) -> str:
    """Which marks a result of that size carries here."""
    return marks(min(size) >= SMALLEST_SIDE, Credentials.from_environment() is not None)


def suffix_of(file_type: str, photo: Path) -> str:
    """The suffix of a result.

    Raises:
        AppError: there is no such file type.
    """
    if file_type not in FILE_TYPES:
        raise AppError(f"there is no file type {file_type!r}: choose from {', '.join(FILE_TYPES)}")
    if file_type == FILE_TYPES[0]:
        own = photo.suffix.lower()
        return own if own in WRITABLE else ".png"
    return {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}[file_type]


def _for_screen(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pixels)
    image.thumbnail((SCREEN_SIDE, SCREEN_SIDE), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(image))
