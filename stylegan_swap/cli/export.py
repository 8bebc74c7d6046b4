"""``stylegan-swap export``: a thin skin over the package ``export``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Format(str, Enum):
    """Formats that can be written."""

    ONNX = "onnx"


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "stylegan-swap.onnx"
    ),
    kind: Annotated[Format, typer.Option("--format", help="Of the file.")] = Format.ONNX,
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A registered name, or a folder or file with weights.")
    ] = "default",
    licence: Annotated[
        str | None, typer.Option(help="Of weights of your own, for the file's metadata.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write the swap network as one file for other runtimes and languages. See docs/export.md."""
    if output.suffix.lower() != f".{kind.value}":
        raise typer.BadParameter(f"{output}: the file ends in .{kind.value}", param_hint="--output")
    from stylegan_swap.export import export_onnx

    written = export_onnx(output, weights, licence=licence, overwrite=overwrite)
    typer.echo(
        f"{written.path}  ({written.path.stat().st_size / 1e6:.1f} MB, {written.side} × {written.side}, "
        f"opset {written.opset}, differs from torch by {written.difference:.1e} at most)"
    )
