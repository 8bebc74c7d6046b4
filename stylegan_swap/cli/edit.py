"""``stylegan-swap edit``: a thin skin over ``editing``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from stylegan_swap.cli import options
from stylegan_swap.errors import ImageWriteError

_STEP = re.compile(
    r"(?P<name>[A-Za-z0-9_-]+)=(?P<strength>[-+0-9.eE]+)(?:@(?P<first>\d+)(?:-(?P<last>\d+))?)?"
)
_ROWS = re.compile(r"(\d+)(?:-(\d+))?")
_RANGE = re.compile(r"(?P<first>[-+0-9.eE]+)\.\.(?P<last>[-+0-9.eE]+)(?::(?P<count>\d+))?")
_COLUMNS = 7
# First row, and the row after the last.
Rows: TypeAlias = tuple[int, int]
# A direction's name, how far to go, and in which rows; None: in its own.
Step: TypeAlias = tuple[str, float, Rows | None]


def edit(
    source: Annotated[
        Path, typer.Argument(metavar="PHOTO_OR_CODES", help="A photo, or codes written by invert.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A picture; for codes also .safetensors.")
    ] = Path("edited.png"),
    direction: Annotated[
        list[str] | None,
        typer.Option(
            "--direction",
            "-d",
            metavar="NAME=STRENGTH[@ROWS]",
            help="smile=1.5, yaw=-10, pc46=3@4-7; several times for several.",
        ),
    ] = None,
    directions: Annotated[
        list[Path] | None,
        typer.Option(
            help="File of directions (.safetensors, .npy, .npz, .pt); otherwise those of the weights."
        ),
    ] = None,
    absolute: Annotated[
        bool, typer.Option("--place", help="Set the coordinate to the strength instead of adding it.")
    ] = False,
    mix: Annotated[Path | None, typer.Option(help="Codes whose rows are taken over first.")] = None,
    rows: Annotated[str | None, typer.Option(metavar="FIRST-LAST", help="Rows of --mix, as 8-11.")] = None,
    share: Annotated[float, typer.Option(help="How far those rows go to --mix; 1 is all the way.")] = 1.0,
    swap_into: Annotated[
        Path | None, typer.Option(help="Swap the person into this photo, and edit the result.")
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option(metavar="FROM..TO[:N]", help="A sheet: a row per direction, N strengths of each."),
    ] = None,
    weights: options.Weights = "default",
    face: options.Face = "largest",
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Edit a face along directions of latent space: in a photo, or the face behind codes."""
    from stylegan_swap.provenance.photo_file import check_writable

    steps = [_step(text) for text in direction or []]
    mixed_rows = None if rows is None else rows_of(rows)
    strengths = None if sheet is None else _strengths(sheet)
    from_codes = source.suffix.lower() == ".safetensors"
    writes_codes = output.suffix.lower() == ".safetensors"
    if not steps and mix is None:
        raise typer.BadParameter("name what to change: --direction smile=1.5, or --mix CODES")
    if (rows is not None or share != 1.0) and mix is None:
        raise typer.BadParameter("--rows and --share belong to --mix", param_hint="--rows")
    if strengths is not None and (not steps or writes_codes or swap_into is not None):
        raise typer.BadParameter("a sheet is a picture of --direction alone", param_hint="--sheet")
    if swap_into is not None and (from_codes or writes_codes):
        raise typer.BadParameter("swapping needs a photo of the person, not codes", param_hint="--swap-into")
    inputs = [path for path in (source, mix, swap_into, *(directions or [])) if path is not None]
    if not writes_codes:
        check_writable(output, overwrite, inputs=inputs)
    else:
        options.check_new_file(output, ".safetensors", overwrite, "codes")
        if any(output.resolve() == path.resolve() for path in inputs):
            raise ImageWriteError(f"{output}: is one of the inputs; choose another name")
    from stylegan_swap.editing.codes import load_codes, save_codes

    swapper = options.swapper_with_weights(weights, device)
    available = _available(swapper, directions)
    apply = _edits(steps, available, None if mix is None else load_codes(mix), mixed_rows, share, absolute)
    if strengths is not None:
        _write_sheet(swapper, source, output, steps, available, strengths, face, overwrite)
        return
    if not from_codes and not writes_codes:
        if swap_into is None:
            result = swapper.edit(source, apply, face=options.face_choice(face))
        else:
            person = swapper.prepare(source)
            result = swapper(person, swap_into, face=options.face_choice(face), edit=apply)
        result.save(output, overwrite=overwrite)
        for text in result.notes:
            options.note(text)
        for number, edited in enumerate(result.faces):
            reference = "the photo" if swap_into is None else "the identity"
            typer.echo(f"face {number}: distance to {reference} {edited.distance:.2f}")
        typer.echo(f"{output}  ({result.image.width} × {result.image.height})")
        return
    codes = load_codes(source) if from_codes else swapper.invert(source, face=options.face_choice(face))
    if writes_codes:
        save_codes(output, apply(codes))
    else:
        options.write_drawn(output, swapper.generate(apply(codes))[0], overwrite)
    typer.echo(str(output))


def _step(text: str) -> Step:
    match = _STEP.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        strength = float(match["strength"])
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not NAME=STRENGTH, such as smile=1.5", param_hint="--direction"
        ) from None
    return match["name"], strength, None if match["first"] is None else _span(match["first"], match["last"])


def rows_of(text: str) -> Rows:
    """Rows as people write them, ``8-11`` or ``8``, as a range; raises typer.BadParameter."""
    match = _ROWS.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not FIRST-LAST, such as 8-11", param_hint="--rows")
    return _span(match[1], match[2])


def _span(first: str, last: str | None) -> Rows:
    """Rows as people write them, the last included, as a range."""
    start, stop = int(first), int(last or first) + 1
    if stop <= start:
        raise typer.BadParameter(f"rows {first}-{last} run backwards", param_hint="--rows")
    return start, stop


def _strengths(text: str) -> list[float]:
    match = _RANGE.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        first, last, count = float(match["first"]), float(match["last"]), int(match["count"] or _COLUMNS)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not FROM..TO or FROM..TO:N, such as -3..3:7", param_hint="--sheet"
        ) from None
    if not 2 <= count <= 25:
        raise typer.BadParameter(f"a sheet has 2 to 25 columns, not {count}", param_hint="--sheet")
    return [first + (last - first) * index / (count - 1) for index in range(count)]


def _available(swapper: Any, files: list[Path] | None) -> dict[str, Any]:
    """The directions of the files, or those of the weights."""
    if not files:
        return swapper.directions  # type: ignore[no-any-return]
    from stylegan_swap.editing.direction_file import check_network
    from stylegan_swap.editing.published import load_directions
    from stylegan_swap.methods.base.protocol import generator_of

    available: dict[str, Any] = {}
    for file in files:
        directions = load_directions(file)
        # A lone encoder has none.
        if (generator := generator_of(swapper.method)) is not None:
            check_network(directions, generator, file)
        available |= directions
    return available


def _edits(
    steps: list[Step],
    available: dict[str, Any],
    mixed: Any,
    mixed_rows: Rows | None,
    share: float,
    absolute: bool,
) -> Any:
    """One function from codes to codes: first the rows of others, then the directions."""
    from stylegan_swap import editing
    from stylegan_swap.editing.photo import named_direction

    moves = [(named_direction(available, name), strength, rows) for name, strength, rows in steps]
    move = editing.place if absolute else editing.edit

    def apply(latents: Any) -> Any:
        if mixed is not None:
            latents = editing.interpolate(latents, mixed, share, mixed_rows)
        for direction, strength, rows in moves:
            latents = move(latents, direction, strength, rows)
        return latents

    return apply


def _write_sheet(
    swapper: Any,
    source: Path,
    output: Path,
    steps: list[Step],
    available: dict[str, Any],
    strengths: list[float],
    face: str,
    overwrite: bool,
) -> None:
    """A row per direction; the strengths of the sheet are multiplied by the direction's own."""
    from stylegan_swap.editing.photo import named_direction
    from stylegan_swap.editing.sheet import draw_sheet, edited_faces

    rows = {
        f"{name}{'' if scale == 1 else f' × {scale:g}'}": (named_direction(available, name), scale, span)
        for name, scale, span in steps
    }
    cells = edited_faces(swapper, source, list(rows.values()), strengths, options.face_choice(face))
    sheet = draw_sheet(cells, list(rows), [f"{value:+g}" for value in strengths])
    options.write_drawn(output, sheet, overwrite, sheet=True)
    typer.echo(f"{output}  ({len(rows)} × {len(strengths)} faces)")
