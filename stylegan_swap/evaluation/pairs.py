"""Pairs of identity and attribute photos: lists, folders, and the person on each photo."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stylegan_swap.errors import ImageReadError
from stylegan_swap.files.paths import contained
from stylegan_swap.files.table import read_table

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Pair:
    """One swap to be made.

    Attributes:
        number: position in the list, from 0; names the result's file.
        identity: the identity photo.
        attribute: the attribute photo.
        identity_name: what tables call the identity photo.
        attribute_name: what tables call the attribute photo.
    """

    number: int
    identity: Path
    attribute: Path
    identity_name: str
    attribute_name: str


def read_pairs(file: Path, root: Path | None = None) -> list[Pair]:
    """Read a list with the columns ``identity`` and ``attribute``.

    Args:
        file: the list.
        root: what its paths are relative to; the list's own folder if not given.

    Raises:
        ImageReadError: the file is missing, empty, or lacks a column.
    """
    base = file.parent if root is None else root
    table = read_table(file, ImageReadError, ("identity", "attribute"))
    rows = table.rows
    if not rows or not {"identity", "attribute"} <= set(table.columns):
        raise ImageReadError(f"{file}: holds no pairs: give a CSV with the columns identity and attribute")
    return [
        Pair(number, base / row["identity"], base / row["attribute"], row["identity"], row["attribute"])
        for number, row in enumerate(rows)
    ]


def cross_pairs(identities: Path, attributes: Path, limit: int | None = None, seed: int = 0) -> list[Pair]:
    """Every identity photo with every attribute photo of two folders, or a seeded sample of that.

    A photo is not paired with itself.

    Raises:
        ImageReadError: a folder is missing or holds no photo.
    """
    first, second = _photos(identities), _photos(attributes)
    pairs = [
        (identity, attribute)
        for identity, attribute in itertools.product(first, second)
        if identity.resolve() != attribute.resolve()
    ]
    if limit is not None and limit < len(pairs):
        pairs = random.Random(seed).sample(pairs, limit)
    return [
        Pair(
            *(number, identity, attribute),
            *(str(identity.relative_to(identities)), str(attribute.relative_to(attributes))),
        )
        for number, (identity, attribute) in enumerate(pairs)
    ]


def faceforensics_pairs(
    root: Path, entries: Path, cache: Path, frames_from: Literal["videos", "images"] = "videos"
) -> tuple[list[Pair], dict[str, str]]:
    """The protocol of FaceForensics++ as pairs, and who is on each frame; see ``faceforensics``.

    Args:
        root: the data set in its official layout.
        entries: the train, val or test JSON file.
        cache: folder for the extracted frames.
        frames_from: the videos, or frames extracted before.

    Raises:
        ImageReadError: the folder or the file has another layout.
    """
    from stylegan_swap.evaluation.faceforensics import FaceForensics, read_entries

    pairs: list[Pair] = []
    people: dict[str, str] = {}
    for frames in FaceForensics(root, read_entries(entries), cache, frames_from=frames_from):
        paths = (frames.identity, frames.attribute)
        names = [f"{video}/{path.name}" for video, path in zip(frames.videos, paths, strict=True)]
        people |= dict(zip(names, (frames.identity_person, frames.attribute_person), strict=True))
        pairs.append(Pair(len(pairs), *paths, *names))
    return pairs, people


def people_of(folder: Path) -> Mapping[str, str]:
    """Photo name → person, from the folder's ``manifest.csv``, if there is one."""
    return {row["file"]: row["person"] for row in manifest_of(folder)}


def manifest_of(folder: Path) -> list[dict[str, str]]:
    """The rows of a folder's ``manifest.csv``; empty where there is none.

    Raises:
        ImageReadError: the manifest lacks the columns ``file`` and ``person``, or names a file elsewhere.
    """
    path = folder / "manifest.csv"
    if not path.is_file():
        return []
    table = read_table(path, ImageReadError, ("file", "person"))
    if table.rows and not {"file", "person"} <= set(table.columns):
        raise ImageReadError(f"{path}: lacks the columns file and person: add them, or take the file away")
    for row in table.rows:
        contained(folder, row["file"], path)
    return list(table.rows)


def _photos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ImageReadError(f"{folder}: there is no such folder: check the path")
    photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise ImageReadError(f"{folder}: holds no photos ({', '.join(PHOTO_SUFFIXES)})")
    return photos
