"""Carry the features of a face in a photograph to other places of it: the picture behind ``face_shape``.

On the road inside ``swap_aligned`` and again before fine detail: the attribute photo as it would be if the
face had the identity person's features, in its own pose, expression and light.
Source: Bookstein, Principal Warps: Thin-Plate Splines and the Decomposition of Deformations (PAMI 1989).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from stylegan_swap.faces.detection.landmarks import JAW
from stylegan_swap.faces.masks.mask import raised_brows

# How far beyond the landmarks the photo is taken, in their extent; nothing moves at its edge.
_REACH = 0.3
# A ring at so many times the face's outline that stays.
_RING = 1.35
# Rows of the forehead that stay, in distances from eye to brow.
_FOREHEAD = (0.8, 1.6)
# Nodes per side at which the spline is evaluated, and how many of them fade out towards the edge.
_NODES, _FADE = 33, 2
# The map may miss a landmark by a little and bends less: detectors err.
_SMOOTHNESS = 4e-4
# Moves below so many pixels are none.
_UNSEEN = 0.01


def reshaped(pixels: np.ndarray, landmarks: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Move a face's landmarks inside its outline, and the picture with them.

    Args:
        pixels: the photo, ``[H, W, 3]`` uint8 or float32 in 0..255; not changed.
        landmarks: ``[68, 2]`` in its pixels.
        wanted: where they are to lie, likewise; the jaw's are not moved.

    Returns:
        The photo, unchanged from a third of the face's size outside it on; itself where nothing moves.
    """
    if np.allclose(landmarks, wanted, rtol=0, atol=_UNSEEN, equal_nan=True):
        return pixels
    first, side = _square_around(landmarks)
    bounds = np.array(pixels.shape[1::-1])
    low, high = np.clip(first, 0, bounds), np.clip(first + side, 0, bounds)
    if np.any(high <= low):
        return pixels
    there = np.asarray(landmarks, np.float64) - first
    here = np.concatenate([there[JAW], np.asarray(wanted, np.float64)[17:] - first])
    (left, top), (right, bottom) = low - first, high - first
    # A map of two channels, changed in place: for a large face anything more is hundreds of megabytes.
    sources = _sources(there, here, side)[top:bottom, left:right]
    sources -= np.array([left, top], np.float32)
    result = pixels.copy()
    area = result[low[1] : high[1], low[0] : high[0]]
    no_second = np.empty(0, np.float32)
    moved = cv2.remap(area.copy(), sources, no_second, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    area[...] = np.clip(moved, 0, 255, out=moved)
    return result


def _square_around(landmarks: np.ndarray) -> tuple[np.ndarray, int]:
    """First pixel and side of the square of the photo in which something may move."""
    low, high = np.min(landmarks, axis=0), np.max(landmarks, axis=0)
    extent = float(np.max(high - low))
    first = np.floor((low + high) / 2 - (0.5 + _REACH) * extent).astype(int)
    return first, int(np.ceil((1 + 2 * _REACH) * extent))


def _sources(there: np.ndarray, here: np.ndarray, side: int) -> np.ndarray:
    """Where the square's pixels come from, float32 ``[side, side, 2]``, in its pixels."""
    still = _still_points(here, side)
    points = np.concatenate([here, still])
    moves = np.concatenate([there - here, np.zeros_like(still)])
    axis = np.linspace(0, 1, _NODES)
    nodes = np.stack(np.meshgrid(axis, axis), -1)
    field = _spline(points / side, moves, nodes.reshape(-1, 2)).reshape(_NODES, _NODES, 2)
    steps = np.arange(_NODES)
    fade = np.clip(np.minimum(steps, steps[::-1]) / _FADE, 0, 1)
    field *= np.minimum(fade[:, None], fade)[..., None]
    # Nodes lie on the first and the last pixel.
    scale = (_NODES - 1) / max(side - 1, 1)
    inverse = np.array([[scale, 0, 0], [0, scale, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    coarse = field.astype(np.float32)
    sources: np.ndarray = cv2.warpAffine(
        coarse, inverse, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    pixel = np.arange(side, dtype=np.float32)
    sources[..., 0] += pixel
    sources[..., 1] += pixel[:, None]
    return sources


def _spline(points: np.ndarray, moves: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """The smooth map of points ``[n, 2]`` by moves ``[n, 2]``, at nodes ``[m, 2]``: ``[m, 2]``.

    In torch, as BLAS's own threads wait for more work and slow a network that runs after them by half.
    """
    at, where = (torch.from_numpy(each).double() for each in (points, nodes))
    count = len(at)
    system = at.new_zeros(count + 3, count + 3)
    system[:count, :count] = _kernel(at, at) + _SMOOTHNESS * torch.eye(count).to(at)
    system[:count, count:] = torch.cat([torch.ones_like(at[:, :1]), at], 1)
    system[count:, :count] = system[:count, count:].T
    right = at.new_zeros(count + 3, 2)
    right[:count] = torch.from_numpy(moves)
    weights = torch.linalg.solve(system, right)
    field = _kernel(where, at) @ weights[:count] + weights[count] + where @ weights[count + 1 :]
    return np.asarray(field.numpy())


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    """r² log r² of all pairs, ``[n, m]``; 0 where the distance is 0."""
    squared = (first[:, None] - second).square().sum(-1)
    return squared * squared.clamp_min(1e-12).log()


def _still_points(face: np.ndarray, side: int) -> np.ndarray:
    """Points that stay: forehead, a ring outside the face, the square's edge."""
    forehead = np.concatenate([raised_brows(face, height) for height in _FOREHEAD])
    outline = np.concatenate([face[JAW], forehead[10:]])
    ring = outline.mean(0) + _RING * (outline - outline.mean(0))
    along = np.linspace(0, side, 9)
    edges = [np.stack(np.broadcast_arrays(along, end), -1) for end in (0.0, float(side))]
    border = np.concatenate([*edges, *(edge[1:-1, ::-1] for edge in edges)])
    return np.concatenate([forehead, ring, border])
