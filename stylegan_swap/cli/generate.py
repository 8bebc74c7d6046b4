"""``stylegan-swap generate``: faces of nobody; a thin skin over ``Swapper.generate``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan_swap.cli import options

if TYPE_CHECKING:
    from stylegan_swap.api import Swapper


def generate(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A picture, or a folder for several.")
    ] = Path("generated"),
    codes: Annotated[Path | None, typer.Option(help="Codes written by invert; otherwise new people.")] = None,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="How many people.")] = 1,
    truncation_psi: Annotated[float, typer.Option("--truncation-psi", "--truncation")] = 0.7,
    seed: Annotated[int, typer.Option(help="Of the first person; the next have the next seeds.")] = 0,
    weights: options.Weights = "default",
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Synthesise faces of people who do not exist, or the face behind W+ codes."""
    from stylegan_swap.provenance.photo_file import WRITABLE, check_writable

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
    swapper = _swapper(weights, device)
    from stylegan_swap.editing.codes import load_codes

    latents = None if codes is None else load_codes(codes)
    if not single:
        options.make_folder(output)
    for index, path in enumerate(paths):
        image = swapper.generate(latents, truncation_psi=truncation_psi, seed=seed + index)[0]
        options.write_drawn(path, image, overwrite)
        typer.echo(str(path))


def _swapper(weights: str, device: str) -> Swapper:
    """With weights, or with a method that has none and will say so."""
    from stylegan_swap.api import Swapper
    from stylegan_swap.methods.registry import method_names
    from stylegan_swap.weights.store import published_weights

    available = weights in {*method_names(), *published_weights()} or os.path.exists(weights)
    if weights == "default" or not available:
        return options.swapper_with_weights(weights, device)
    swapper = Swapper.from_pretrained(weights, device=device)
    for text in swapper.notes:
        options.note(text)
    return swapper
