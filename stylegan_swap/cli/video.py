"""``stylegan-swap video``: a thin skin over ``swap_video``, with a progress bar."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from stylegan_swap.cli.options import face_choice


def video(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="[IDENTITY CLIP]", help="Who, and into which clip.")
    ] = None,
    identity: Annotated[
        list[Path] | None,
        typer.Option("--identity", "--source", "-s", help="Who; give it several times for several photos."),
    ] = None,
    clip: Annotated[
        Path | None, typer.Option("--clip", "--target", "-t", help="A video file, or a folder of pictures.")
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help=".mp4, .mov, .mkv or .webm; without suffix a folder of pictures."
        ),
    ] = Path("swapped.mp4"),
    method: Annotated[str, typer.Option(help="A method's name, or weights: a folder or file.")] = "default",
    face: Annotated[
        str,
        typer.Option(
            "--face", help="largest, all, a number from the left (from 0), or a photo of the person"
        ),
    ] = "largest",
    identity_face: Annotated[
        str, typer.Option(help="Which face of the identity photo; same words as --face, but not all.")
    ] = "largest",
    structure: Annotated[float, typer.Option(help="0..1: shape of the face, 1 = the identity's.")] = 1.0,
    appearance: Annotated[float, typer.Option(help="0..1: colours, 1 = the identity's.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Draw fresh noise maps, the same for all frames.")] = None,
    match_colour: Annotated[
        bool, typer.Option("--match-colour", help="Match the skin's colours to the clip's when pasting.")
    ] = False,
    detail: Annotated[
        float, typer.Option(help="0..1: detail finer than the network's pixels, from clip and photo.")
    ] = 1.0,
    refine: Annotated[
        int, typer.Option(min=0, help="Steps in which a copy of the network is tuned to the person.")
    ] = 0,
    start: Annotated[str, typer.Option(help="Where to begin: seconds, or h:mm:ss.")] = "0",
    end: Annotated[str | None, typer.Option(help="Where to stop: seconds, or h:mm:ss.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second of a folder of pictures (25).")] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth/--no-smooth", help="Smooth the landmarks over time.")
    ] = True,
    codec: Annotated[str | None, typer.Option(help="h264, hevc, vp9, or ffv1 (lossless).")] = None,
    crf: Annotated[int | None, typer.Option(help="Quality of the codec, lower is better.")] = None,
    preview: Annotated[
        Path | None, typer.Option(help="A picture that shows the newest frame, or a folder for several.")
    ] = None,
    preview_every: Annotated[int, typer.Option(min=1, help="Frames between previews.")] = 100,
    segment: Annotated[int, typer.Option(min=1, help="Frames per segment: what a kill costs at most.")] = 100,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Forget unfinished work, or go on from it.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16")] = "auto",
    landmarks: Annotated[str, typer.Option(help="dlib or face-alignment")] = "dlib",
    mark: Annotated[bool, typer.Option("--mark/--no-mark", help="Say in the file that AI was used.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
) -> None:
    """Put the face of a photo into a clip; sound, subtitles and times stay. The same command resumes."""
    identities, target = _who_and_where(inputs or [], identity or [], clip)
    first, last = _seconds(start, "--start"), None if end is None else _seconds(end, "--end")
    from stylegan_swap.errors import ImageReadError, VideoReadError

    for path, kind in [(target, VideoReadError), *((one, ImageReadError) for one in identities)]:
        # A wrong path is told before the networks are loaded.
        # A path has lost one of the slashes of an address.
        if re.match(r"[a-z]{2,}:/", str(path)):
            raise kind(f"{path}: is an address, not a file; download it first")
        if not path.exists():
            raise kind(f"{path}: no such file; check the path")
    from stylegan_swap.video.run import swap_video, work_folder

    try:
        with _Bar() as bar:
            result = swap_video(
                [str(one) for one in identities],
                target,
                output,
                method=method,
                face=face_choice(face),
                identity_face=face_choice(identity_face),
                structure=structure,
                appearance=appearance,
                seed=seed,
                match_colour=match_colour,
                detail=detail,
                refine=refine,
                start=first,
                end=last,
                fps=fps,
                smooth=smooth,
                codec=codec,
                crf=crf,
                preview=preview,
                preview_every=preview_every,
                segment=segment,
                fresh=fresh,
                overwrite=overwrite,
                mark=mark,
                progress=bar,
                device=device,
                dtype=dtype,
                landmarks=landmarks,
            )
    except KeyboardInterrupt:
        folder = work_folder(output)
        if folder.is_dir():
            typer.echo(f"finished segments are kept in {folder}: the same command goes on", err=True)
        raise
    for note in result.notes:
        typer.secho(f"note: {note}", fg="yellow", err=True)
    if result.resumed_at:
        typer.echo(f"{result.resumed_at} frames were done by an earlier run", err=True)
    rate = (result.frames - result.resumed_at) / max(result.seconds, 1e-9)
    typer.echo(
        f"{result.swapped} of {result.frames} frames swapped, {result.without_face} without a face, "
        f"{result.other_people} with other people only; {rate:.1f} frames/s"
    )
    typer.echo(str(result.path))


def _who_and_where(inputs: list[Path], identity: list[Path], clip: Path | None) -> tuple[list[Path], Path]:
    if inputs and (identity or clip):
        raise typer.BadParameter("give photo and clip either as two arguments or with -s and -t")
    if len(inputs) == 2:
        return [inputs[0]], inputs[1]
    if inputs or not identity or clip is None:
        raise typer.BadParameter("give a photo and a clip: who (-s) and into which clip (-t)")
    return identity, clip


def _seconds(text: str, option: str) -> float:
    """``75``, ``75.5``, ``1:15`` or ``0:01:15.5``."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text):
        raise typer.BadParameter(f"{text!r} is no time; give seconds or h:mm:ss", param_hint=option)
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


class _Bar:
    """Progress on a terminal; silent elsewhere."""

    def __enter__(self) -> _Bar:
        self._progress: Any = None
        self._task: Any = None
        return self

    def __call__(self, done: int, total: int | None) -> None:
        """Shows that `done` of `total` frames are ready."""
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

            console = Console(stderr=True)
            self._progress = Progress(
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
                disable=not console.is_terminal,
            )
            self._progress.start()
            self._task = self._progress.add_task("", total=total, completed=done)
        # What is done at the first call says nothing about the speed: it may come from an earlier run.
        self._progress.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
