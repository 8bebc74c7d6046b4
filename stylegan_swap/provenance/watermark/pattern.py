"""The pattern of the watermark: frequencies with their bits, and the features that writer and reader compute.

Everything here is part of the format: a change makes old marks unreadable.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stylegan_swap.provenance.watermark.code import CODE_BITS

#: Square root of the area of a picture at canonical scale, in pixels.
CANONICAL_SIDE = 256.0
#: Side of the tile that is repeated, in canonical pixels.
TILE = 128

# Cycles per canonical pixel. Below, photographs are too strong; above, half size and JPEG leave nothing.
_LOWEST, _HIGHEST = 0.03, 0.21
# Amplitude falls with frequency to this power: less is lost to JPEG, more is seen.
_SLOPE = 0.4
# Coefficients of the template in each block beside the 128 of the message: 30 %.
_TEMPLATE = 55
_SEED = b"stylegan_swap watermark 1"

# Reduced pictures have at least this square root of their area, if they had it before.
_REDUCED_SIDE = 384
_CLIP = 2.5


@dataclass(frozen=True, eq=False)
class Layout:
    """Assignment of the tile's frequencies, real and imaginary parts, to bits and template.

    Attributes:
        index: into the flattened half spectrum ``[TILE, TILE // 2 + 1]``, ``[n]``.
        radius: cycles per canonical pixel, ``[n]``.
        ring: number of the ring the frequency lies in, ``[n]``.
        owner: bit of the code word, or -1 for the template; real parts, then imaginary parts, ``[2n]``.
        sign: of each part, ``[2n]``.
        amplitude: of each part, ``[2n]``.
        template: spectrum of the template, complex ``[TILE, TILE // 2 + 1]``.
    """

    index: npt.NDArray[np.int64]
    radius: npt.NDArray[np.float64]
    ring: npt.NDArray[np.int64]
    owner: npt.NDArray[np.int64]
    sign: npt.NDArray[np.float32]
    amplitude: npt.NDArray[np.float32]
    template: npt.NDArray[np.complex64]

    def soft(self, spectrum: npt.NDArray[np.complex64]) -> npt.NDArray[np.float64]:
        """Soft values of the code word, ``[128]``, in standard deviations of their sum.

        ``spectrum``: complex ``[n]``, from :func:`features`, turned to the tile's origin.
        """
        parts = np.concatenate([spectrum.real, spectrum.imag]) * self.sign
        of_message = self.owner >= 0
        size = float(np.sqrt((parts[of_message] ** 2).sum()))
        return np.bincount(self.owner[of_message], parts[of_message], CODE_BITS) / max(size, 1e-9)


@functools.lru_cache(1)
def layout() -> Layout:
    """The one layout of this version, drawn from SHAKE-128, which gives the same bytes for ever."""
    radius = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None])
    band = (radius >= _LOWEST) & (radius <= _HIGHEST)
    # The first column holds each of its values twice.
    band[:, 0] = False
    index = np.flatnonzero(band)
    count = 2 * len(index)
    words = np.frombuffer(hashlib.shake_128(_SEED).digest(12 * count), "<u4").reshape(3, count)

    # Dealt out in blocks from low to high frequency, so that every bit has its part of each.
    part_radius = np.tile(radius.ravel()[index], 2)
    order = np.lexsort((words[0], part_radius))
    owner = np.empty(count, np.int64)
    block = CODE_BITS + _TEMPLATE
    for start in range(0, count, block):
        members = order[start : start + block]
        owners = np.argsort(words[1, start : start + block], kind="stable")
        # The last block is short: its owners are drawn, too.
        owners = (
            owners if len(owners) == block else np.argsort(words[1, :block], kind="stable")[: len(owners)]
        )
        owner[members] = np.where(owners < CODE_BITS, owners, -1)
    sign = (1 - 2 * (words[2] & 1).astype(np.int64)).astype(np.float32)
    amplitude = ((part_radius / _LOWEST) ** -_SLOPE).astype(np.float32)
    template = np.zeros(TILE * (TILE // 2 + 1), np.complex64)
    marks = np.where(owner < 0, sign, 0)
    template[index] = marks[: len(index)] + 1j * marks[len(index) :]
    return Layout(
        index,
        radius.ravel()[index],
        (radius.ravel()[index] * TILE).astype(np.int64),
        owner,
        sign,
        amplitude,
        template.reshape(TILE, -1),
    )


def reduced_luminance(pixels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], int]:
    """Luminance of a picture, averaged over squares so that it is cheap to look at often.

    ``pixels``: uint8 ``[H, W, 3]``, RGB, or luminance ``[H, W]``. Returns float32 ``[H // f, W // f]`` in
    0..255, and f.
    """
    height, width = pixels.shape[:2]
    factor = max(1, int(np.sqrt(height * width) / _REDUCED_SIDE))
    factor = min(factor, height, width)
    rows, columns = height // factor, width // factor
    if factor == 1:
        return _luminance(pixels), 1
    result = np.empty((rows, columns), np.float32)
    # By strips: a whole picture as floating-point numbers would take four times its memory.
    step = max(1, 256 // factor)
    for start in range(0, rows, step):
        strip = pixels[start * factor : min(start + step, rows) * factor, : columns * factor]
        luminance = _luminance(strip)
        size = (columns, len(strip) // factor)
        result[start : start + step] = cv2.resize(luminance, size, interpolation=cv2.INTER_AREA)
    return result, factor


def _luminance(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    return grey.astype(np.float32)


def at_scale(luminance: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.float32]:
    """A picture at an exact scale; the corner of its first pixel stays in place.

    ``luminance``: float32 ``[h, w]``; ``scale``: new pixels per old pixel.
    """
    height, width = luminance.shape
    size = (max(1, int(width * scale + 1e-6)), max(1, int(height * scale + 1e-6)))
    if scale < 1:
        blur = 0.45 * float(np.sqrt(scale**-2 - 1)) + 1e-3
        luminance = cv2.GaussianBlur(luminance, (0, 0), blur).astype(np.float32, copy=False)
    offset = 0.5 / scale - 0.5
    back = np.array([[1 / scale, 0, offset], [0, 1 / scale, offset]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    scaled = cv2.warpAffine(luminance, back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return scaled.astype(np.float32, copy=False)


def features(luminance: npt.NDArray[np.float32]) -> npt.NDArray[np.complex64]:
    """Coefficients of a picture at canonical scale at the frequencies of the layout.

    Slow changes are taken away, the rest is divided by its local size (the mark was made stronger where the
    picture is busy), all tiles are averaged into one, and every ring of frequencies is brought to the same
    size.

    ``luminance``: float32 ``[h, w]``, 0..255. Returns complex64 ``[n]``.
    """
    marks = layout()
    detail = cv2.GaussianBlur(luminance - cv2.GaussianBlur(luminance, (0, 0), 5.0), (0, 0), 1.0)
    size = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 4.0))
    folded = _fold(np.clip(detail / (size + 1), -_CLIP, _CLIP))
    spectrum = np.fft.rfft2(folded).ravel()[marks.index]
    power = np.bincount(marks.ring, np.abs(spectrum) ** 2) / np.maximum(np.bincount(marks.ring), 1)
    return (spectrum / np.sqrt(power[marks.ring] + 1e-9)).astype(np.complex64)


def _fold(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean of all tiles, ``[TILE, TILE]``; zero where no tile has a pixel."""
    height, width = picture.shape
    down, across = -(-height // TILE), -(-width // TILE)
    padded = np.zeros((down * TILE, across * TILE), np.float32)
    padded[:height, :width] = picture
    summed = padded.reshape(down, TILE, across, TILE).sum((0, 2))
    rows = np.bincount(np.arange(height) % TILE, minlength=TILE)
    columns = np.bincount(np.arange(width) % TILE, minlength=TILE)
    return (summed / np.maximum(rows[:, None] * columns[None], 1)).astype(np.float32)
