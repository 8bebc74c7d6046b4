"""Writing the watermark: a tile of signs added to the luminance, as strong as the picture masks it."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

from stylegan_swap.errors import ImageWriteError
from stylegan_swap.provenance.watermark.code import CODE_BITS, Kind, encode
from stylegan_swap.provenance.watermark.pattern import (
    CANONICAL_SIDE,
    TILE,
    Layout,
    at_scale,
    features,
    layout,
    reduced_luminance,
)

#: Shortest side in px of pictures that are marked.
SMALLEST_SIDE = 64

# The lowest peak signal-to-noise ratio of the whole picture, in dB, before rounding takes another 0.1 to 0.2.
_PSNR_DB = 40.35
# Root mean square of the mark in grey levels: on a plain surface, and by the square root of what surrounds
# it.
_ON_PLAIN, _BY_ACTIVITY, _STRONGEST = 0.3, 0.85, 5.0
_NEAR_PX = 1.5  # canonical pixels within which texture masks the mark
# Black shows the mark more than grey does: its share there, and the level from which on it is whole.
_ON_BLACK, _GREY = 0.45, 70.0
# Rounds in which bits that the picture speaks against get more strength, and how much.
_ROUNDS, _STEP = 3, 0.4
_BLOCK = 1 << 20  # pixels per block of work
_DITHER_SIDE = 256


def embed_watermark(pixels: npt.NDArray[np.uint8], kind: Kind = Kind.SWAP) -> npt.NDArray[np.uint8]:
    """A picture with the watermark in it; the one that is given stays as it is.

    The peak signal-to-noise ratio over the whole picture is at least 40 dB. About 0.2 s for 12 megapixels and
    25 ms for a frame of 1280 × 720 on one core.

    Args:
        pixels: uint8 ``[H, W, 3]``, RGB. With a side under :data:`SMALLEST_SIDE` a plain copy is returned.
        kind: statement of the mark.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        ImageWriteError: pixels of another kind.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        layout_text = f"{pixels.dtype} {list(pixels.shape)}"
        raise ImageWriteError(f"pixels are {layout_text}; give uint8 [H, W, 3] in RGB order")
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        return pixels.copy()
    scale = CANONICAL_SIDE / float(np.sqrt(height * width))
    luminance, factor = reduced_luminance(pixels)
    return _add(pixels, _mark(at_scale(luminance, scale * factor), Kind(kind)), scale)


def embed_in_luma(
    luma: npt.NDArray[np.uint8], kind: Kind = Kind.SWAP, *, limited: bool = True
) -> npt.NDArray[np.uint8]:
    """The luma of a video frame with the watermark in it; chroma needs no change.

    Args:
        luma: uint8 ``[H, W]``. With a side under :data:`SMALLEST_SIDE` a plain copy is returned.
        kind: statement of the mark.
        limited: whether luma reaches from 16 to 235 (H.273), not from 0 to 255.

    Returns:
        uint8 ``[H, W]``.
    """
    height, width = luma.shape
    if min(height, width) < SMALLEST_SIDE:
        return luma.copy()
    scale = CANONICAL_SIDE / float(np.sqrt(height * width))
    luminance, factor = reduced_luminance(luma)
    share = 219 / 255 if limited else 1.0
    if limited:
        luminance = np.clip((luminance - 16) / share, 0, 255)
    mark = _mark(at_scale(luminance, scale * factor), Kind(kind))
    return _add(luma, mark * np.float32(share), scale)


def _mark(picture: npt.NDArray[np.float32], kind: Kind) -> npt.NDArray[np.float32]:
    """The mark at canonical scale, two pixels larger than the picture to the right and below."""
    marks, code = layout(), encode(kind)
    strength = _strength(picture)
    height, width = picture.shape
    wide = cv2.copyMakeBorder(strength, 0, 2, 0, 2, cv2.BORDER_REPLICATE)
    largest = 255 / 10 ** (_PSNR_DB / 20)
    boost = np.ones(CODE_BITS, np.float32)
    for remaining in reversed(range(_ROUNDS + 1)):
        tile = _tile(marks, code * boost)
        added = np.tile(tile, (height // TILE + 2, width // TILE + 2))[: height + 2, : width + 2] * wide
        size = float(np.sqrt((added * added).mean()))
        added *= min(1.0, largest / max(size, 1e-9))
        if remaining:
            response = marks.soft(features(picture + added[:height, :width])) * code
            boost = np.clip(boost + _STEP * (1 - response / max(response.mean(), 1e-9)), 0.2, 3).astype(
                np.float32
            )
    return added


def _strength(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """How strong the mark may be at each canonical pixel, in grey levels."""
    detail = picture - cv2.GaussianBlur(picture, (0, 0), 2 * _NEAR_PX)
    spread = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _NEAR_PX))
    # Below half a level it is rounding, as in the gradient of a clear sky, and masks nothing.
    spread *= spread / (spread + 0.5)
    root = np.sqrt(spread)
    # An edge beside a plain surface masks nothing on it: the plainest place nearby sets the limit.
    plainest = cv2.GaussianBlur(cv2.erode(root, np.ones((7, 7), np.uint8)), (0, 0), _NEAR_PX)
    activity = np.minimum(cv2.GaussianBlur(root, (0, 0), 3.0), 1.6 * plainest)
    shade = np.clip(cv2.GaussianBlur(picture, (0, 0), 3.0) / _GREY, 0, 1)
    return np.minimum(_ON_PLAIN + _BY_ACTIVITY * activity, _STRONGEST) * (_ON_BLACK + (1 - _ON_BLACK) * shade)


def _tile(marks: Layout, word: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The tile of a code word, ``[TILE, TILE]``, root mean square 1."""
    parts = marks.sign * marks.amplitude * np.where(marks.owner < 0, 1, word[marks.owner])
    count = len(marks.index)
    spectrum = np.zeros(TILE * (TILE // 2 + 1), np.complex64)
    spectrum[marks.index] = parts[:count] + 1j * parts[count:]
    tile = np.fft.irfft2(spectrum.reshape(TILE, -1), s=(TILE, TILE))
    return (tile / np.sqrt((tile * tile).mean())).astype(np.float32)


def _add(pixels: npt.NDArray[np.uint8], mark: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.uint8]:
    """Picture and enlarged mark, block by block: memory beyond the result's stays below 40 MB."""
    height, width = pixels.shape[:2]
    result = np.empty_like(pixels, order="C")
    # OpenCV warps up to 32,767 pixels; width first, then as many rows as fit.
    across = min(width, 8192)
    down = max(1, min(height, _BLOCK // across))
    noise = np.tile(_dither(), (-(-down // _DITHER_SIDE), -(-across // _DITHER_SIDE)))
    for top in range(0, height, down):
        for left in range(0, width, across):
            part = pixels[top : top + down, left : left + across]
            rows, columns = part.shape[:2]
            offsets = scale * (left + 0.5) - 0.5, scale * (top + 0.5) - 0.5
            matrix = np.array([[scale, 0, offsets[0]], [0, scale, offsets[1]]], np.float64)
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            added = cv2.warpAffine(
                mark, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE
            )
            # Whole steps would show as contours on a plain surface; with noise they are right on average.
            levels = np.floor(added + noise[:rows, :columns]).astype(np.int16)
            result[top : top + rows, left : left + columns] = cv2.add(
                np.ascontiguousarray(part),
                cv2.merge([levels] * 3) if part.ndim == 3 else levels,
                dtype=cv2.CV_8U,
            )
    return result


@functools.lru_cache(1)
def _dither() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).random((_DITHER_SIDE, _DITHER_SIDE), dtype=np.float32)
