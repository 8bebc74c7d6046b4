"""``stylegan-swap methods``: what ``--method`` can be, as a table."""

from __future__ import annotations

from typing import Annotated

import typer


def methods(
    words: Annotated[
        str, typer.Option("--filter", metavar="WORDS", help="Show rows that hold all of these words.")
    ] = "",
) -> None:
    """List the methods: name, where the weights are, parameters, crop, paper, licence of the weights."""
    from stylegan_swap.methods.registry import list_methods

    rows = list_methods(words)
    if not rows:
        raise typer.BadParameter(f"no method has all of these words: {words}", param_hint="--filter")
    for row in rows:
        typer.echo(str(row))
