"""The demonstration: two public-domain portraits that ship in the wheels of scikit-image and matplotlib.

Eileen Collins (NASA, the "astronaut") and Grace Hopper (United States Navy), swapped in both directions.
The picture in README.md is its ``demo.jpg``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from stylegan_swap.api import Swapper
from stylegan_swap.errors import ImageWriteError
from stylegan_swap.images.photo import demo_photos
from stylegan_swap.provenance.photo_file import (
    write_photo,
)

# Width and height of the sheet for README.md: six squares of 384 pixels.
_SMALL = (1152, 768)


def run_demo(folder: Path, *, method: str = "default", device: str = "auto") -> tuple[Path, list[str]]:
    """Swap both portraits into each other.

    Args:
        folder: where the pictures go; created if needed, pictures of an earlier demo are replaced.
        method: see ``swap``.
        device: see ``swap``.

    Returns:
        The path of the sheet (identity, attribute, result; once whole as PNG, once small as JPEG) and the
        notes for the user.

    Raises:
        ImageWriteError: the folder cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageWriteError(
            f"{folder}: the folder cannot be created ({error.strerror}); choose another with -o"
        ) from error
    astronaut, hopper = demo_photos()
    swapper = Swapper.from_pretrained(method, device=device)
    into_astronaut = swapper(swapper.prepare(hopper), astronaut)
    into_hopper = swapper(swapper.prepare(astronaut), hopper)
    into_astronaut.save(folder / "hopper_as_astronaut.png", overwrite=True)
    into_hopper.save(folder / "astronaut_as_hopper.png", overwrite=True)
    rows = [
        _row(Image.fromarray(hopper.pixels), Image.fromarray(astronaut.pixels), into_astronaut.image),
        _row(Image.fromarray(astronaut.pixels), Image.fromarray(hopper.pixels), into_hopper.image),
    ]
    sheet = folder / "demo.png"
    whole = np.vstack(rows)
    write_photo(sheet, whole, overwrite=True)
    small = Image.fromarray(whole).resize(_SMALL, Image.Resampling.LANCZOS)
    write_photo(folder / "demo.jpg", np.asarray(small), quality=92, overwrite=True)
    return sheet, list(dict.fromkeys([*into_astronaut.notes, *into_hopper.notes]))


def _row(identity: Image.Image, attribute: Image.Image, result: Image.Image, height: int = 512) -> np.ndarray:
    """Identity, attribute and result at one height, cropped to squares."""
    tiles = []
    for image in (identity, attribute, result):
        side = min(image.size)
        square = image.convert("RGB").crop((0, 0, side, side))
        tiles.append(np.asarray(square.resize((height, height), Image.Resampling.LANCZOS)))
    return np.hstack(tiles)
