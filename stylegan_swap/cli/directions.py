"""``stylegan-swap directions``: list, fit, factorise and convert directions; a thin skin over ``editing``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stylegan_swap.cli import options
from stylegan_swap.cli.edit import rows_of

directions_app = typer.Typer(
    name="directions", help="Directions in latent space: list, fit, factorise, convert.", no_args_is_help=True
)


@directions_app.command("list")
def list_directions(
    file: Annotated[
        Path | None, typer.Argument(help="A file of directions; otherwise those of --weights.")
    ] = None,
    weights: options.Weights = "default",
) -> None:
    """What can be edited, in which unit, and how well that was measured."""
    from rich.console import Console
    from rich.table import Table

    if file is not None:
        from stylegan_swap.editing.published import load_directions

        directions = load_directions(file)
    else:
        directions = options.swapper_with_weights(weights, "cpu").directions
    if not directions:
        typer.echo(
            f"{weights}: no directions lie beside these weights; fit them: stylegan-swap directions fit"
        )
        return
    table = Table("name", "unit", "rows", "kind", "source", "measured")
    for name, direction in directions.items():
        span = "all" if direction.rows is None else f"{direction.rows[0]}-{direction.rows[1] - 1}"
        measured = ", ".join(f"{key} {value:.2f}" for key, value in direction.measured.items())
        table.add_row(name, direction.unit or "distance", span, direction.kind, direction.source, measured)
    Console(soft_wrap=True).print(table)


@directions_app.command("fit")
def fit_command(
    photos: Annotated[Path, typer.Argument(help="Folder of photographs, best with manifest.csv.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of directions, .safetensors.")],
    weights: options.Weights = "default",
    columns: Annotated[
        str, typer.Option(help="Columns of manifest.csv to fit as well, separated by commas: age,gender.")
    ] = "",
    glasses: Annotated[
        bool, typer.Option("--glasses", help="Fit glasses as well: for networks that draw them.")
    ] = False,
    split: Annotated[str, typer.Option(help="Photographs to fit on.")] = "train",
    validation: Annotated[str, typer.Option(help="Photographs to measure on; empty for none.")] = "val",
    fit: Annotated[
        Literal["regression", "svm"], typer.Option(help="regression, or InterFaceGAN's svm.")
    ] = "regression",
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Fit yaw, pitch, smile, mouth, eyes, brows and columns of a manifest for a network, and measure them."""
    options.check_new_file(output, ".safetensors", overwrite, "directions")
    from stylegan_swap.editing.direction_file import save_directions
    from stylegan_swap.editing.fitting.from_folder import fit_folder
    from stylegan_swap.editing.fitting.labels import MEASURED, PICTURED
    from stylegan_swap.methods.base.protocol import dlib_of
    from stylegan_swap.training.data.photo_folder import MANIFEST

    method = options.swapper_with_weights(weights, device).method
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
        fit=fit,
        progress=lambda text: typer.echo(text, err=True),
    )
    save_directions(output, fitted.directions)
    for text in fitted.notes:
        options.note(text)
    for name, quality in fitted.validations.items():
        typer.echo(
            f"{name}: correlation {quality.correlation:.2f}, {quality.slope:.2f} of what was asked, "
            f"leaks {quality.leak:.2f} σ to {quality.leaks_to or 'nothing'}, distance at +2 σ "
            f"{quality.identity:.2f}"
        )
    typer.echo(f"{output}  ({', '.join(fitted.directions)})")


@directions_app.command("sefa")
def sefa_command(
    output: Annotated[Path, typer.Option("--output", "-o", help="File of directions, .safetensors.")],
    weights: options.Weights = "default",
    count: Annotated[int, typer.Option("-n", "--number", min=1, help="How many directions.")] = 10,
    rows: Annotated[
        str | None, typer.Option(metavar="FIRST-LAST", help="Rows whose layers count and that are moved.")
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Find directions in a generator's weights alone, in closed form (SeFa)."""
    row_range = None if rows is None else rows_of(rows)
    options.check_new_file(output, ".safetensors", overwrite, "directions")
    from stylegan_swap.editing.direction_file import save_directions
    from stylegan_swap.editing.sefa import factorise
    from stylegan_swap.errors import UnsupportedOptionError
    from stylegan_swap.methods.base.protocol import generator_of

    method = options.swapper_with_weights(weights, "cpu").method
    generator = generator_of(method)
    if generator is None:
        raise UnsupportedOptionError(f"method {method.name!r} has no generator: give weights of a network")
    directions = factorise(generator, row_range, count)
    save_directions(output, directions)
    typer.echo(f"{output}  ({len(directions)} directions)")


@directions_app.command("convert")
def convert_command(
    file: Annotated[
        Path, typer.Argument(help="InterFaceGAN's .npy, e4e's .pt, GANSpace's .npz, rosinality's factor.pt.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of directions, .safetensors.")],
    name: Annotated[str | None, typer.Option(help="Of a file with a single direction.")] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Bring a published file of directions into this library's format. Nothing in it is executed."""
    from dataclasses import replace

    options.check_new_file(output, ".safetensors", overwrite, "directions")
    from stylegan_swap.editing.direction_file import save_directions
    from stylegan_swap.editing.published import load_directions

    directions = load_directions(file)
    if name is not None:
        if len(directions) != 1:
            raise typer.BadParameter(f"{file} holds {len(directions)} directions with names of their own")
        directions = {name: replace(next(iter(directions.values())), name=name)}
    save_directions(output, directions)
    typer.echo(f"{output}  ({len(directions)} directions)")
