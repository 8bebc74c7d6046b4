"""Between the planes of a video frame (Y'CbCr 4:2:0, 8 bit) and RGB, by the clip's own colour tags.

Follows ``reading`` and precedes ``encoding``. What a swap does not touch is never converted: ``replaced``
writes only the pixels under the mask back into the planes.
Source of the equations: ITU-T H.273, sections 8.1 to 8.3 (matrix coefficients, primaries, transfer, range).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

# H.273 matrix coefficients: number → (K_R, K_B).
_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_UNSPECIFIED = (2, 3)
_RGB = 0
_HDR = {16: "PQ (SMPTE ST 2084)", 18: "HLG (ARIB STD-B67)"}
FULL_RANGE = 2
LIMITED_RANGE = 1


class Planes(NamedTuple):
    """A frame as video stores it.

    Attributes:
        y: luma, uint8 ``[H, W]``, both even.
        u: blue difference, uint8 ``[H/2, W/2]``.
        v: red difference, likewise.
    """

    y: np.ndarray
    u: np.ndarray
    v: np.ndarray


@dataclass(frozen=True)
class Tags:
    """What a clip says about its colours, in the numbers of H.273; 2 is "unspecified".

    Attributes:
        matrix: of Y'CbCr.
        range: 1 limited (16..235), 2 full, 0 unspecified.
        primaries: the red, green and blue meant.
        transfer: the curve.
        high_definition: whether the picture is at least 720 lines or 1280 columns large, which decides
            what an unspecified matrix means.
    """

    matrix: int = 2
    range: int = 0
    primaries: int = 2
    transfer: int = 2
    high_definition: bool = False

    @property
    def weights(self) -> tuple[float, float]:
        """K_R and K_B; BT.709 for large and BT.601 for small pictures that do not say."""
        return _WEIGHTS.get(self.matrix, _WEIGHTS[1] if self.high_definition else _WEIGHTS[6])

    @property
    def full(self) -> bool:
        """Whether luma reaches from 0 to 255."""
        return self.range == FULL_RANGE

    @property
    def hdr(self) -> str | None:
        """The name of the curve if it is one of high dynamic range."""
        return _HDR.get(self.transfer)

    @property
    def known(self) -> bool:
        """Whether the matrix is one this module can invert."""
        return self.matrix in _WEIGHTS or self.matrix in (_RGB, *_UNSPECIFIED)

    def of_rgb(self) -> Tags:
        """The tags of the video written for a source that stores RGB: limited range, matrix by size."""
        return replace(self, matrix=1 if self.high_definition else 6, range=LIMITED_RANGE)


def to_rgb(planes: Planes, tags: Tags) -> np.ndarray:
    """Planes → uint8 RGB ``[H, W, 3]``; chroma is interpolated linearly."""
    height, width = planes.y.shape
    chroma = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in planes[1:]]
    matrix, offset = _to_rgb_matrix(tags)
    merged = cv2.merge([planes.y, *chroma]).astype(np.float32)
    rgb = cv2.transform(merged, np.column_stack([matrix, offset]))
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def to_planes(pixels: np.ndarray, tags: Tags) -> Planes:
    """uint8 RGB ``[H, W, 3]``, H and W even → planes; chroma is the mean of four pixels."""
    matrix, offset = _to_rgb_matrix(tags)
    inverse = np.linalg.inv(matrix)
    yuv = cv2.transform(pixels.astype(np.float32), np.column_stack([inverse, -inverse @ offset]))
    size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    parts = [yuv[..., 0], *(cv2.resize(yuv[..., k], size, interpolation=cv2.INTER_AREA) for k in (1, 2))]
    return Planes(*(np.clip(np.rint(part), 0, 255).astype(np.uint8) for part in parts))


def replaced(planes: Planes, pixels: np.ndarray, mask: np.ndarray | None, tags: Tags) -> Planes:
    """The planes with new pixels where the mask is above 0; every other value stays as it was.

    Args:
        planes: the frame as it was read.
        pixels: the new frame, uint8 RGB ``[H, W, 3]``.
        mask: ``[H, W]``; None replaces everything.
        tags: of the clip.
    """
    if mask is None:
        return to_planes(pixels, tags)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows.size == 0:
        return planes
    # Whole blocks of 2 × 2 pixels, which share one chroma value.
    top, bottom = int(rows[0]) // 2 * 2, int(rows[-1]) // 2 * 2 + 2
    first_column, end_column = int(columns[0]) // 2 * 2, int(columns[-1]) // 2 * 2 + 2
    window = (slice(top, bottom), slice(first_column, end_column))
    half = (slice(top // 2, bottom // 2), slice(first_column // 2, end_column // 2))
    touched = mask[window] > 0
    quarter = touched[::2, ::2] | touched[1::2, ::2] | touched[::2, 1::2] | touched[1::2, 1::2]
    fresh = to_planes(np.ascontiguousarray(pixels[window]), tags)
    result = Planes(*(plane.copy() for plane in planes))
    result.y[window] = np.where(touched, fresh.y, planes.y[window])
    for source_plane, new in ((result.u, fresh.u), (result.v, fresh.v)):
        source_plane[half] = np.where(quarter, new, source_plane[half])
    return result


def _to_rgb_matrix(tags: Tags) -> tuple[np.ndarray, np.ndarray]:
    """``rgb = matrix · (y, cb, cr) + offset``, all in 0..255 (H.273, equations 38 to 46)."""
    red, blue = tags.weights
    green = 1 - red - blue
    luma, chroma, black = (1.0, 1.0, 0.0) if tags.full else (255 / 219, 255 / 224, 16.0)
    matrix = np.array(
        [
            [luma, 0.0, chroma * 2 * (1 - red)],
            [luma, -chroma * 2 * (1 - blue) * blue / green, -chroma * 2 * (1 - red) * red / green],
            [luma, chroma * 2 * (1 - blue), 0.0],
        ]
    )
    return matrix, -matrix @ np.array([black, 128.0, 128.0])
