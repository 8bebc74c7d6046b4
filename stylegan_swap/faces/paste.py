"""Put the swapped crop back into the photograph. Last step of the road before the file is written.

Nothing outside the mask changes by a single bit, however large the photo: only the pixels under the
mask are computed and written.
"""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.errors import NonFiniteError
from stylegan_swap.faces.geometry.align import Alignment, resample
from stylegan_swap.faces.pixels.colour import match_colour

# Below half a grey level at full contrast the mask cannot change a pixel; cutting it there bounds the region.
_NOTHING = 0.5 / 255


def paste_back(
    pixels: np.ndarray,
    swapped: np.ndarray,
    mask: np.ndarray,
    alignment: Alignment,
    *,
    colour: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Blend the swapped crop into the photo at the photo's own resolution.

    Args:
        pixels: the photo, uint8 ``[H, W, 3]``; not changed.
        swapped: the crop, float32 ``[S, S, 3]`` in 0..255.
        mask: float32 ``[s, s]`` in 0..1 of the same place; 1 takes the crop, 0 keeps the photo.
        alignment: the map the crop was cut with.
        colour: first match the crop's skin to the photo's, under the mask, in Lab.

    Returns:
        The new photo, uint8 ``[H, W, 3]``, and the mask in photo pixels, float32 ``[H, W]``. Where that
        mask is 0 the photo is unchanged.

    Raises:
        ValueError: shapes do not fit.
        NonFiniteError: crop or mask hold NaN or infinity.
    """
    size = alignment.size
    if swapped.shape != (size, size, 3) or mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        raise ValueError(f"crop {swapped.shape} and mask {mask.shape} do not fit an alignment of {size} px")
    if not np.isfinite(swapped).all() or not np.isfinite(mask).all():
        raise NonFiniteError(
            "the swapped face holds NaN or infinity: the method's weights or its input are broken; nothing "
            "was pasted"
        )
    result = pixels.copy()
    full_mask = np.zeros(pixels.shape[:2], np.float32)
    place = alignment.resized(mask.shape[0])
    window = _window(mask, place, pixels.shape[:2])
    if window is None:
        return result, full_mask
    (left, top), (right, bottom) = window
    if colour:
        wide = cv2.resize(mask, (size, size), interpolation=cv2.INTER_LINEAR)
        swapped = match_colour(swapped, alignment.crop(pixels), wide)
    extent = (right - left, bottom - top)
    local_mask = resample(_closed(mask), _to_window(place, left, top), extent)
    local_mask[local_mask < _NOTHING] = 0.0
    face = resample(swapped, _to_window(alignment, left, top), extent, border=cv2.BORDER_REPLICATE)
    region = result[top:bottom, left:right]
    weight = local_mask[..., None]
    blended = np.rint(face * weight + region.astype(np.float32) * (1 - weight)).clip(0, 255).astype(np.uint8)
    region[...] = np.where(weight > 0, blended, region)
    full_mask[top:bottom, left:right] = local_mask
    return result, full_mask


def _to_window(alignment: Alignment, left: int, top: int) -> np.ndarray:
    """The map from crop pixels to those of a part of the photo."""
    matrix = alignment.inverse.copy()
    matrix[:, 2] -= [left, top]
    return matrix


def _window(
    mask: np.ndarray, alignment: Alignment, shape: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The part of the photo that the mask can touch, or None."""
    rows, columns = np.nonzero(mask > _NOTHING)
    if rows.size == 0:
        return None
    low, high = [columns.min() - 1, rows.min() - 1], [columns.max() + 1, rows.max() + 1]
    corners = alignment.to_photo(np.array([low, [high[0], low[1]], [low[0], high[1]], high], np.float32))
    margin = 2 / alignment.scale + 2
    bounds = np.array([shape[1], shape[0]])
    first = np.clip(np.floor(corners.min(0) - margin), 0, bounds).astype(int)
    last = np.clip(np.ceil(corners.max(0) + margin) + 1, 0, bounds).astype(int)
    if np.any(last <= first):
        return None
    return (int(first[0]), int(first[1])), (int(last[0]), int(last[1]))


def _closed(mask: np.ndarray) -> np.ndarray:
    """The mask with its outermost pixels at 0, so that it ends smoothly where the crop ends."""
    closed = np.zeros_like(mask, np.float32)
    closed[1:-1, 1:-1] = mask[1:-1, 1:-1]
    return closed
