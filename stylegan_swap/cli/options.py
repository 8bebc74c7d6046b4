"""What several commands share: their options, how they say notes, what they check before the work.

Nothing here imports torch: ``stylegan-swap --help`` reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stylegan_swap.errors import ImageWriteError

if TYPE_CHECKING:
    from stylegan_swap.api import Swapper

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16")]
Landmarks = Annotated[Literal["dlib", "face-alignment"], typer.Option(help="Landmark backend.")]
Method = Annotated[str, typer.Option(help="A method's name, or weights: a folder or file.")]
Weights = Annotated[
    str, typer.Option("--weights", "-w", help="A registered name, or a folder or file with weights.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]
Quality = Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP.")]
Mark = Annotated[
    bool, typer.Option("--mark/--no-mark", help="Say in metadata, watermark and manifest that AI was used.")
]

# Who is swapped, where, and how much of it.
Identities = Annotated[
    list[Path] | None,
    typer.Option("--identity", "--source", "-s", help="Who; give it several times for several photos."),
]
Face = Annotated[
    str,
    typer.Option("--face", help="largest, all, a number from the left (from 0), or a photo of the person"),
]
IdentityFace = Annotated[
    str, typer.Option(help="Which face of the identity photo; same words as --face, but not all.")
]
Structure = Annotated[float, typer.Option(help="0..1: shape of the face, 1 = the identity's.")]
Appearance = Annotated[float, typer.Option(help="0..1: colours, 1 = the identity's.")]
Detail = Annotated[float, typer.Option(help="0..1: detail finer than the network's pixels, from both.")]
Seed = Annotated[int | None, typer.Option(help="Draw fresh noise maps; a clip has the same in all frames.")]
MethodOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="An option of the method's own; once per option."),
]
MatchColour = Annotated[
    bool, typer.Option("--match-colour", help="Match the skin's colours to the photo's when pasting.")
]
Refine = Annotated[
    int, typer.Option(min=0, help="Steps of tuning a copy of the network to the person; 10 is a start.")
]


def method_options(texts: list[str] | None) -> dict[str, Any]:
    """Values by name of the texts NAME=VALUE; what is a number becomes one."""
    values: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--option")
        try:
            values[name] = float(value) if "." in value else int(value)
        except ValueError:
            values[name] = value
    return values


def face_choice(text: str) -> Any:
    """Which face a word means: the word itself, a number, or the path of a reference photo."""
    try:
        return int(text)
    except ValueError:
        return text


def identity_and_target(
    positional: list[Path], identities: list[Path], target: Path | None, pair: str, kind: str
) -> tuple[list[Path], Path]:
    """Two arguments, or the options -s and -t; ``pair`` and ``kind`` are words for the messages.

    Raises:
        typer.BadParameter: something is missing, or given twice.
    """
    if positional and (identities or target):
        raise typer.BadParameter(f"give {pair} either as two arguments or with -s and -t")
    if len(positional) == 2:
        return [positional[0]], positional[1]
    if positional or not identities or target is None:
        raise typer.BadParameter(f"give {pair}: who (-s) and into which {kind} (-t)")
    return identities, target


def note(text: str) -> None:
    """A remark for the user, on the error stream."""
    typer.secho(f"note: {text}", fg="yellow", err=True)


def swapper_with_weights(weights: str, device: str) -> Swapper:
    """A swapper of these weights, without falling back to a method that has none.

    Raises:
        CheckpointError: there are no such weights, or they cannot be read.
    """
    from stylegan_swap.api import Swapper
    from stylegan_swap.weights.store import find_weights

    find_weights(weights)
    return Swapper.from_pretrained(weights, device=device)


def check_new_file(
    path: Path, suffix: str, overwrite: bool, content: str, error: type[Exception] = ImageWriteError
) -> None:
    """Raise ``error`` before the work if a result could not be written; ``content`` names it there."""
    if path.suffix.lower() != suffix:
        raise error(f"{path}: {content} are written as {suffix}: change the suffix")
    if path.exists() and not overwrite:
        raise error(f"{path}: exists already; choose another name or --overwrite")
    if not path.resolve().parent.is_dir():
        raise error(f"{path}: the folder does not exist; create it first")


def make_folder(path: Path, remedy: str = "choose another") -> None:
    """Make a folder for results; raises ImageWriteError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageWriteError(f"{path}: the folder cannot be created ({error.strerror}); {remedy}") from error


def write_drawn(path: Path, image: Any, overwrite: bool, *, sheet: bool = False) -> None:
    """Write a picture of nobody; a sheet with its labels is a working picture, for which metadata suffice."""
    import numpy as np

    from stylegan_swap.provenance.metadata import TRAINED
    from stylegan_swap.provenance.photo_file import write_photo
    from stylegan_swap.provenance.watermark import Kind

    kind = None if sheet else Kind.GENERATED
    write_photo(path, np.asarray(image), source_type=TRAINED, result=kind, overwrite=overwrite)


class ProgressBar:
    """Progress on a terminal; silent elsewhere.

    Args:
        of_bytes: what is counted; otherwise pieces.
    """

    def __init__(self, *, of_bytes: bool = False) -> None:
        self._of_bytes = of_bytes
        self._progress: Any = None
        self._task: Any = None

    def __enter__(self) -> ProgressBar:
        return self

    def __call__(self, count: int, total: int | None) -> None:
        """Shows that `count` of `total` are ready; what the first call brings says nothing of the speed."""
        if self._progress is None:
            from rich import progress
            from rich.console import Console

            columns = (progress.DownloadColumn(), progress.TransferSpeedColumn())
            console = Console(stderr=True)
            self._progress = progress.Progress(
                progress.BarColumn(),
                *(columns if self._of_bytes else (progress.MofNCompleteColumn(),)),
                progress.TimeRemainingColumn(),
                console=console,
                transient=True,
                disable=not console.is_terminal,
            )
            self._progress.start()
            self._task = self._progress.add_task("", total=total, completed=count)
        self._progress.update(self._task, completed=count, total=total)

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
