"""``stylegan-swap export``: a thin skin over the package ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stylegan_swap.cli import options


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "stylegan-swap.onnx"
    ),
    kind: Annotated[Literal["onnx"], typer.Option("--format", help="Of the file.")] = "onnx",
    weights: options.Weights = "default",
    licence: Annotated[
        str | None, typer.Option(help="Of weights of your own, for the file's metadata.")
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write the swap network as one file for other runtimes and languages. See docs/export.md."""
    if output.suffix.lower() != f".{kind}":
        raise typer.BadParameter(f"{output}: the file ends in .{kind}", param_hint="--output")
    from stylegan_swap.export.onnx_file import export_onnx

    written = export_onnx(output, weights, licence=licence, overwrite=overwrite)
    typer.echo(
        f"{written.path}  ({written.path.stat().st_size / 1e6:.1f} MB, {written.side} × {written.side}, "
        f"opset {written.opset}, differs from torch by {written.difference:.1e} at most)"
    )
