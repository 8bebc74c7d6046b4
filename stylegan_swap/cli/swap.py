"""What the arguments of ``stylegan-swap swap`` mean: who, where, which face, which mask. Read by ``cli``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylegan_swap.cli.options import face_choice

if TYPE_CHECKING:
    from stylegan_swap.faces.masks.mask_options import MaskOptions

Replace = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="OLD=NEW", help="Whom (a photo, or a number from the left) by whom; once per person."
    ),
]
SkipMissing = Annotated[
    bool, typer.Option("--skip-missing", help="With --map: go on without those who are not in the photo.")
]
Mask = Annotated[
    str, typer.Option(help="predicted, hull, inner or box; joined by + they are cut to what all share.")
]
Keep = Annotated[
    list[str] | None,
    typer.Option(help="Keep the photo's mouth, eyes, brows, nose or forehead; once per region."),
]
MaskBlur = Annotated[float | None, typer.Option(help="Width of the mask's edge, 0..0.5 of the crop.")]
MaskPadding = Annotated[
    str, typer.Option(metavar="SHARES", help="Cut off so much of the face: TOP,RIGHT,BOTTOM,LEFT, each 0..1.")
]


def who_and_where(
    photos: list[Path], identity: list[Path], attribute: Path | None, replace: list[str]
) -> tuple[list[Path], Path]:
    """Two arguments, or the options -s and -t; with --map the attribute photo alone.

    Raises:
        typer.BadParameter: something is missing, or given twice.
    """
    if replace:
        if identity or len(photos) + (attribute is not None) != 1:
            raise typer.BadParameter("with --map, give one photo: the one to swap into")
        return [], photos[0] if photos else Path(str(attribute))
    if photos and (identity or attribute):
        raise typer.BadParameter("give the photos either as two arguments or with -s and -t")
    if len(photos) == 2:
        return [photos[0]], photos[1]
    if photos or not identity or attribute is None:
        raise typer.BadParameter("give two photos: who (-s) and into which photo (-t)")
    return identity, attribute


def replacements(pairs: list[str]) -> list[tuple[int | str, list[str]]]:
    """Pairs of old and new from ``OLD=NEW``; one OLD given several times has several photos of one NEW.

    Raises:
        typer.BadParameter: a side is missing.
    """
    found: dict[str, list[str]] = {}
    for pair in pairs:
        old, new = _split(pair)
        if not old or not new:
            raise typer.BadParameter(f"{pair!r}: write whom=by-whom, two photos", param_hint="--map")
        found.setdefault(old, []).append(new)
    return [(face_choice(old), news) for old, news in found.items()]


def mask_options(kind: str, keep: list[str] | None, blur: float | None, padding: str) -> MaskOptions:
    """The options of the mask; one number of padding stands for all four sides.

    Raises:
        typer.BadParameter: the padding is no list of numbers.
        UnsupportedOptionError: see ``MaskOptions``.
    """
    from stylegan_swap.faces.masks.mask_options import MaskOptions

    try:
        shares = [float(part) for part in padding.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{padding!r}: write TOP,RIGHT,BOTTOM,LEFT", param_hint="--mask-padding"
        ) from None
    four: Any = tuple(shares * 4 if len(shares) == 1 else shares)
    return MaskOptions(kind, tuple(keep or ()), blur, four)


def _split(pair: str) -> tuple[str, str]:
    """At the first ``=`` that leaves a number or an existing file on the left; at the first one otherwise."""
    parts = pair.split("=")
    for count in range(1, len(parts)):
        old, new = "=".join(parts[:count]), "=".join(parts[count:])
        if old.isdigit() or Path(old).is_file():
            return old, new
    return parts[0], "=".join(parts[1:])
