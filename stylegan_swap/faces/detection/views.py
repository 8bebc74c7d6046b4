"""What a detector looks at: a photo, or a region of it, under an affine map, without aliasing."""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.faces.geometry.align import transformed


def view_of(
    pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int], scale: float, border: int
) -> np.ndarray:
    """The picture under an affine map ``[2, 3]`` of that scale, ``size`` (width, height) pixels large."""
    if scale < 0.75:
        # Shrink by areas first: sampling a large photo at single points would alias.
        reduced_size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        x_ratio, y_ratio = reduced_size[0] / pixels.shape[1], reduced_size[1] / pixels.shape[0]
        pixels = cv2.resize(pixels, reduced_size, interpolation=cv2.INTER_AREA)
        undo = np.array(
            [[1 / x_ratio, 0, 0.5 / x_ratio - 0.5], [0, 1 / y_ratio, 0.5 / y_ratio - 0.5], [0, 0, 1]]
        )
        matrix = matrix @ undo
    view = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border)
    return np.ascontiguousarray(view)


def region_view(pixels: np.ndarray, matrix: np.ndarray, side: int, scale: float, border: int) -> np.ndarray:
    """``view_of`` of a square window ``[side, side, C]``, made from no more of the photo than it shows."""
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float64)
    corners = transformed(corners, cv2.invertAffineTransform(matrix))
    bounds = np.array([pixels.shape[1], pixels.shape[0]])
    low = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, bounds - 1)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, low + 1, bounds)
    region = np.ascontiguousarray(pixels[low[1] : high[1], low[0] : high[0]])
    local = np.array(matrix, np.float64)
    local[:, 2] += local[:, :2] @ low
    return view_of(region, local, (side, side), scale, border)
