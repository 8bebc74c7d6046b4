"""``stylegan-swap convert``: a thin skin over the package ``convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stylegan_swap.cli import options


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN...",
            help="A published file, both files of MegaFS or FSLSD, their folder, or a downloaded name; "
            "with --to, a folder of convert.",
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="New folder; with --to, a .pt or .pth file (or a folder).")
    ],
    origin: Annotated[
        str | None,
        typer.Option("--from", help="The file's format, where it does not tell: rosinality, psp, e4e, ..."),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Write a foreign format instead.")] = None,
    dtype: Annotated[
        Literal["keep", "float32", "float16", "bfloat16"], typer.Option(help="How numbers are stored.")
    ] = "keep",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing weights.")] = False,
) -> None:
    """Bring published weights into this library's format, or back. Nothing in the file is executed."""
    if to is not None and (origin is not None or dtype != "keep"):
        raise typer.BadParameter("--to writes every number as it is stored; leave --from and --dtype out")
    if to is not None:
        _write_back(sources, target, to, overwrite)
        return
    if target.suffix.lower() in (".pt", ".pth", ".pkl", ".safetensors"):
        raise typer.BadParameter(f"{target}: the result is a folder; give it another name")
    from stylegan_swap.weights.store import MODEL_FILE

    _check_free(target / MODEL_FILE, overwrite)
    from stylegan_swap.methods.base.published_files.detect import convert_files

    converted = convert_files(sources, origin, mapped=True)
    converted.save(target, dtype=None if dtype == "keep" else dtype)
    for text in converted.notes:
        options.note(text)
    typer.echo(f"{target}  ({converted.format}: {', '.join(converted.parts)})")


def _write_back(sources: list[Path], target: Path, format_name: str, overwrite: bool) -> None:
    from stylegan_swap.methods.base.published_files.write_foreign import writable_format, write_foreign

    if len(sources) != 1:
        raise typer.BadParameter(f"--to writes one folder back, not {len(sources)}")
    own_names = writable_format(format_name).back_files is not None
    one_file = target.suffix.lower() in (".pt", ".pth")
    if own_names and one_file:
        raise typer.BadParameter(f"{target}: files of {format_name} have their own names; give a folder")
    if not own_names and not one_file:
        raise typer.BadParameter(f"{target}: with --to the result is one file and must end in .pt or .pth")
    _check_free(target, overwrite)
    for file in write_foreign(sources[0], target, format_name):
        typer.echo(f"{file}  ({format_name})")


def _check_free(file: Path, overwrite: bool) -> None:
    if file.exists() and not overwrite:
        raise typer.BadParameter(f"{file}: exists already; choose another name, or --overwrite")
