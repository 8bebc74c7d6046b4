"""Swap, edit and generate for the page: uploaded files in, saved files and their descriptions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylegan_swap.app.pictures import (
    FILE_TYPES,
    Outcome,
    Report,
    chosen_file,
    save_generated,
    save_outcome,
    silent,
)
from stylegan_swap.editing import photo as photo_editing
from stylegan_swap.editing.faces import generate
from stylegan_swap.errors import AppError
from stylegan_swap.faces.masks.mask_options import MaskOptions
from stylegan_swap.images.photo import read_photo

if TYPE_CHECKING:
    from stylegan_swap.editing.direction import Direction
    from stylegan_swap.swapping.swapper import PhotoSwapper


#: Steps of tuning that the page offers: more take minutes and hold up everybody else.
MOST_REFINE = 30


@dataclass(frozen=True)
class SwapChoices:
    """Choices of the first tab.

    Attributes:
        faces: of the attribute photo, numbers from the left from 0; none takes the largest.
        of: count of detected faces, so that all of them differ from some; 0 if unknown.
        refine: see ``swap``; at most ``MOST_REFINE``.
        options: further options of ``swap`` by name.
        file_type: one of ``FILE_TYPES``.
    """

    faces: tuple[int, ...] = ()
    of: int = 0
    refine: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    file_type: str = FILE_TYPES[0]


def swap_photo(
    swapper: PhotoSwapper,
    identity: str | Path | None,
    attribute: str | Path | None,
    choices: SwapChoices,
    folder: Path,
    report: Report = silent,
) -> Outcome:
    """Swap, save into an empty folder, and describe the result.

    ``identity`` and ``attribute`` are uploaded files; ``report`` is called with the share done and the next
    step.

    Raises:
        AppError: a photo is missing, or a choice is out of range.
        StyleganSwapError: as ``swap``.
    """
    report(0.0, "Reading the photos")
    identity_file = chosen_file(identity, "an identity photo")
    attribute_file = chosen_file(attribute, "an attribute photo")
    if choices.refine > MOST_REFINE:
        raise AppError(f"refine: this page offers up to {MOST_REFINE} steps, not {choices.refine}")
    # Both are read before the work on either, so that a broken one is reported at once.
    source, photo = read_photo(identity_file), read_photo(attribute_file)
    report(0.15, "Looking at the identity" if not choices.refine else "Tuning the network to the identity")
    person: Any = swapper.prepare(source, refine=choices.refine, seed=choices.options.get("seed") or 0)
    report(0.45, "Swapping")
    face = which_faces(choices.faces, choices.of)
    if isinstance(face, tuple):
        person, face = swapper.prepare_people([(number, person) for number in face]), "largest"
    result = swapper(person, photo, face=face, **choices.options)
    report(0.8, "Marking and saving")
    return save_outcome(photo, result, folder, f"{attribute_file.stem[:60]}-swapped", choices.file_type)


def which_faces(numbers: Sequence[int], of: int) -> str | tuple[int, ...]:
    """The ``face`` option of ``Swapper``: ``"largest"``, ``"all"``, or several numbers.

    Args:
        numbers: of the faces that are ticked.
        of: count of all faces; 0 if unknown.

    Raises:
        AppError: a number is none.
    """
    if any(isinstance(number, bool) or not isinstance(number, int) or number < 0 for number in numbers):
        raise AppError(f"faces are whole numbers from 0, counted from the left; got {list(numbers)}")
    ticked = tuple(sorted(set(numbers)))
    # With one face the largest is it, found without looking for small ones again.
    if not ticked or (of == 1 and ticked == (0,)):
        return "largest"
    return "all" if of > 0 and len(ticked) == of else ticked


def mask_choices(
    kind: str, keep: Sequence[str], own_edge: bool, blur: float, padding: Sequence[float]
) -> MaskOptions:
    """The options of the mask, as ``MaskOptions`` takes and refuses them.

    ``blur`` counts only with ``own_edge``; ``padding``: top, right, bottom, left.
    """
    top, right, bottom, left = padding
    return MaskOptions(kind, tuple(keep), blur if own_edge else None, (top, right, bottom, left))


#: All faces of a photo instead of one.
ALL_FACES = -1
# Ends of the sliders by the direction's unit: beyond that faces fall apart (docs/editing.md).
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
    dials = []
    for name, direction in directions.items():
        reach = _REACH.get(direction.unit, _USUAL_REACH)
        label = name.replace("_", " ").capitalize()
        if direction.unit == "°":
            label += " (degrees)"
        dials.append(Dial(name, label, reach, reach / 20 if reach < 3 else 0.5))
    return dials


def edit_photo(
    swapper: PhotoSwapper,
    photo: str | Path | None,
    strengths: Mapping[str, float],
    face: int | None,
    file_type: str,
    folder: Path,
    report: Report = silent,
) -> Outcome:
    """Edit, save, and describe the result; files and ``report`` as in :func:`swap_photo`.

    ``strengths`` are by name of the direction, those at 0 are left out; ``face`` is a number from the left
    from 0, ``ALL_FACES``, or None for the largest; ``file_type`` is one of ``FILE_TYPES``.

    Raises:
        AppError: the photo is missing, or no slider was moved.
        StyleganSwapError: as ``Swapper.edit``.
    """
    report(0.0, "Reading the photo")
    file = chosen_file(photo, "a photo")
    edits: dict[Any, float] = {name: float(strength) for name, strength in strengths.items() if strength}
    if not edits:
        raise AppError("move at least one slider: at 0 nothing changes")
    source = read_photo(file)
    report(0.2, "Editing")
    target: Any = "largest" if face is None else "all" if face == ALL_FACES else face
    directions = photo_editing.stored_directions(swapper.method)
    edit = photo_editing.code_edit(
        swapper.method, edits, lambda name: photo_editing.named_direction(directions, name)
    )
    result = photo_editing.edit_photo(swapper, source, edit, target)
    report(0.8, "Marking and saving")
    return save_outcome(source, result, folder, f"{file.stem[:60]}-edited", file_type)


#: Faces drawn at once.
MOST_FACES = 12


def generate_faces(
    swapper: PhotoSwapper,
    number: int,
    seed: int,
    truncation_psi: float,
    folder: Path,
    report: Report = silent,
) -> list[tuple[Path, str]]:
    """Draw 1 to ``MOST_FACES`` faces as ``stylegan-swap generate`` does; returns a file and a caption each.

    The first has ``seed``, the next have the next seeds. ``truncation_psi`` of 0 gives the average face, 1
    the full variety. Files and ``report`` as in :func:`swap_photo`.

    Raises:
        AppError: a number is out of range.
        UnsupportedOptionError: the method has no generator, or the seed is none.
    """
    if not 1 <= number <= MOST_FACES:
        raise AppError(f"this page draws 1 to {MOST_FACES} faces at once, not {number}")
    if not 0 <= truncation_psi <= 1:
        raise AppError(f"truncation_psi is a number from 0 to 1, got {truncation_psi}")
    faces = []
    for index in range(int(number)):
        report(index / number, f"Drawing face {index + 1} of {number}")
        image = generate(swapper.method, None, 1, truncation_psi, int(seed) + index)[0]
        path = folder / f"seed{int(seed) + index:06d}.png"
        save_generated(np.asarray(image), path)
        faces.append((path, f"seed {int(seed) + index}"))
    return faces


def whole_number(value: float | None, field: str) -> int:
    """A number field's value as a whole number.

    Raises:
        AppError: the field is empty, or the number has decimals.
    """
    if value is None or value != int(value):
        raise AppError(f"{field} is a whole number, got {value}")
    return int(value)
