"""Editing an uploaded photo along the directions of the weights: what the third tab does.

Uploaded file → ``Swapper.edit`` → saved file and sentences; ``tab_edit`` lays it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylegan_swap.app.pictures import FILE_TYPES, Outcome, Report, chosen_file, save_outcome, silent
from stylegan_swap.errors import AppError
from stylegan_swap.images.photo import read_photo

if TYPE_CHECKING:
    from stylegan_swap.api import Swapper
    from stylegan_swap.editing.direction import Direction

#: All faces of a photo instead of one.
ALL_FACES = -1
# How far a slider goes, by the direction's unit: beyond that faces fall apart (docs/editing.md).
_REACH = {"σ": 2.0, "°": 12.0}
_USUAL_REACH = 5.0


@dataclass(frozen=True)
class Dial:
    """One slider.

    Attributes:
        name: of the direction.
        label: for people.
        reach: the slider goes from minus this to this.
        step: between two settings.
    """

    name: str
    label: str
    reach: float
    step: float


def dials_of(directions: Mapping[str, Direction]) -> list[Dial]:
    """A slider for each direction, in their order."""
    found = []
    for name, direction in directions.items():
        reach = _REACH.get(direction.unit, _USUAL_REACH)
        label = name.replace("_", " ").capitalize()
        if direction.unit == "°":
            label += " (degrees)"
        found.append(Dial(name, label, reach, reach / 20 if reach < 3 else 0.5))
    return found


def edit_photo(
    swapper: Swapper,
    photo: str | Path | None,
    strengths: Mapping[str, float],
    face: int | None,
    file_type: str,
    folder: Path,
    report: Report = silent,
) -> Outcome:
    """Edit, save, and describe the result.

    Args:
        swapper: shared by all users.
        photo: uploaded file.
        strengths: by name of the direction; those at 0 are left out.
        face: its number from the left from 0, ``ALL_FACES``, or None for the largest.
        file_type: one of ``FILE_TYPES``.
        folder: an empty folder for the files.
        report: is told what comes next.

    Raises:
        AppError: the photo is missing, or no slider was moved.
        StyleganSwapError: as ``Swapper.edit``.
    """
    report(0.0, "Reading the photo")
    where = chosen_file(photo, "a photo")
    moved: dict[Any, float] = {name: float(strength) for name, strength in strengths.items() if strength}
    if not moved:
        raise AppError("move at least one slider: at 0 nothing changes")
    source = read_photo(where)
    report(0.2, "Editing")
    chosen = "largest" if face is None else "all" if face == ALL_FACES else face
    result = swapper.edit(source, moved, face=chosen)
    report(0.8, "Marking and saving")
    return save_outcome(source, result, folder, f"{where.stem[:60]}-edited", file_type)


__all__ = ["ALL_FACES", "FILE_TYPES", "Dial", "dials_of", "edit_photo"]
