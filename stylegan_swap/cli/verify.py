"""``stylegan-swap verify``: a thin skin over ``verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

# A file that cannot be read is neither marked nor unmarked.
_UNREADABLE = 2


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures or clips.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a list of objects, one for each file.")
    ] = False,
) -> None:
    """Say whether pictures or clips are marked as made with AI: metadata, C2PA manifest, watermark.

    Exit code 0: every file is marked. 1: at least one is not. 2: at least one could not be read.
    """
    from stylegan_swap.errors import ImageReadError, VideoReadError
    from stylegan_swap.verify import verify_file

    verdicts: list[dict[str, object]] = []
    code = 0
    for path in files:
        try:
            verdict = verify_file(path)
        except (ImageReadError, VideoReadError) as error:
            code = _UNREADABLE
            verdicts.append({"file": str(path), "marked": None, "error": str(error)})
            typer.secho(f"error: {error}", fg="red", err=True)
            continue
        code = code or int(not verdict.marked)
        verdicts.append(verdict.as_dict())
        if not as_json:
            typer.echo("\n".join(verdict.lines()))
    if as_json:
        typer.echo(json.dumps(verdicts, indent=2))
    raise typer.Exit(code)
