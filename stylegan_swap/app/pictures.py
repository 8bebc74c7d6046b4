"""Uploaded photos, detected faces, saved results, and the sentences about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from stylegan_swap.errors import AppError
from stylegan_swap.faces.detection.detect import SMALLEST_FACE, detect_faces
from stylegan_swap.faces.detection.select import SAME_PERSON
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.images.photo import Photo, read_photo
from stylegan_swap.provenance.credentials import Credentials
from stylegan_swap.provenance.metadata import TRAINED
from stylegan_swap.provenance.photo_file import WRITABLE, write_photo
from stylegan_swap.provenance.watermark import SMALLEST_SIDE, Kind
from stylegan_swap.swapping.result import SwapResult

#: Called with the share of the work done and the next step.
Report: TypeAlias = Callable[[float, str], None]

#: The file types on offer; the first is that of the photo, or PNG where that cannot be written.
FILE_TYPES = ("like the photo", "PNG", "JPEG", "WebP")

THUMBNAIL_SIDE = 96  # px
SCREEN_SIDE = 1400  # px, longest side of pictures on the screen; the file to download has all pixels


@dataclass(frozen=True)
class FaceThumbnails:
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
    """Result of a swap or an edit.

    Attributes:
        original: picture of the photo for the screen.
        result: picture of the result, likewise; marked as the result is.
        file: the result with all its pixels.
        size: its width and height.
        distances: one per face; see ``SwappedFace.distance``.
        notes: notes for the user, one line each.
        marked: the marks of the file, in words.
    """

    original: Path
    result: Path
    file: Path
    size: tuple[int, int]
    distances: list[float]
    notes: list[str] = field(default_factory=list)
    marked: str = ""


def silent(_share: float, _step: str) -> None:
    """Ignores a report."""


def chosen_file(path: str | Path | None, subject: str) -> Path:
    """The uploaded file; ``subject`` names it in messages.

    Raises:
        AppError: there is none, or it was deleted meanwhile.
    """
    if not path:
        raise AppError(f"choose {subject} first")
    if not Path(path).is_file():
        raise AppError(f"{Path(path).name}: was deleted here after a while; choose it again")
    return Path(path)


def find_faces(photo: Photo | Path) -> FaceThumbnails:
    """Detect faces, numbered as ``Swapper`` numbers them.

    Raises:
        NoFaceError: there is none; ImageReadError: the file is no picture, damaged or too large.
    """
    photo = read_photo(photo)
    faces = detect_faces(photo.pixels, name=photo.name, thorough=True)
    crops = [ffhq_alignment(face.landmarks, THUMBNAIL_SIDE).crop(photo.pixels) for face in faces]
    sides = [face.side for face in faces]
    return FaceThumbnails(
        [np.rint(np.clip(crop, 0, 255)).astype(np.uint8) for crop in crops],
        [side >= SMALLEST_FACE for side in sides],
        int(np.argmax(sides)),
    )


def save_outcome(photo: Photo, result: SwapResult, folder: Path, stem: str, file_type: str) -> Outcome:
    """Write the result as ``SwapResult.save`` does, and both pictures for the screen.

    ``photo`` is what was swapped into or edited; ``file_type`` is one of ``FILE_TYPES``.

    Raises:
        AppError: there is no such file type.
        ImageWriteError: the disk is full, or the C2PA credentials are unusable.
    """
    file = folder / (stem + suffix_of(file_type, Path(photo.name)))
    result.save(file)
    original_file, result_file = folder / "before.jpg", folder / "after.jpg"
    write_photo(original_file, _for_screen(photo.pixels), mark=False, quality=90)
    # The picture on the screen can be saved from there, so it is marked as well.
    write_photo(
        result_file, _for_screen(np.asarray(result.image.convert("RGB"))), result=result.kind, quality=90
    )
    return Outcome(
        original_file,
        result_file,
        file,
        result.image.size,
        [face.distance for face in result.faces],
        list(dict.fromkeys(result.notes)),
        marks(min(result.image.size) >= SMALLEST_SIDE, Credentials.from_environment() is not None),
    )


def save_generated(pixels: np.ndarray, path: Path) -> None:
    """Write a face of nobody as ``stylegan-swap generate`` does.

    Raises:
        ImageWriteError: the disk is full, or the C2PA credentials are unusable.
    """
    write_photo(path, pixels, source_type=TRAINED, result=Kind.GENERATED)


def suffix_of(file_type: str, photo: Path) -> str:
    """The suffix of a result.

    Raises:
        AppError: there is no such file type.
    """
    if file_type not in FILE_TYPES:
        raise AppError(f"there is no file type {file_type!r}: choose from {', '.join(FILE_TYPES)}")
    if file_type == FILE_TYPES[0]:
        suffix = photo.suffix.lower()
        return suffix if suffix in WRITABLE else ".png"
    return {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}[file_type]


def _for_screen(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pixels)
    image.thumbnail((SCREEN_SIDE, SCREEN_SIDE), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(image))


_CLOSE, _DISTANT = 0.45, 0.75


def likeness(distance: float, person: str = "the identity") -> str:
    """The meaning of a distance of dlib's descriptors.

    Args:
        distance: 0 the same picture; other photos of one person about 0.2 to 0.5, strangers about 0.8.
        person: the person it is compared with, in words.
    """
    if distance < _CLOSE:
        meaning = f"is very much like {person}"
    elif distance < SAME_PERSON:
        meaning = f"passes for {person}"
    elif distance < _DISTANT:
        meaning = f"resembles {person}, but does not pass for the same person"
    else:
        meaning = f"is hardly like {person}"
    return f"{meaning} (distance {distance:.2f}; below {SAME_PERSON} counts as one person)"


def likenesses(distances: Sequence[float], person: str = "the identity") -> list[str]:
    """One sentence per swapped face, from the left."""
    if len(distances) == 1:
        return [f"The result {likeness(distances[0], person)}."]
    return [f"Swapped face {number} {likeness(value, person)}." for number, value in enumerate(distances, 1)]


def remaining(count: int, total: int | None, seconds: float) -> str:
    """Progress of a clip and the time it will still take.

    ``count``: frames finished; ``total``: frames in all, or None where that is not known; ``seconds``: since
    the first frame.
    """
    if total is None or total < count:
        return f"{count} frames done"
    text = f"{count} of {total} frames done"
    if count < 3 or count == total:
        return text
    return f"{text}, about {duration(seconds / count * (total - count))} left"


def duration(seconds: float) -> str:
    """Seconds or minutes, as one says it."""
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def marks(watermark: bool, signed: bool) -> str:
    """The marks of a saved picture, as a sentence."""
    kinds = ["metadata (XMP)"]
    if watermark:
        kinds.append("an invisible watermark")
    if signed:
        kinds.append("a signed C2PA manifest")
    listed = kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"
    return f"Marked as made with AI: {listed}."
