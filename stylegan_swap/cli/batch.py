"""The command ``stylegan-swap batch``: many swaps from a list; a thin skin over the package ``batch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stylegan_swap.cli import options

if TYPE_CHECKING:
    from stylegan_swap.batch import Progress


def batch(
    jobs: Annotated[
        Path,
        typer.Argument(
            metavar="JOBS.csv", help="Columns identity, attribute and, if you like, output, face, …"
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results and results.csv.")],
    photos: Annotated[
        Path | None, typer.Option(help="Folder the list's paths start from; its own if absent.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with the method in memory.")] = 1,
    engine: Annotated[
        Literal["processes", "ray"], typer.Option(help="processes of this machine, or ray.")
    ] = "processes",
    ray_address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster, or auto; otherwise Ray is started here.")
    ] = None,
    method: options.Method = "default",
    device: options.Device = "auto",
    dtype: options.Precision = "auto",
    landmarks: options.Landmarks = "dlib",
    quality: options.Quality = 95,
    mark: options.Mark = True,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds an item may take before its worker is ended.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files this batch did not write.")
    ] = False,
) -> None:
    """Swap a list of photos. A batch that was stopped goes on where it ended; errors do not stop it."""
    from tqdm import tqdm

    from stylegan_swap.batch import read_jobs, run_batch

    listed = read_jobs(jobs, photos)
    # tqdm draws nothing where nobody watches.
    with tqdm(total=len(listed), unit="swap", disable=None) as bar:
        summary = run_batch(
            listed,
            output,
            method=method,
            workers=workers,
            engine=engine,
            ray_address=ray_address,
            device=device,
            dtype=dtype,
            landmarks=landmarks,
            quality=quality,
            mark=mark,
            timeout=timeout,
            overwrite=overwrite,
            progress=lambda progress: _show(bar, progress),
        )
    for name, error in summary.failed.items():
        typer.secho(f"{name}: {error}", fg="red", err=True)
    total = summary.done + summary.skipped
    typer.echo(
        f"{total} of {len(listed)} swaps are there ({summary.skipped} were there before), "
        f"{len(summary.failed)} failed, {summary.seconds:.1f} s: {summary.results}"
    )
    if summary.failed:
        raise typer.Exit(1)


def _show(bar: Any, progress: Progress) -> None:
    bar.set_postfix(failed=progress.failed, refresh=False)
    bar.update(progress.skipped + progress.done + progress.failed - bar.n)
