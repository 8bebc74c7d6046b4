"""Puts images side by side for contact sheets.

Used by the stages; ``callbacks`` writes the sheets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stylegan_swap.faces.tensors import to_pixels


def tiled(images: Sequence[Tensor] | Tensor, columns: int) -> np.ndarray:
    """Lay images out in rows.

    Args:
        images: ``[count, 3, S, S]``, or so many of ``[3, S, S]``; RGB in [-1, 1], clipped.
        columns: images per row; the last row is filled up with black.

    Returns:
        uint8 ``[rows·S, columns·S, 3]``.

    Raises:
        ValueError: no images, or fewer than one column.
    """
    if not len(images) or columns < 1:
        raise ValueError(f"tiled: needs images and columns, got {len(images)} and {columns}.")
    tiles = to_pixels(images if isinstance(images, Tensor) else torch.stack(list(images)))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    return np.rint(np.concatenate(rows, 0)).astype(np.uint8)
