"""``stylegan-swap app``: a thin skin over ``app.server``."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from stylegan_swap.cli import options


def app_command(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets others in the same network in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 looks for a free one from 7860 on.")] = 0,
    weights: options.Weights = "default",
    device: options.Device = "auto",
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
    # A termination ends as Ctrl-C does: nothing that was uploaded stays.
    earlier_handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Server(settings) as server:
            for text in server.notes:
                options.note(text)
            if not settings.only_here:
                options.note("everyone who reaches this computer can use the page, and nothing is encrypted")
            typer.echo(f"{server.url}  (Ctrl-C stops and deletes what was uploaded and made)")
            server.wait()
    except KeyboardInterrupt:
        # The usual end of a server is no failure.
        typer.echo("closed", err=True)
    finally:
        signal.signal(signal.SIGTERM, earlier_handler)
