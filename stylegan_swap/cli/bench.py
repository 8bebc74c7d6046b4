"""``stylegan-swap bench``: how fast this machine is; a thin skin over ``stylegan_swap.evaluation.bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan_swap.cli import options


def bench(
    size: Annotated[
        int, typer.Option(min=8, help="Side of the generator that is timed: 256, 512 or 1024.")
    ] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="The most rounds; the best one counts.")] = 5,
    device: options.Device = "auto",
    method: Annotated[str, typer.Option(help="Method whose whole swap is timed.")] = "default",
    threads: Annotated[int, typer.Option(min=0, help="Of the processor; 0: torch's own choice.")] = 0,
    swap: Annotated[bool, typer.Option("--swap/--no-swap", help="Time whole swaps too.")] = True,
    csv: Annotated[Path | None, typer.Option(help="Also write the numbers to this file.")] = None,
) -> None:
    """Time the generator and a whole swap on this machine, in about a minute."""
    from stylegan_swap.evaluation.bench.short import run_short

    lines = run_short(
        size, rounds=rounds, device=device, method=method, threads=threads, with_swap=swap, csv=csv
    )
    for line in lines:
        typer.echo(line)
