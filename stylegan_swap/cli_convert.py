"""``stylegan-swap convert``: a thin skin over the package ``convert``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class StoredType(str, Enum):
    """How numbers are stored."""

    KEEP = "keep"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="A published file, or a downloaded name; with --to, a folder of convert."
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="New folder; with --to, a .pt or .pth file.")],
    origin: Annotated[
        str | None,
        typer.Option("--from", help="The file's format, where it does not tell: rosinality, psp, e4e, ..."),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Write a foreign format instead.")] = None,
    dtype: Annotated[StoredType, typer.Option(help="How numbers are stored.")] = StoredType.KEEP,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing weights.")] = False,
) -> None:
    """Bring published weights into this library's format, or back. Nothing in the file is executed."""
    if to is not None and (origin is not None or dtype is not StoredType.KEEP):
        raise typer.BadParameter("--to writes every number as it is stored; leave --from and --dtype out")
    if to is not None and target.suffix.lower() not in (".pt", ".pth"):
        raise typer.BadParameter(f"{target}: with --to the result is one file and must end in .pt or .pth")
    if to is None and target.suffix.lower() in (".pt", ".pth", ".pkl", ".safetensors"):
        raise typer.BadParameter(f"{target}: the result is a folder; give it another name")
    from stylegan_swap.weights import MODEL_FILE

    written = target / MODEL_FILE if to is None else target
    if written.exists() and not overwrite:
        raise typer.BadParameter(f"{written}: exists already; choose another name, or --overwrite")
    if to is not None:
        from stylegan_swap.convert.write_foreign import write_foreign

        write_foreign(source, target, to)
        typer.echo(f"{target}  ({to})")
        return
    from stylegan_swap.convert.detect import convert_file

    converted = convert_file(source, origin)
    converted.save(target, dtype=None if dtype is StoredType.KEEP else dtype.value)
    for note in converted.notes:
        typer.secho(f"note: {note}", fg="yellow", err=True)
    typer.echo(f"{target}  ({converted.format}: {', '.join(converted.parts)})")
