"""The command ``stylegan-swap batch``: many swaps from a list; a thin skin over the package ``batch``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stylegan_swap.batch import Progress


class EngineName(str, Enum):
    """What workers run on."""

    PROCESSES = "processes"
    RAY = "ray"


class LandmarkName(str, Enum):
    """Landmark backends that can be chosen."""

    DLIB = "dlib"
    FACE_ALIGNMENT = "face-alignment"


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
    engine: Annotated[EngineName, typer.Option(help="processes of this machine, or ray.")] = (
        EngineName.PROCESSES
    ),
    ray_address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster, or auto; otherwise Ray is started here.")
    ] = None,
    method: Annotated[str, typer.Option(help="A method's name, or weights: a folder or file.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16")] = "auto",
    landmarks: Annotated[LandmarkName, typer.Option(help="Landmark backend.")] = LandmarkName.DLIB,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP.")] = 95,
    mark: Annotated[
        bool,
        typer.Option("--mark/--no-mark", help="Say in metadata, watermark and manifest that AI was used."),
    ] = True,
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
            engine=engine.value,
            ray_address=ray_address,
            device=device,
            dtype=dtype,
            landmarks=landmarks.value,
            quality=quality,
            mark=mark,
            timeout=timeout,
            overwrite=overwrite,
            progress=lambda now: _show(bar, now),
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


def _show(bar: Any, now: Progress) -> None:
    bar.set_postfix(failed=now.failed, refresh=False)
    bar.update(now.skipped + now.done + now.failed - bar.n)
