"""A sheet of edits: a row per direction, a column per strength; for looking at directions.

Behind ``stylegan-swap edit --sheet``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stylegan_swap.editing.codes import load_codes
from stylegan_swap.editing.direction import Direction, Rows, edit
from stylegan_swap.images.photo import read_photo

if TYPE_CHECKING:
    from stylegan_swap.api import Swapper

CELL = 256
_MARGIN, _HEAD = 132, 24
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


def edited_faces(
    swapper: Swapper,
    source: Path,
    directions: Sequence[tuple[Direction, float, Rows | None]],
    strengths: Sequence[float],
    face: Any = "largest",
) -> list[list[np.ndarray]]:
    """Faces for a sheet, uint8 RGB ``[CELL, CELL, 3]``, one list per direction.

    ``source`` is a photo, which is edited as ``Swapper.edit`` does and cropped to its one ``face``, or codes
    (.safetensors), whose first face is drawn. Each direction has a factor for all strengths, and rows or
    None; each strength is a column.

    Raises:
        StyleganSwapError: the source cannot be read, shows no face, or belongs to another network.
    """
    codes = load_codes(source) if source.suffix.lower() == ".safetensors" else None
    photo = None if codes is not None else read_photo(source)
    rows = []
    for direction, factor, span in directions:
        cells = []
        for strength in strengths:

            def move(latents: Any, at: float = factor * strength, to: Any = (direction, span)) -> Any:
                return edit(latents, to[0], at, to[1])

            if photo is None:
                image = swapper.generate(move(codes))[0].resize((CELL, CELL), Image.Resampling.BICUBIC)
                cells.append(np.asarray(image))
                continue
            result = swapper.edit(photo, move, face=face)
            crop = result.faces[0].alignment.resized(CELL).crop(np.asarray(result.image.convert("RGB")))
            cells.append(np.rint(np.clip(crop, 0, 255)).astype(np.uint8))
        rows.append(cells)
    return rows


def draw_sheet(
    cells: Sequence[Sequence[np.ndarray]], names: Sequence[str], columns: Sequence[str]
) -> np.ndarray:
    """Put faces on a sheet with headings.

    ``cells``: uint8 RGB ``[s, s, 3]``, one list per row; ``names``: one per row; ``columns``: one per column.
    Returns uint8 RGB.
    """
    side = cells[0][0].shape[0]
    sheet = Image.new("RGB", (_MARGIN + side * len(columns), _HEAD + side * len(names)), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for index, text in enumerate(columns):
        pen.text((_MARGIN + side * index + side // 2, _HEAD // 2), text, _INK, font, anchor="mm")
    for index, (name, row) in enumerate(zip(names, cells, strict=True)):
        pen.text((8, _HEAD + side * index + side // 2), name, _INK, font, anchor="lm")
        for column, cell in enumerate(row):
            sheet.paste(Image.fromarray(cell), (_MARGIN + side * column, _HEAD + side * index))
    return np.asarray(sheet)
