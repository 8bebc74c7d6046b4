"""The command ``stylegan-swap``: each verb is a file of this folder, a thin skin over the library.

Exit codes: 0 done, 1 an error (one line on stderr, no traceback), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
import warnings
from typing import Annotated

import typer

from stylegan_swap._version import __version__
from stylegan_swap.cli.app import app_command
from stylegan_swap.cli.batch import batch
from stylegan_swap.cli.bench import bench
from stylegan_swap.cli.convert import convert
from stylegan_swap.cli.demo import demo
from stylegan_swap.cli.directions import directions_app
from stylegan_swap.cli.doctor import doctor
from stylegan_swap.cli.download import download
from stylegan_swap.cli.edit import edit
from stylegan_swap.cli.evaluate import evaluate
from stylegan_swap.cli.export import export
from stylegan_swap.cli.generate import generate
from stylegan_swap.cli.invert import invert
from stylegan_swap.cli.methods import methods
from stylegan_swap.cli.options import note
from stylegan_swap.cli.study import study_app
from stylegan_swap.cli.swap import swap
from stylegan_swap.cli.train import convert_identity, pack, train
from stylegan_swap.cli.verify import verify
from stylegan_swap.cli.video import video
from stylegan_swap.errors import FallbackWarning, StyleganSwapError, StyleganSwapWarning
from stylegan_swap.files.allocator import keep_freed_memory

app = typer.Typer(
    name="stylegan-swap",
    help="Swap faces in photographs. Mark what you publish as synthetic, and swap only with consent.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Leave the notice of the first use out.")] = False,
) -> None:
    if version:
        typer.echo(f"stylegan-swap {__version__}")
        raise typer.Exit
    from stylegan_swap.provenance.consent import show_once

    show_once(context.invoked_subcommand, quiet=quiet)


for _verb in (
    *(swap, demo, invert, generate, edit, batch, evaluate, train, pack, bench),
    *(convert, convert_identity, export, download, methods, verify, video),
):
    app.command()(_verb)
app.command("app")(app_command)
app.command()(doctor)
app.add_typer(directions_app)
app.add_typer(study_app)


def main() -> None:
    """Entry point of the console script: errors become one line and an exit code."""
    warnings.showwarning = _show_warning
    # An end from outside is a Ctrl-C: what is half written is removed, what is finished is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    keep_freed_memory()
    try:
        app(standalone_mode=True)
    except (StyleganSwapError, MemoryError, RuntimeError, OSError) as error:
        explanation = _explain(error)
        if explanation is None:
            raise
        typer.secho(f"error: {explanation}", fg="red", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as end:
        # typer turns Ctrl-C into exit code 130, without a word.
        if isinstance(end, SystemExit) and end.code != 130:
            raise
        typer.echo("interrupted", err=True)
        sys.exit(130)


def _explain(error: Exception) -> str | None:
    """The line for an error that a user can do something about, or None."""
    if isinstance(error, StyleganSwapError):
        return str(error)
    if isinstance(error, OSError):
        # What no writer has put into words: a full disk, a folder that went away.
        reason = error.strerror or " ".join(str(error).split())
        path = f"{error.filename}: " if error.filename else ""
        return f"{path}{reason}; check the path and the disk"
    # torch's OutOfMemoryError is a RuntimeError; naming it would import torch for every command.
    on_gpu = type(error).__name__ == "OutOfMemoryError"
    if on_gpu or isinstance(error, MemoryError) or "DefaultCPUAllocator: " in str(error):
        return "not enough memory: use --device cpu, or a smaller picture"
    return None


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    # Our own warnings come with the result's notes; other packages' would only puzzle a user.
    if issubclass(category, FallbackWarning):
        note(str(message))
    if not issubclass(category, StyleganSwapWarning) and sys.flags.dev_mode:
        note(f"{category.__name__}: {message}")


if __name__ == "__main__":
    main()
