"""``stylegan-swap edit``: a thin skin over ``editing`` and ``photo_editing``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from stylegan_swap.cli.options import face_choice
from stylegan_swap.errors import ImageWriteError

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]
Weights = Annotated[
    str, typer.Option("--weights", "-w", help="A registered name, or a folder or file with weights.")
]
_STEP = re.compile(
    r"(?P<name>[A-Za-z0-9_-]+)=(?P<strength>[-+0-9.eE]+)(?:@(?P<first>\d+)(?:-(?P<last>\d+))?)?"
)
_ROWS = re.compile(r"(\d+)(?:-(\d+))?")
_RANGE = re.compile(r"(?P<first>[-+0-9.eE]+)\.\.(?P<last>[-+0-9.eE]+)(?::(?P<count>\d+))?")
_COLUMNS = 7


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
    place: Annotated[
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
    weights: Weights = "default",
    face: Annotated[
        str,
        typer.Option(
            "--face", help="largest, all, a number from the left (from 0), or a photo of the person"
        ),
    ] = "largest",
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Edit a face along directions of latent space: in a photo, or the face behind codes."""
    from stylegan_swap.provenance.photo_file import (
        check_writable,
    )

    steps = [_step(text) for text in direction or []]
    chosen = None if rows is None else rows_of(rows)
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
    if writes_codes and output.exists() and not overwrite:
        raise ImageWriteError(f"{output}: exists already; choose another name or --overwrite")
    if writes_codes and any(_same_file(output, path) for path in (source, mix, *(directions or []))):
        raise ImageWriteError(f"{output}: is one of the inputs; choose another name")
    if not writes_codes:
        check_writable(
            output, overwrite, inputs=[path for path in (source, mix, swap_into) if path is not None]
        )
    from stylegan_swap.api import Swapper
    from stylegan_swap.editing.codes import load_codes, save_codes
    from stylegan_swap.weights.store import find_weights

    find_weights(weights)
    swapper = Swapper.from_pretrained(weights, device=device)
    known = _known(swapper, directions)
    mixed = None if mix is None else load_codes(mix)
    apply = _edits(steps, known, mixed, chosen, share, place)
    if strengths is not None:
        _write_sheet(swapper, source, output, steps, known, strengths, face, overwrite)
        return
    if not from_codes and not writes_codes:
        if swap_into is None:
            result = swapper.edit(source, apply, face=face_choice(face))
        else:
            person = swapper.prepare(source)
            result = swapper(person, swap_into, face=face_choice(face), edit=apply)
        result.save(output, overwrite=overwrite)
        for note in result.notes:
            typer.secho(f"note: {note}", fg="yellow", err=True)
        for number, edited in enumerate(result.faces):
            whom = "the photo" if swap_into is None else "the identity"
            typer.echo(f"face {number}: distance to {whom} {edited.distance:.2f}")
        typer.echo(f"{output}  ({result.image.width} × {result.image.height})")
        return
    latents = apply(load_codes(source) if from_codes else swapper.invert(source, face=face_choice(face)))
    if writes_codes:
        save_codes(output, latents)
    else:
        _write_image(output, swapper.generate(latents)[0], overwrite)
    typer.echo(str(output))


def _same_file(first: Path, second: Path | None) -> bool:
    return second is not None and first.resolve() == second.resolve()


def _step(text: str) -> tuple[str, float, tuple[int, int] | None]:
    found = _STEP.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        strength = float(found["strength"])
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not NAME=STRENGTH, such as smile=1.5", param_hint="--direction"
        ) from None
    if found["first"] is None:
        return found["name"], strength, None
    return found["name"], strength, _span(found["first"], found["last"])


def rows_of(text: str) -> tuple[int, int]:
    """Rows as people write them, ``8-11`` or ``8``, as a range; raises typer.BadParameter."""
    found = _ROWS.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not FIRST-LAST, such as 8-11", param_hint="--rows")
    return _span(found[1], found[2])


def _span(first: str, last: str | None) -> tuple[int, int]:
    """Rows as people write them, the last included, as a range."""
    start, stop = int(first), int(last or first) + 1
    if stop <= start:
        raise typer.BadParameter(f"rows {first}-{last} run backwards", param_hint="--rows")
    return start, stop


def _strengths(text: str) -> list[float]:
    found = _RANGE.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        first, last, count = float(found["first"]), float(found["last"]), int(found["count"] or _COLUMNS)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not FROM..TO or FROM..TO:N, such as -3..3:7", param_hint="--sheet"
        ) from None
    if not 2 <= count <= 25:
        raise typer.BadParameter(f"a sheet has 2 to 25 columns, not {count}", param_hint="--sheet")
    return [first + (last - first) * index / (count - 1) for index in range(count)]


def _known(swapper: Any, files: list[Path] | None) -> dict[str, Any]:
    if not files:
        return swapper.directions  # type: ignore[no-any-return]
    from stylegan_swap.editing.direction_file import check_network
    from stylegan_swap.editing.published import load_directions
    from stylegan_swap.methods.base.protocol import generator_of

    known: dict[str, Any] = {}
    for file in files:
        found = load_directions(file)
        # A lone encoder has none.
        if (generator := generator_of(swapper.method)) is not None:
            check_network(found, generator, file)
        known |= found
    return known


def _edits(
    steps: list[tuple[str, float, tuple[int, int] | None]],
    known: dict[str, Any],
    mixed: Any,
    rows: tuple[int, int] | None,
    share: float,
    place: bool,
) -> Any:
    """One function from codes to codes: first the rows of others, then the directions."""
    from stylegan_swap.editing import edit as move
    from stylegan_swap.editing import interpolate
    from stylegan_swap.editing import place as put
    from stylegan_swap.editing.photo import named_direction

    found = [(named_direction(known, name), strength, span) for name, strength, span in steps]

    def apply(latents: Any) -> Any:
        if mixed is not None:
            latents = interpolate(latents, mixed, share, rows)
        for direction, strength, span in found:
            latents = (put if place else move)(latents, direction, strength, span)
        return latents

    return apply


def _write_sheet(
    swapper: Any,
    source: Path,
    output: Path,
    steps: list[tuple[str, float, tuple[int, int] | None]],
    known: dict[str, Any],
    strengths: list[float],
    face: str,
    overwrite: bool,
) -> None:
    """A row per direction; the strengths of the sheet are multiplied by the direction's own."""
    from stylegan_swap.editing.photo import named_direction
    from stylegan_swap.editing.sheet import draw_sheet, edited_faces

    rows = {
        f"{name}{'' if scale == 1 else f' × {scale:g}'}": (named_direction(known, name), scale, span)
        for name, scale, span in steps
    }
    cells = edited_faces(swapper, source, list(rows.values()), strengths, face_choice(face))
    _write_image(
        output, draw_sheet(cells, list(rows), [f"{value:+g}" for value in strengths]), overwrite, sheet=True
    )
    typer.echo(f"{output}  ({len(rows)} × {len(strengths)} faces)")


def _write_image(path: Path, image: Any, overwrite: bool, sheet: bool = False) -> None:
    import numpy as np

    from stylegan_swap.provenance.metadata import TRAINED
    from stylegan_swap.provenance.photo_file import (
        write_photo,
    )
    from stylegan_swap.provenance.watermark import Kind

    # A sheet with its labels is a working picture: metadata suffice.
    kind = None if sheet else Kind.GENERATED
    write_photo(path, np.asarray(image), source_type=TRAINED, result=kind, overwrite=overwrite)
