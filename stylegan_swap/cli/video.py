"""``stylegan-swap video``: a thin skin over ``swap_video``, with a progress bar."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from stylegan_swap.cli import options


def video(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="[IDENTITY CLIP]", help="Who, and into which clip.")
    ] = None,
    identity: options.Identities = None,
    clip: Annotated[
        Path | None, typer.Option("--clip", "--target", "-t", help="A video file, or a folder of pictures.")
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help=".mp4, .mov, .mkv or .webm; without suffix a folder of pictures."
        ),
    ] = Path("swapped.mp4"),
    method: options.Method = "default",
    face: options.Face = "largest",
    identity_face: options.IdentityFace = "largest",
    structure: options.Structure = 1.0,
    appearance: options.Appearance = 0.0,
    seed: options.Seed = None,
    match_colour: options.MatchColour = False,
    detail: options.Detail = 1.0,
    option: options.MethodOptions = None,
    refine: options.Refine = 0,
    start: Annotated[str, typer.Option(help="Where to begin: seconds, or h:mm:ss.")] = "0",
    end: Annotated[str | None, typer.Option(help="Where to stop: seconds, or h:mm:ss.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second of a folder of pictures (25).")] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth/--no-smooth", help="Smooth the landmarks over time.")
    ] = True,
    codec: Annotated[str | None, typer.Option(help="h264, hevc, vp9, or ffv1 (lossless).")] = None,
    crf: Annotated[int | None, typer.Option(help="Quality of the codec, lower is better.")] = None,
    audio: Annotated[
        str, typer.Option(help="Sound: copy (encode what the file cannot hold), encode, or none.")
    ] = "copy",
    preview: Annotated[
        Path | None, typer.Option(help="A picture that shows the newest frame, or a folder for several.")
    ] = None,
    preview_every: Annotated[int, typer.Option(min=1, help="Frames between previews.")] = 100,
    segment: Annotated[int, typer.Option(min=1, help="Frames per segment: what a kill costs at most.")] = 100,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Forget unfinished work, or go on from it.")
    ] = False,
    device: options.Device = "auto",
    dtype: options.Precision = "auto",
    landmarks: options.Landmarks = "dlib",
    mark: options.Mark = True,
    overwrite: options.Overwrite = False,
) -> None:
    """Put the face of a photo into a clip; sound, subtitles and times stay. The same command resumes."""
    identities, target = options.identity_and_target(
        inputs or [], identity or [], clip, "a photo and a clip", "clip"
    )
    first, last = _seconds(start, "--start"), None if end is None else _seconds(end, "--end")
    from stylegan_swap.errors import ImageReadError, VideoReadError

    for path, kind in [(target, VideoReadError), *((photo, ImageReadError) for photo in identities)]:
        # A wrong path is told before the networks are loaded; of an address, a path has lost a slash.
        if re.match(r"[a-z]{2,}:/", str(path)):
            raise kind(f"{path}: is an address, not a file; download it first")
        if not path.exists():
            raise kind(f"{path}: no such file; check the path")
    from stylegan_swap.video.run import swap_video, work_folder

    try:
        with options.ProgressBar() as bar:
            result = swap_video(
                [str(photo) for photo in identities],
                target,
                output,
                method=method,
                face=options.face_choice(face),
                identity_face=options.face_choice(identity_face),
                structure=structure,
                appearance=appearance,
                seed=seed,
                match_colour=match_colour,
                detail=detail,
                options=options.method_options(option),
                refine=refine,
                start=first,
                end=last,
                fps=fps,
                smooth=smooth,
                codec=codec,
                crf=crf,
                audio=audio,
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
    for text in result.notes:
        options.note(text)
    if result.resumed_at:
        typer.echo(f"{result.resumed_at} frames were done by an earlier run", err=True)
    rate = (result.frames - result.resumed_at) / max(result.seconds, 1e-9)
    typer.echo(
        f"{result.swapped} of {result.frames} frames swapped, {result.without_face} without a face, "
        f"{result.other_people} with other people only; {rate:.1f} frames/s"
    )
    typer.echo(str(result.path))


def _seconds(text: str, option: str) -> float:
    """``75``, ``75.5``, ``1:15`` or ``0:01:15.5``."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text):
        raise typer.BadParameter(f"{text!r} is no time; give seconds or h:mm:ss", param_hint=option)
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
