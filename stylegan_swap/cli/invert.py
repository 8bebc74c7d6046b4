"""``stylegan-swap invert``: a thin skin over ``Swapper.invert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan_swap.cli import options
from stylegan_swap.errors import ImageWriteError, UnsupportedOptionError


def invert(
    photo: Annotated[Path, typer.Argument(help="A photo with a face.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Codes: .safetensors.")] = Path(
        "codes.safetensors"
    ),
    weights: options.Weights = "default",
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
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Find the W+ codes of a face, and say how well they redraw it."""
    from stylegan_swap.provenance.photo_file import check_writable
    from stylegan_swap.weights.store import MODEL_FILE

    options.check_new_file(output, ".safetensors", overwrite, "codes")
    model = Path(weights).resolve()
    if output.exists() and output.resolve() in (model, model / MODEL_FILE):
        raise ImageWriteError(f"{output}: holds the weights; choose another name for the codes")
    if preview is not None:
        check_writable(preview, overwrite, inputs=[photo])
    from stylegan_swap.editing.codes import save_codes
    from stylegan_swap.editing.invert import quality_note
    from stylegan_swap.methods.base.protocol import generator_of

    swapper = options.swapper_with_weights(weights, device)
    if preview is not None and generator_of(swapper.method) is None:
        raise UnsupportedOptionError("a preview needs a generator, and these weights hold none: leave it out")
    codes = swapper.invert(photo, face=options.face_choice(face), steps=steps, pti=pti, seed=seed)
    save_codes(output, codes)
    if remark := quality_note(codes):
        options.note(f"{photo}: {remark}")
    if codes.psnr is not None:
        typer.echo(f"PSNR {codes.psnr:.1f} dB, distance {codes.distance:.2f} (below 0.6: the same person)")
    typer.echo(f"{output}  (wplus {list(codes.wplus.shape)})")
    if preview is not None:
        from stylegan_swap.editing.invert_preview import preview as draw_preview
        from stylegan_swap.provenance.photo_file import write_photo

        write_photo(preview, draw_preview(codes), overwrite=overwrite)
        typer.echo(f"{preview}")
