"""The command ``stylegan-swap``: each verb is a thin skin over ``api``.

Exit codes: 0 done, 1 an error (one line on stderr, no traceback), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from stylegan_swap._version import __version__
from stylegan_swap.cli.app import app_command
from stylegan_swap.cli.batch import batch
from stylegan_swap.cli.bench import bench
from stylegan_swap.cli.convert import convert
from stylegan_swap.cli.directions import directions_app
from stylegan_swap.cli.download import download
from stylegan_swap.cli.edit import edit
from stylegan_swap.cli.evaluate import evaluate
from stylegan_swap.cli.export import export
from stylegan_swap.cli.invert import invert
from stylegan_swap.cli.options import face_choice
from stylegan_swap.cli.study import study_app
from stylegan_swap.cli.swap import (
    Keep,
    Mask,
    MaskBlur,
    MaskPadding,
    Replace,
    SkipMissing,
    mask_options,
    replacements,
    who_and_where,
)
from stylegan_swap.cli.train import convert_identity, pack, train
from stylegan_swap.cli.verify import verify
from stylegan_swap.cli.video import video
from stylegan_swap.errors import (
    FallbackWarning,
    ImageWriteError,
    StyleganSwapError,
    StyleganSwapWarning,
)
from stylegan_swap.files.allocator import keep_freed_memory

app = typer.Typer(
    name="stylegan-swap",
    help="Swap faces in photographs. Mark what you publish as synthetic, and swap only with consent.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Landmarks(str, Enum):
    """Landmark backends that can be chosen."""

    DLIB = "dlib"
    FACE_ALIGNMENT = "face-alignment"


Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]
Weights = Annotated[
    str, typer.Option("--weights", "-w", help="A registered name, or a folder or file with weights.")
]
FaceOption = Annotated[
    str,
    typer.Option("--face", help="largest, all, a number from the left (from 0), or a photo of the person"),
]


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


@app.command()
def swap(
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="[IDENTITY ATTRIBUTE]", help="Who, and into which photo.")
    ] = None,
    identity: Annotated[
        list[Path] | None,
        typer.Option("--identity", "--source", "-s", help="Who; give it several times for several photos."),
    ] = None,
    attribute: Annotated[
        Path | None, typer.Option("--attribute", "--target", "-t", help="The photo to swap into.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Result: .png, .jpg, .webp or .tif.")] = Path(
        "swapped.png"
    ),
    method: Annotated[str, typer.Option(help="A method's name, or weights: a folder or file.")] = "default",
    face: FaceOption = "largest",
    identity_face: Annotated[
        str, typer.Option(help="Which face of the identity photo; same words as --face, but not all.")
    ] = "largest",
    structure: Annotated[float, typer.Option(help="0..1: shape of the face, 1 = the identity's.")] = 1.0,
    appearance: Annotated[float, typer.Option(help="0..1: colours, 1 = the identity's.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Draw fresh noise maps.")] = None,
    match_colour: Annotated[
        bool, typer.Option("--match-colour", help="Match the skin's colours to the photo's when pasting.")
    ] = False,
    detail: Annotated[
        float, typer.Option(help="0..1: detail finer than the network's pixels, from both photos.")
    ] = 1.0,
    refine: Annotated[
        int, typer.Option(min=0, help="Steps of tuning a copy of the network to the person; 10 is a start.")
    ] = 0,
    replace: Replace = None,
    skip_missing: SkipMissing = False,
    mask: Mask = "predicted",
    keep: Keep = None,
    mask_blur: MaskBlur = None,
    mask_padding: MaskPadding = "0",
    device: Device = "auto",
    dtype: Precision = "auto",
    landmarks: Annotated[Landmarks, typer.Option(help="Landmark backend.")] = Landmarks.DLIB,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP.")] = 95,
    mark: Annotated[
        bool,
        typer.Option("--mark/--no-mark", help="Say in metadata, watermark and manifest that AI was used."),
    ] = True,
    save_mask: Annotated[Path | None, typer.Option(help="Also write the mask, as a picture.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Put the face of one photo into another."""
    identities, target = who_and_where(photos or [], identity or [], attribute, replace or [])
    several = replacements(replace or [])
    options = mask_options(mask, keep, mask_blur, mask_padding)
    from stylegan_swap.images.photo import (
        read_photo,
    )
    from stylegan_swap.provenance.photo_file import (
        check_writable,
    )

    # --face and --identity-face may name a reference photo.
    inputs = [*identities, target, face, identity_face]
    inputs += [path for old, news in several for path in (str(old), *news)]
    check_writable(output, overwrite, inputs=inputs)
    if save_mask is not None:
        check_writable(save_mask, overwrite, inputs=inputs)
        if save_mask.resolve() == output.resolve():
            raise ImageWriteError(f"{save_mask}: is the result's file as well; choose another for the mask")
    from stylegan_swap.api import Swapper

    swapper = Swapper.from_pretrained(method, device=device, dtype=dtype, landmarks=landmarks.value)
    # Both are read before the work on either, so that a wrong path is told at once.
    who, where = [read_photo(path) for path in identities], read_photo(target)
    how: dict[str, Any] = {"face": face_choice(identity_face), "refine": refine, "seed": seed or 0}
    missing = "skip" if skip_missing else "error"
    person: Any = (
        swapper.prepare_people(several, missing=missing, **how) if several else swapper.prepare(who, **how)
    )
    result = swapper(
        person,
        where,
        face=face_choice(face),
        structure=structure,
        appearance=appearance,
        seed=seed,
        match_colour=match_colour,
        detail=detail,
        mask=options,
    )
    result.save(output, overwrite=overwrite, quality=quality, mark=mark)
    if save_mask is not None:
        _write_mask(save_mask, result.mask, overwrite)
    for note in result.notes:
        _note(note)
    for number, swapped in enumerate(result.faces):
        typer.echo(
            f"face {number}: distance to the identity {swapped.distance:.2f} (below 0.6: the same person "
            "for dlib's recogniser)"
        )
    typer.echo(f"{output}  ({result.image.width} × {result.image.height}, method {result.method})")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the pictures.")] = Path(
        "stylegan-swap-demo"
    ),
    method: Annotated[str, typer.Option(help="A method's name, or weights: a folder or file.")] = "default",
    device: Device = "auto",
) -> None:
    """Swap two well-known public-domain portraits both ways and write them side by side."""
    from stylegan_swap.cli.demo import run_demo

    sheet, notes = run_demo(output, method=method, device=device)
    for note in notes:
        _note(note)
    typer.echo(f"Look at {sheet.resolve()}")


app.command()(invert)


@app.command()
def generate(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A picture, or a folder for several.")
    ] = Path("generated"),
    codes: Annotated[Path | None, typer.Option(help="Codes written by invert; otherwise new people.")] = None,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="How many people.")] = 1,
    truncation_psi: Annotated[float, typer.Option("--truncation-psi", "--truncation")] = 0.7,
    seed: Annotated[int, typer.Option(help="Of the first person; the next have the next seeds.")] = 0,
    weights: Weights = "default",
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Synthesise faces of people who do not exist, or the face behind W+ codes."""
    from stylegan_swap.provenance.photo_file import (
        WRITABLE,
        check_writable,
    )

    single = bool(output.suffix) and not output.is_dir()
    if single and output.suffix.lower() not in WRITABLE:
        raise typer.BadParameter(f"{output}: pictures end in {', '.join(WRITABLE)}", param_hint="--output")
    if single and n > 1:
        raise typer.BadParameter(f"{n} pictures need a folder, not {output}", param_hint="--output")
    if codes is not None and n > 1:
        raise typer.BadParameter("codes give one picture", param_hint="--number")
    names = [f"codes_{codes.stem}.png"] if codes else [f"seed{seed + index:06d}.png" for index in range(n)]
    paths = [output] if single else [output / name for name in names]
    if single or output.is_dir():
        for path in paths:
            check_writable(path, overwrite)
    swapper = _with_weights(weights, device)
    from stylegan_swap.editing.codes import load_codes

    latents = None if codes is None else load_codes(codes)
    if not single:
        _make_folder(output)
    for index, path in enumerate(paths):
        image = swapper.generate(latents, truncation_psi=truncation_psi, seed=seed + index)[0]
        _write_image(path, image, overwrite)
        typer.echo(str(path))


app.command()(edit)
app.add_typer(directions_app)
app.command()(batch)
app.command()(evaluate)
app.add_typer(study_app)
app.command()(train)
app.command()(pack)
app.command()(bench)
app.command()(convert)
app.command()(convert_identity)
app.command()(export)
app.command()(download)
app.command()(verify)
app.command()(video)
app.command("app")(app_command)


@app.command()
def doctor() -> None:
    """Print versions, device, op backend and weights: what a bug report needs."""
    from stylegan_swap.cli.doctor import print_report

    print_report()


def main() -> None:
    """Entry point of the console script: errors become one line and an exit code."""
    warnings.showwarning = _show_warning
    # An end from outside is a Ctrl-C: what is half written is removed, what is finished is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    keep_freed_memory()
    try:
        app(standalone_mode=True)
    except StyleganSwapError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        # torch's OutOfMemoryError is a RuntimeError; naming it would import torch for every command.
        gpu = type(error).__name__ == "OutOfMemoryError"
        if not (gpu or isinstance(error, MemoryError) or "DefaultCPUAllocator: " in str(error)):
            raise
        typer.secho("error: not enough memory: use --device cpu, or a smaller picture", fg="red", err=True)
        sys.exit(1)
    except OSError as error:
        # What no writer has put into words: a full disk, a folder that went away.
        reason = error.strerror or " ".join(str(error).split())
        where = f"{error.filename}: " if error.filename else ""
        typer.secho(f"error: {where}{reason}; check the path and the disk", fg="red", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as end:
        # typer turns Ctrl-C into exit code 130, without a word.
        if isinstance(end, SystemExit) and end.code != 130:
            raise
        typer.echo("interrupted", err=True)
        sys.exit(130)


def _with_weights(weights: str, device: str) -> Any:
    from stylegan_swap.api import Swapper
    from stylegan_swap.methods.registry import list_methods
    from stylegan_swap.weights.store import find_weights, published_weights

    known = weights in {*list_methods(), *published_weights()} or os.path.exists(weights)
    if weights == "default" or not known:
        # Unlike swap, these need a generator: no falling back to a method without one. A wrong name is told.
        find_weights(weights)
    swapper = Swapper.from_pretrained(weights, device=device)
    for note in swapper.notes:
        _note(note)
    return swapper


def _write_image(path: Path, image: Any, overwrite: bool) -> None:
    import numpy as np

    from stylegan_swap.provenance.metadata import TRAINED
    from stylegan_swap.provenance.photo_file import (
        write_photo,
    )
    from stylegan_swap.provenance.watermark import Kind

    write_photo(path, np.asarray(image), source_type=TRAINED, result=Kind.GENERATED, overwrite=overwrite)


def _write_mask(path: Path, mask: Any, overwrite: bool) -> None:
    import numpy as np

    from stylegan_swap.provenance.photo_file import (
        write_photo,
    )

    levels = np.rint(mask * 255).astype(np.uint8)
    write_photo(path, np.repeat(levels[..., None], 3, axis=2), mark=False, overwrite=overwrite)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageWriteError(
            f"{path}: the folder cannot be created ({error.strerror}); choose another"
        ) from error


def _note(text: str) -> None:
    typer.secho(f"note: {text}", fg="yellow", err=True)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    # Our own warnings come with the result's notes; other packages' would only puzzle a user.
    if issubclass(category, FallbackWarning):
        _note(str(message))
    if not issubclass(category, StyleganSwapWarning) and sys.flags.dev_mode:
        _note(f"{category.__name__}: {message}")


if __name__ == "__main__":
    main()
