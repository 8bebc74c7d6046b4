"""Smooth maps between two sets of landmarks: thin-plate splines on a coarse grid, fast enough for training.

Used by ``morph`` and ``head_turn``. Source: Bookstein, Principal Warps: Thin-Plate Splines and the
Decomposition of Deformations (PAMI 1989).
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

# Nodes per side of the grid the spline is evaluated on; a node every four pixels at 128 px.
GRID = 33


class ThinPlate:
    """A spline through control points, solved once for any number of displacements.

    Args:
        points: ``[n, 2]`` control points in pixels, no two in one place.
        size: side of the picture in pixels.
        smoothness: 0 passes through every displacement; more lets the map miss points by a little and
            bend less (0.001 rounds off errors of about a pixel in 128).
    """

    def __init__(self, points: np.ndarray, size: int, smoothness: float = 0.0) -> None:
        self.size = size
        self.points = np.asarray(points, np.float64) / size
        count = len(self.points)
        system = np.zeros((count + 3, count + 3))
        system[:count, :count] = _kernel(self.points, self.points) + smoothness * np.eye(count)
        system[:count, count] = system[count, :count] = 1
        system[:count, count + 1 :] = self.points
        system[count + 1 :, :count] = self.points.T
        self._system = system

    def displacements(self, values: np.ndarray) -> np.ndarray:
        """Spread displacements of the control points over the picture.

        Args:
            values: ``[maps, n, 2]`` pixels.

        Returns:
            float32 ``[maps, size, size, 2]`` pixels.
        """
        maps, count = values.shape[:2]
        right = np.zeros((count + 3, maps * 2))
        right[:count] = np.moveaxis(np.asarray(values, np.float64), 0, 1).reshape(count, maps * 2)
        weights = np.linalg.solve(self._system, right)
        nodes = np.linspace(0, 1 - 1 / self.size, GRID)
        grid = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
        # Single precision is exact to a hundredth of a pixel here, and its logarithm several times faster.
        near = _kernel(grid.astype(np.float32), self.points.astype(np.float32))
        coarse = near @ weights[:count].astype(np.float32)
        coarse += weights[count] + grid @ weights[count + 1 :]
        across = _enlargement(self.size)
        planes = coarse.reshape(GRID, GRID, maps * 2).transpose(2, 0, 1)
        fine = across @ planes @ across.T
        return np.ascontiguousarray(fine.reshape(maps, 2, self.size, self.size).transpose(0, 2, 3, 1))


@functools.lru_cache(maxsize=8)
def _enlargement(size: int) -> np.ndarray:
    """From the nodes of the grid to pixels along one axis, ``[size, GRID]``: natural cubic splines."""
    nodes = np.linspace(0, size - 1, GRID)
    return CubicSpline(nodes, np.eye(GRID), bc_type="natural")(np.arange(size)).astype(np.float32)


def moved(image: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Take every pixel from where its displacement points, ``[S, S, C]`` float32; the edge is reflected."""
    size = displacement.shape[0]
    axis = np.arange(size, dtype=np.float32)
    return cv2.remap(
        image,
        displacement[..., 0] + axis[None, :],
        displacement[..., 1] + axis[:, None],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def border_points(size: int, per_side: int = 4) -> np.ndarray:
    """Points along the edge of the picture, ``[4 * per_side, 2]``, which hold a spline still there."""
    steps = np.arange(per_side) * (size - 1) / per_side
    zeros, ends = np.zeros(per_side), np.full(per_side, size - 1.0)
    sides = [(steps, zeros), (ends, steps), (ends - steps, ends), (zeros, ends - steps)]
    return np.concatenate([np.stack(side, axis=-1) for side in sides])


def _kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """r² log r² of all pairs; 0 where the distance is 0."""
    squared = np.square(first[:, None, 0] - second[None, :, 0])
    squared += np.square(first[:, None, 1] - second[None, :, 1])
    squared *= np.log(np.maximum(squared, np.float32(1e-12)))
    return squared
