"""Carry the features of a face in a photograph to other places of it: the picture behind ``face_shape``.

The attribute photo as it would be if the face had the identity person's features, in its own pose, expression
and light: in the crop before the network sees it, and by the same map in the photo before finishing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from stylegan_swap.faces.detection.landmarks import JAW
from stylegan_swap.faces.geometry.align import Alignment, transformed
from stylegan_swap.faces.geometry.thin_plate import GRID, evaluated, solved
from stylegan_swap.faces.masks.mask import raised_brows

# How far beyond the landmarks the photo is taken, in their extent; nothing moves at its edge.
_REACH = 0.3
# A ring at so many times the face's outline that stays.
_RING = 1.35
# Rows of the forehead that stay, in distances from eye to brow.
_FOREHEAD = (0.8, 1.6)
# How many of the grid's nodes fade out towards the edge.
_FADE = 2
# The map may miss a landmark by a little and bends less: detectors err.
_SMOOTHNESS = 4e-4  # squared shares of the square's side
# Moves below so many pixels are none.
_UNSEEN = 0.01


@dataclass(frozen=True, eq=False)
class Reshaping:
    """A smooth move of a face's features: a thin-plate spline of where the pixels of a crop come from.

    Attributes:
        points: its control points, float64 ``[n, 2]`` in shares of the crop's side.
        weights: float64 ``[n + 3, 2]``; what they give is relative to where a pixel is, in the same shares.
        size: side of the crop.
    """

    points: np.ndarray
    weights: np.ndarray
    size: int

    def apply(
        self, pixels: np.ndarray, landmarks: np.ndarray, alignment: Alignment | None = None
    ) -> np.ndarray:
        """Move the face in a picture.

        Args:
            pixels: the crop, or the photo it was cut from, ``[H, W, 3]`` uint8 or float32; not changed.
            landmarks: of the face before the move, ``[68, 2]`` in its pixels.
            alignment: the map from the photo to the crop; None for the crop.

        Returns:
            The picture, unchanged from a third of the face's size outside it on.
        """
        first, side = _square_around(landmarks)
        bounds = np.array(pixels.shape[1::-1])
        low, high = np.clip(first, 0, bounds), np.clip(first + side, 0, bounds)
        if np.any(high <= low):
            return pixels
        (left, top), (right, bottom) = low - first, high - first
        moves = self._faded_moves(first, side, alignment)
        # A map of two channels, changed in place: for a large face anything more is hundreds of megabytes.
        sources = _enlarged_moves(moves, side)[top:bottom, left:right]
        width, height = high - low
        sources[..., 0] += np.arange(width, dtype=np.float32)
        sources[..., 1] += np.arange(height, dtype=np.float32)[:, None]
        result = pixels.copy()
        area = result[low[1] : high[1], low[0] : high[0]]
        no_second = np.empty(0, np.float32)
        moved = cv2.remap(area.copy(), sources, no_second, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        area[...] = np.clip(moved, 0, 255, out=moved)
        return result

    def _faded_moves(self, first: np.ndarray, side: int, alignment: Alignment | None) -> np.ndarray:
        """Moves at the nodes of a square of the picture, ``[33, 33, 2]`` in its pixels, 0 at the edge."""
        axis = np.linspace(0, side, GRID)
        nodes = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2) + first
        if alignment is not None:
            nodes = transformed(nodes, alignment.matrix)
        points, weights = torch.from_numpy(self.points)[None], torch.from_numpy(self.weights)[None]
        field = evaluated(points, weights, torch.from_numpy(nodes / self.size)[None])[0].numpy() * self.size
        if alignment is not None:
            field = field @ alignment.inverse[:, :2].T
        steps = np.arange(GRID)
        fade = np.clip(np.minimum(steps, steps[::-1]) / _FADE, 0, 1)
        return field.reshape(GRID, GRID, 2) * np.minimum(fade[:, None], fade)[..., None]


def reshaping(landmarks: np.ndarray, target: np.ndarray, size: int) -> Reshaping | None:
    """Solve the move of a face's landmarks inside its outline.

    Args:
        landmarks: ``[68, 2]`` in pixels of a crop.
        target: where they are to lie, likewise; the jaw's are not moved.
        size: side of the crop.

    Returns:
        The move; None where nothing moves.
    """
    if np.allclose(landmarks, target, rtol=0, atol=_UNSEEN, equal_nan=True):
        return None
    first, side = _square_around(landmarks)
    origins = np.asarray(landmarks, np.float64) - first
    ends = np.concatenate([origins[JAW], np.asarray(target, np.float64)[17:] - first])
    still = _still_points(ends, side)
    points = (np.concatenate([ends, still]) + first) / size
    moves = np.concatenate([origins - ends, np.zeros_like(still)]) / size
    # A spline is the same in other units, but for its smoothness.
    smoothness = _SMOOTHNESS * (side / size) ** 2
    weights = solved(torch.from_numpy(points)[None], torch.from_numpy(moves)[None], smoothness)
    return Reshaping(points, weights[0].numpy(), size)


def reshaped(pixels: np.ndarray, landmarks: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Move a face's landmarks inside its outline, and the picture with them.

    Args:
        pixels: ``[H, W, 3]`` uint8 or float32 in 0..255; not changed.
        landmarks: ``[68, 2]`` in its pixels.
        target: where they are to lie, likewise; the jaw's are not moved.

    Returns:
        As of ``Reshaping.apply``; the picture itself where nothing moves.
    """
    move = reshaping(landmarks, target, max(pixels.shape[:2]))
    return pixels if move is None else move.apply(pixels, landmarks)


def _enlarged_moves(moves: np.ndarray, side: int) -> np.ndarray:
    """Moves between nodes, float32 ``[side, side, 2]``; the outer nodes lie on the outer pixels."""
    scale = (GRID - 1) / max(side - 1, 1)
    return cv2.warpAffine(
        moves.astype(np.float32),
        np.array([[scale, 0, 0], [0, scale, 0]]),
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _square_around(landmarks: np.ndarray) -> tuple[np.ndarray, int]:
    """First pixel and side of the square of the photo in which something may move."""
    low, high = np.min(landmarks, axis=0), np.max(landmarks, axis=0)
    extent = float(np.max(high - low))
    first = np.floor((low + high) / 2 - (0.5 + _REACH) * extent).astype(int)
    return first, int(np.ceil((1 + 2 * _REACH) * extent))


def _still_points(face: np.ndarray, side: int) -> np.ndarray:
    """Points that stay: forehead, a ring outside the face, the square's edge."""
    forehead = raised_brows(face, *_FOREHEAD)
    outline = np.concatenate([face[JAW], forehead[10:]])
    ring = outline.mean(0) + _RING * (outline - outline.mean(0))
    along = np.linspace(0, side, 9)
    edges = [np.stack(np.broadcast_arrays(along, end), -1) for end in (0.0, float(side))]
    border = np.concatenate([*edges, *(edge[1:-1, ::-1] for edge in edges)])
    return np.concatenate([forehead, ring, border])
