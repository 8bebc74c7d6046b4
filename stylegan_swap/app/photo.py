"""A swap between two uploaded photos: what the button of the first tab does.

Uploaded files → ``Swapper`` → saved file and sentences; ``tab_photo`` lays it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylegan_swap.app.pictures import FILE_TYPES, Outcome, Report, chosen_file, save_outcome, silent
from stylegan_swap.errors import AppError
from stylegan_swap.faces.masks.mask_options import MaskOptions
from stylegan_swap.images.photo import read_photo

if TYPE_CHECKING:
    from stylegan_swap.api import Swapper

#: Steps of tuning that the page offers: more take minutes and hold up everybody else.
MOST_REFINE = 30


@dataclass(frozen=True)
class SwapChoices:
    """What is chosen on the tab; the dials are those of ``swap``.

    Attributes:
        faces: of the attribute photo, numbers from the left from 0; none takes the largest.
        of: how many faces were found, so that all of them can be told from some; 0 if unknown.
        structure: see ``swap``.
        appearance: see ``swap``.
        seed: see ``swap``.
        match_colour: see ``swap``.
        detail: see ``swap``.
        refine: see ``swap``; at most ``MOST_REFINE``.
        mask: where the face replaces the photo.
        file_type: one of ``FILE_TYPES``.
    """

    faces: tuple[int, ...] = ()
    of: int = 0
    structure: float = 1.0
    appearance: float = 0.0
    seed: int | None = None
    match_colour: bool = False
    detail: float = 1.0
    refine: int = 0
    mask: str | MaskOptions = "predicted"
    file_type: str = FILE_TYPES[0]


def swap_photo(
    swapper: Swapper,
    identity: str | Path | None,
    attribute: str | Path | None,
    choices: SwapChoices,
    folder: Path,
    report: Report = silent,
) -> Outcome:
    """Swap, save, and describe the result.

    Args:
        swapper: shared by all users.
        identity: uploaded file: who.
        attribute: uploaded file: where.
        choices: everything else.
        folder: an empty folder for the files.
        report: is told what comes next.

    Raises:
        AppError: a photo is missing, or a choice is out of range.
        StyleganSwapError: as ``swap``.
    """
    report(0.0, "Reading the photos")
    who, where = chosen_file(identity, "an identity photo"), chosen_file(attribute, "an attribute photo")
    if choices.refine > MOST_REFINE:
        raise AppError(f"refine: this page offers up to {MOST_REFINE} steps, not {choices.refine}")
    # Both are read before the work on either, so that a broken one is told at once.
    source, photo = read_photo(who), read_photo(where)
    report(0.15, "Looking at the identity" if not choices.refine else "Tuning the network to the identity")
    person: Any = swapper.prepare(source, refine=choices.refine, seed=choices.seed or 0)
    report(0.45, "Swapping")
    chosen = which_faces(choices.faces, choices.of)
    if isinstance(chosen, tuple):
        person, chosen = swapper.prepare_people([(number, person) for number in chosen]), "largest"
    result = swapper(
        person,
        photo,
        face=chosen,
        structure=choices.structure,
        appearance=choices.appearance,
        seed=choices.seed,
        match_colour=choices.match_colour,
        detail=choices.detail,
        mask=choices.mask,
    )
    report(0.8, "Marking and saving")
    return save_outcome(photo, result, folder, f"{where.stem[:60]}-swapped", choices.file_type)


def which_faces(numbers: Sequence[int], of: int) -> str | tuple[int, ...]:
    """How ``Swapper`` is told: ``"largest"``, ``"all"``, or several numbers.

    Args:
        numbers: of the faces that are ticked.
        of: how many there are; 0 if unknown.

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
    """The options of the mask.

    Args:
        kind: see ``MaskOptions``.
        keep: regions that stay the photo's.
        own_edge: whether ``blur`` is meant; otherwise the mask keeps its own edge.
        blur: see ``MaskOptions``.
        padding: top, right, bottom, left.

    Raises:
        UnsupportedOptionError: see ``MaskOptions``.
    """
    top, right, bottom, left = padding
    return MaskOptions(kind, tuple(keep), blur if own_edge else None, (top, right, bottom, left))
