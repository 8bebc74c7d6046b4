"""The picture of an inversion: the photo beside what its codes draw, with the numbers below.

Beside the road; ``stylegan-swap invert --preview`` writes it, ``benchmarks/inverting.py`` stacks several.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from inversion import Inversion
from stylegan_swap.faces.tensors import to_pixels

# Smaller crops are enlarged, so that faces can be judged and the line of text has room.
SMALLEST_SIDE = 256
LINE = 24


def preview(inversion: Inversion) -> np.ndarray:
    """Photo, reconstruction and a line of text, uint8 RGB ``[H + 24, 2H, 3]`` with H = max(S, 256).

    Raises:
        ValueError: the inversion was read from a file, which keeps no pictures.
    """
    if inversion.photo is None or inversion.reconstruction is None:
        raise ValueError("preview: codes read from a file come without the photo; invert it again.")
    tiles = [_tile(face) for face in (inversion.photo, inversion.reconstruction)]
    side = tiles[0].shape[0]
    strip = Image.new("RGB", (2 * side, LINE), "black")
    text = f"photo | codes: PSNR {inversion.psnr:.1f} dB, distance {inversion.distance:.2f}"
    ImageDraw.Draw(strip).text((6, 4), text, "white", ImageFont.load_default(14))
    return np.vstack([np.hstack(tiles), np.asarray(strip)])


def _tile(face: Tensor) -> np.ndarray:
    pixels = np.clip(np.rint(to_pixels(face)[0]), 0, 255).astype(np.uint8)
    side = max(pixels.shape[0], SMALLEST_SIDE)
    image = Image.fromarray(pixels)
    return np.asarray(image if image.width == side else image.resize((side, side), Image.Resampling.BICUBIC))
