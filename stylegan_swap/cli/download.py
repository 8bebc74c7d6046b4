"""``stylegan-swap download``: a thin skin over the package ``download``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan_swap.cli import options


def download(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which weights.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Show what can be downloaded, and stop.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Put the files here instead of the cache; give their path as weights."),
    ] = None,
) -> None:
    """Fetch weights that other projects publish, each under its own licence. Nothing is unpacked or run."""
    if show == bool(names):
        raise typer.BadParameter("name the weights to download, or give --list", param_hint="NAME")
    if show:
        _print_list()
        return
    from stylegan_swap.weights.download import download_weights
    from stylegan_swap.weights.store import published_weights

    entries = published_weights()
    for name in names or []:
        if (entry := entries.get(name)) is not None:
            _say(f"{name}: {entry.about}")
            _say(f"  licence: {entry.licence}; cite: {entry.cite}")
        with options.ProgressBar(of_bytes=True) as bar:
            result = download_weights(name, folder, say=_say, progress=bar)
        if not result.fetched:
            _say(f"{name}: was there already; sha256 {result.sha256}")
        typer.echo(str(result.path))


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _print_list() -> None:
    from stylegan_swap.files.cache import cache_folder
    from stylegan_swap.weights.cache import cached_path
    from stylegan_swap.weights.store import published_weights, registered_weights

    published = published_weights()
    width = max(map(len, published)) + 2
    for shipped in registered_weights().values():
        typer.echo(f"{shipped.name:{width}}comes with the library [{shipped.licence}]")
    for entry in published.values():
        state = ", downloaded" if cached_path(entry).is_file() else ""
        typer.echo(f"{entry.name:{width}}{entry.about} [{entry.licence}]{state}")
    _say(f"Downloads go to {cache_folder() / 'weights'}")
