"""``stylegan-swap directions``: list, fit, factorise and convert directions; a thin skin over ``editing``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from stylegan_swap.cli.edit import Device, Overwrite, Weights, rows_of
from stylegan_swap.errors import ImageWriteError

directions_app = typer.Typer(
    name="directions", help="Directions in latent space: list, fit, factorise, convert.", no_args_is_help=True
)


class Fit(str, Enum):
    """Ways to fit directions."""

    REGRESSION = "regression"
    SVM = "svm"


@directions_app.command("list")
def list_directions(
    file: Annotated[
        Path | None, typer.Argument(help="A file of directions; otherwise those of --weights.")
    ] = None,
    weights: Weights = "default",
) -> None:
    """What can be edited, in which unit, and how well that was measured."""
    from rich.console import Console
    from rich.table import Table

    if file is not None:
        from stylegan_swap.editing.published import load_directions

        found = load_directions(file)
    else:
        from stylegan_swap.api import Swapper
        from stylegan_swap.weights.store import find_weights

        find_weights(weights)
        found = Swapper.from_pretrained(weights, device="cpu").directions
    if not found:
        typer.echo(
            f"{weights}: no directions lie beside these weights; fit them: stylegan-swap directions fit"
        )
        return
    table = Table("name", "unit", "rows", "kind", "source", "measured")
    for name, one in found.items():
        span = "all" if one.rows is None else f"{one.rows[0]}-{one.rows[1] - 1}"
        measured = ", ".join(f"{key} {value:.2f}" for key, value in one.measured.items())
        table.add_row(name, one.unit or "distance", span, one.kind, one.source, measured)
    Console(soft_wrap=True).print(table)


@directions_app.command("fit")
def fit_command(
    photos: Annotated[Path, typer.Argument(help="Folder of photographs, best with manifest.csv.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of directions, .safetensors.")],
    weights: Weights = "default",
    columns: Annotated[
        str, typer.Option(help="Columns of manifest.csv to fit as well, separated by commas: age,gender.")
    ] = "",
    glasses: Annotated[
        bool, typer.Option("--glasses", help="Fit glasses as well: for networks that draw them.")
    ] = False,
    split: Annotated[str, typer.Option(help="Photographs to fit on.")] = "train",
    validation: Annotated[str, typer.Option(help="Photographs to measure on; empty for none.")] = "val",
    fit: Annotated[Fit, typer.Option(help="regression, or InterFaceGAN's svm.")] = Fit.REGRESSION,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Fit yaw, pitch, smile, mouth, eyes, brows and columns of a manifest for a network, and measure them."""
    _check_directions_file(output, overwrite)
    from stylegan_swap.api import Swapper
    from stylegan_swap.editing.direction_file import save_directions
    from stylegan_swap.editing.fitting.from_folder import fit_folder
    from stylegan_swap.editing.fitting.labels import MEASURED, PICTURED
    from stylegan_swap.methods.base.protocol import dlib_of
    from stylegan_swap.training.data.photo_folder import MANIFEST
    from stylegan_swap.weights.store import find_weights

    find_weights(weights)
    method = Swapper.from_pretrained(weights, device=device).method
    plain = not (photos / MANIFEST).is_file()
    fitted = fit_folder(
        method,
        dlib_of(method),
        photos,
        attributes=(*MEASURED, *PICTURED) if glasses else tuple(MEASURED),
        columns=[column.strip() for column in columns.split(",") if column.strip()],
        split=split,
        # Without a manifest nobody is set apart to measure on.
        validation=None if plain or not validation else validation,
        fit=fit.value,  # type: ignore[arg-type]
        progress=lambda text: typer.echo(text, err=True),
    )
    save_directions(output, fitted.directions)
    for note in fitted.notes:
        typer.secho(f"note: {note}", fg="yellow", err=True)
    for name, found in fitted.validations.items():
        typer.echo(
            f"{name}: correlation {found.correlation:.2f}, {found.slope:.2f} of what was asked, leaks "
            f"{found.leak:.2f} σ to {found.leaks_to or 'nothing'}, distance at +2 σ {found.identity:.2f}"
        )
    typer.echo(f"{output}  ({', '.join(fitted.directions)})")


@directions_app.command("sefa")
def sefa_command(
    output: Annotated[Path, typer.Option("--output", "-o", help="File of directions, .safetensors.")],
    weights: Weights = "default",
    count: Annotated[int, typer.Option("-n", "--number", min=1, help="How many directions.")] = 10,
    rows: Annotated[
        str | None, typer.Option(metavar="FIRST-LAST", help="Rows whose layers count and that are moved.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Find directions in a generator's weights alone, in closed form (SeFa)."""
    chosen = None if rows is None else rows_of(rows)
    _check_directions_file(output, overwrite)
    from stylegan_swap.api import Swapper
    from stylegan_swap.editing.direction_file import save_directions
    from stylegan_swap.editing.sefa import factorise
    from stylegan_swap.errors import UnsupportedOptionError
    from stylegan_swap.methods.base.protocol import generator_of
    from stylegan_swap.weights.store import find_weights

    find_weights(weights)
    method = Swapper.from_pretrained(weights, device="cpu").method
    generator = generator_of(method)
    if generator is None:
        raise UnsupportedOptionError(f"method {method.name!r} has no generator: give weights of a network")
    found = factorise(generator, chosen, count)
    save_directions(output, found)
    typer.echo(f"{output}  ({len(found)} directions)")


@directions_app.command("convert")
def convert_command(
    file: Annotated[
        Path, typer.Argument(help="InterFaceGAN's .npy, e4e's .pt, GANSpace's .npz, rosinality's factor.pt.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of directions, .safetensors.")],
    name: Annotated[str | None, typer.Option(help="Of a file with a single direction.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Bring a published file of directions into this library's format. Nothing in it is executed."""
    from dataclasses import replace

    _check_directions_file(output, overwrite)
    from stylegan_swap.editing.direction_file import save_directions
    from stylegan_swap.editing.published import load_directions

    found = load_directions(file)
    if name is not None:
        if len(found) != 1:
            raise typer.BadParameter(f"{file} holds {len(found)} directions with names of their own")
        found = {name: replace(next(iter(found.values())), name=name)}
    save_directions(output, found)
    typer.echo(f"{output}  ({len(found)} directions)")


def _check_directions_file(output: Path, overwrite: bool) -> None:
    if output.suffix.lower() != ".safetensors":
        raise ImageWriteError(f"{output}: directions are written as .safetensors: change the suffix")
    if output.exists() and not overwrite:
        raise ImageWriteError(f"{output}: exists already; choose another name or --overwrite")
    if not output.resolve().parent.is_dir():
        raise ImageWriteError(f"{output}: the folder does not exist; create it first")
