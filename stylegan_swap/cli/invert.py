"""``stylegan-swap invert``: a thin skin over ``Swapper.invert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stylegan_swap.cli.options import face_choice
from stylegan_swap.errors import ImageWriteError, UnsupportedOptionError


def invert(
    photo: Annotated[Path, typer.Argument(help="A photo with a face.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Codes: .safetensors.")] = Path(
        "codes.safetensors"
    ),
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A registered name, or a folder or file with weights.")
    ] = "default",
    preview: Annotated[
        Path | None, typer.Option(help="Also write the photo beside what the codes look like.")
    ] = None,
    steps: Annotated[
        int, typer.Option(min=0, help="Steps of projection after the encoder: codes and noise maps.")
    ] = 0,
    pti: Annotated[
        int, typer.Option(min=0, help="Steps of pivotal tuning after that; its weights go into the file too.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of both.")] = 0,
    face: Annotated[
        str, typer.Option("--face", help="largest, a number from the left (from 0), or a photo of the person")
    ] = "largest",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Find the W+ codes of a face, and say how well they redraw it."""
    from stylegan_swap.provenance.photo_file import (
        check_writable,
    )
    from stylegan_swap.weights.store import MODEL_FILE, find_weights

    if output.suffix != ".safetensors":
        raise ImageWriteError(f"{output}: codes are written as .safetensors: change the suffix")
    if output.exists() and not overwrite:
        raise ImageWriteError(
            f"{output}: exists already; choose another name or allow overwriting (--overwrite)"
        )
    if output.exists() and output.resolve() in (
        Path(weights).resolve(),
        Path(weights).resolve() / MODEL_FILE,
    ):
        raise ImageWriteError(f"{output}: holds the weights; choose another name for the codes")
    if not output.resolve().parent.is_dir():
        raise ImageWriteError(f"{output}: the folder does not exist; create it first")
    if preview is not None:
        check_writable(preview, overwrite, inputs=[photo])
    from stylegan_swap.api import Swapper
    from stylegan_swap.editing.codes import save_codes
    from stylegan_swap.editing.invert import quality_note
    from stylegan_swap.methods.base.protocol import generator_of

    # Unlike swap, this needs a generator: no falling back to a method without one.
    find_weights(weights)
    swapper = Swapper.from_pretrained(weights, device=device)
    if preview is not None and generator_of(swapper.method) is None:
        raise UnsupportedOptionError("a preview needs a generator, and these weights hold none: leave it out")
    found = swapper.invert(photo, face=face_choice(face), steps=steps, pti=pti, seed=seed)
    save_codes(output, found)
    if note := quality_note(found):
        typer.secho(f"note: {photo}: {note}", fg="yellow", err=True)
    if found.psnr is not None:
        typer.echo(f"PSNR {found.psnr:.1f} dB, distance {found.distance:.2f} (below 0.6: the same person)")
    typer.echo(f"{output}  (wplus {list(found.wplus.shape)})")
    if preview is not None:
        _write_preview(preview, found, overwrite)
        typer.echo(f"{preview}")


def _write_preview(path: Path, found: Any, overwrite: bool) -> None:
    from stylegan_swap.editing.invert_preview import preview
    from stylegan_swap.provenance.photo_file import (
        write_photo,
    )

    write_photo(path, preview(found), overwrite=overwrite)
