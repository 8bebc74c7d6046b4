"""``stylegan-swap demo``: two public-domain portraits that ship in wheels, swapped in both directions.

Eileen Collins (NASA, the "astronaut") and Grace Hopper (United States Navy). The picture in README.md is its
``demo.jpg``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stylegan_swap.cli import options

TILE_SIDE_PX = 512
# The sheet for README.md: six squares of 384 pixels.
SMALL_SHEET_PX = (1152, 768)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the pictures.")] = Path(
        "stylegan-swap-demo"
    ),
    method: options.Method = "default",
    device: options.Device = "auto",
) -> None:
    """Swap two well-known public-domain portraits both ways and write them side by side."""
    import numpy as np
    from PIL import Image

    from stylegan_swap.api import Swapper
    from stylegan_swap.images.photo import demo_photos
    from stylegan_swap.provenance.photo_file import write_photo

    options.make_folder(output, "choose another with -o")
    astronaut, hopper = demo_photos()
    swapper = Swapper.from_pretrained(method, device=device)
    rows, notes = [], []
    pairs = {"hopper_as_astronaut": (hopper, astronaut), "astronaut_as_hopper": (astronaut, hopper)}
    for name, (identity, attribute) in pairs.items():
        result = swapper(swapper.prepare(identity), attribute)
        result.save(output / f"{name}.png", overwrite=True)
        pictures = (Image.fromarray(identity.pixels), Image.fromarray(attribute.pixels), result.image)
        rows.append(np.hstack([_square(picture) for picture in pictures]))
        notes += result.notes
    sheet = np.vstack(rows)
    write_photo(output / "demo.png", sheet, overwrite=True)
    small = Image.fromarray(sheet).resize(SMALL_SHEET_PX, Image.Resampling.LANCZOS)
    write_photo(output / "demo.jpg", np.asarray(small), quality=92, overwrite=True)
    for text in dict.fromkeys(notes):
        options.note(text)
    typer.echo(f"Look at {(output / 'demo.png').resolve()}")


def _square(picture: Any) -> Any:
    """The upper left square of a picture at the tiles' size."""
    import numpy as np
    from PIL import Image

    side = min(picture.size)
    square = picture.convert("RGB").crop((0, 0, side, side))
    return np.asarray(square.resize((TILE_SIDE_PX, TILE_SIDE_PX), Image.Resampling.LANCZOS))
