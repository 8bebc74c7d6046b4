"""The list of a batch: one job per row, checked before any work.

First step of ``run``. A row that can never succeed because of how it is written stops the batch at once;
what only the work can show (no face, a damaged photo) becomes that item's error later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from stylegan_swap.errors import BatchError, StyleganSwapError
from stylegan_swap.faces.masks.mask_options import MaskOptions
from stylegan_swap.files.table import decimal, read_table
from stylegan_swap.provenance.photo_file import WRITABLE

# The folder of a running batch, and its table, lie beside the results.
WORKING_FOLDER, RESULTS = ".batch", "results.csv"
_SEVERAL = "|"
_REQUIRED = ("identity", "attribute")
_MASK = ("mask", "keep", "mask_blur", "mask_padding")
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")


@dataclass(frozen=True)
class Job:
    """One item.

    Attributes:
        number: its place in the list, from 0.
        identity: the identity photos, all of one person.
        attribute: the photo to swap into.
        output: the result's name in the folder, with ``/`` between sub-folders.
        options: ``face``, ``identity_face``, ``structure``, ``appearance``, ``detail``, ``seed``,
            ``refine``, ``match_colour`` and ``mask``, as ``swap`` takes them; the rest has its default.
    """

    number: int
    identity: tuple[str, ...]
    attribute: str
    output: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def person(self) -> tuple[Any, ...]:
        """Equal for jobs whose identity can be prepared once for all."""
        refine = self.options.get("refine", 0)
        tuned = (refine, self.options.get("seed", 0)) if refine else ()
        return (*self.identity, self.options.get("identity_face", "largest"), *tuned)

    @property
    def inputs(self) -> tuple[str, ...]:
        """All files it reads."""
        faces = (self.options.get(name) for name in ("face", "identity_face"))
        references = [face for face in faces if isinstance(face, str) and face not in ("largest", "all")]
        return (*self.identity, self.attribute, *references)


def read_jobs(file: Path, photos: Path | None = None) -> list[Job]:
    """Read a list.

    Columns: ``identity`` (several photos of one person joined by ``|``) and ``attribute``; optionally
    ``output`` (``00000.png``, … where it is absent or empty), ``face``, ``identity_face``, ``structure``,
    ``appearance``, ``detail``, ``seed``, ``refine``, ``match_colour`` (yes or no), ``mask``, ``keep``,
    ``mask_blur``, ``mask_padding``. A column whose name begins with ``#`` is a remark.

    Args:
        file: the list; see ``files.table`` for what it may look like.
        photos: what its paths are relative to; the list's own folder if not given.

    Raises:
        BatchError: the list cannot be read, or a row makes no sense; the message names the line.
    """
    base = file.parent if photos is None else photos
    table = read_table(file, BatchError, _REQUIRED)
    columns = table.columns
    allowed = (*_REQUIRED, "output", *_OPTIONS, *_MASK)
    missing = [name for name in _REQUIRED if name not in columns]
    unknown = [name for name in columns if name not in allowed and not name.startswith("#")]
    if missing or not table.rows:
        raise BatchError(
            f"{file}: {f'has no column {missing[0]!r}' if missing else 'holds no rows'}; give a CSV with the "
            "columns identity and attribute, one row per swap"
        )
    if unknown:
        raise BatchError(
            f"{file}: unknown column {unknown[0]!r}; there are {', '.join(allowed)}; a remark's begins with #"
        )
    jobs = []
    for number, (line, row) in enumerate(zip(table.lines, table.rows, strict=True)):
        try:
            cells = {name: value.strip() for name, value in row.items()}
            jobs.append(_job(number, cells, base))
        except StyleganSwapError as error:
            raise BatchError(f"{file}, line {line}: {error}") from error
    check_outputs(jobs, str(file))
    return jobs


def check_outputs(jobs: Sequence[Job], source: str = "the list") -> None:
    """Refuse names that leave the folder, are no picture, or come twice, and numbers that come twice.

    Raises:
        BatchError: naming the item.
    """
    number_of: dict[str, int] = {}
    if len({job.number for job in jobs}) < len(jobs):
        raise BatchError(f"{source}: two items have one number; number them from 0")
    for job in jobs:
        path = PurePosixPath(job.output)
        parts = re.split(r"[/\\]", job.output)
        if (
            path.is_absolute()
            or any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts)
            or re.search(r"[:\0-\x1f]", job.output)
            or parts[0] == WORKING_FOLDER
        ):
            raise BatchError(
                f"{source}, item {job.number}: output {job.output[:100]!r} is no plain name below the output "
                "folder; write name.png or folder/name.png"
            )
        if path.suffix.lower() not in WRITABLE:
            suffixes = ", ".join(WRITABLE)
            raise BatchError(f"{source}, item {job.number}: output {job.output!r} must end in {suffixes}")
        # Some file systems do not tell capitals apart.
        owner = number_of.setdefault("/".join(parts).casefold(), job.number)
        if owner != job.number:
            raise BatchError(f"{source}, item {job.number}: output {job.output!r} is item {owner}'s as well")


def _job(number: int, cells: dict[str, str], base: Path) -> Job:
    for name in _REQUIRED:
        if not cells[name]:
            raise BatchError(f"{name} is empty; name a photo")
    options: dict[str, Any] = {}
    for name, read in _OPTIONS.items():
        if cells.get(name):
            options[name] = _read(name, cells[name], read)
    for name in ("face", "identity_face"):
        value = options.get(name)
        if isinstance(value, str) and value not in ("largest", "all"):
            options[name] = str(base / value)
    if any(cells.get(name) for name in _MASK):
        options["mask"] = _mask(cells)
    photos = [part.strip() for part in cells["identity"].split(_SEVERAL) if part.strip()]
    output = cells.get("output") or f"{number:05d}.png"
    return Job(
        number, tuple(str(base / part) for part in photos), str(base / cells["attribute"]), output, options
    )


def _mask(cells: dict[str, str]) -> MaskOptions:
    blur, padding = cells.get("mask_blur"), cells.get("mask_padding")
    shares = [_read("mask_padding", part, decimal) for part in padding.split()] if padding else [0.0]
    four: Any = tuple(shares * 4 if len(shares) == 1 else shares)
    return MaskOptions(
        cells.get("mask") or "predicted",
        tuple(re.split(r"[\s,|]+", cells.get("keep", ""))),
        _read("mask_blur", blur, decimal) if blur else None,
        four,
    )


def _read(name: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise BatchError(f"{name} is {text!r}; {error}") from error


def _face(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _identity_face(text: str) -> int | str:
    if text == "all":
        raise ValueError("one identity is one face: largest, a number or a reference photo")
    return _face(text)


def _dial(text: str) -> float:
    value = decimal(text)
    if not 0 <= value <= 1:
        raise ValueError("a dial goes from 0 to 1")
    return value


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("write a whole number from 0")
    return int(text)


def _yes_or_no(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError("write yes or no")
    return text.lower() in _YES


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "face": _face,
    "identity_face": _identity_face,
    "structure": _dial,
    "appearance": _dial,
    "detail": _dial,
    "seed": _count,
    "refine": _count,
    "match_colour": _yes_or_no,
}
