"""``stylegan-swap app``: a thin skin over ``app.server``."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated

import typer


def app_command(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets others in the same network in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 looks for a free one from 7860 on.")] = 0,
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A method's name, or a folder or file with weights.")
    ] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    max_upload: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="MB", help="Largest photo or clip, in megabytes.")
    ] = 50,
    max_clip: Annotated[
        float, typer.Option(min=1, max=86_400, metavar="SECONDS", help="Longest clip that is swapped.")
    ] = 60.0,
    keep: Annotated[
        int, typer.Option(min=60, metavar="SECONDS", help="Uploads and results are deleted after this time.")
    ] = 3600,
) -> None:
    """Serve the page: swap, clips, editing and generating in a browser, until Ctrl-C."""
    from stylegan_swap.app.server import Server, Settings

    settings = Settings(weights, device, host, port, max_upload, max_clip, keep)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with Server(settings) as server:
            for note in server.notes:
                typer.secho(f"note: {note}", fg="yellow", err=True)
            if not settings.only_here:
                typer.secho(
                    "note: everyone who reaches this computer can use the page, and nothing is encrypted",
                    fg="yellow",
                    err=True,
                )
            typer.echo(f"{server.url}  (Ctrl-C stops and deletes what was uploaded and made)")
            server.wait()
    except KeyboardInterrupt:
        # The usual end of a server is no failure.
        typer.echo("closed", err=True)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    # A termination ends as Ctrl-C does: nothing that was uploaded stays.
    raise KeyboardInterrupt
