"""Smooth maps through control points: thin-plate splines, solved in torch, for one face or a batch.

The only such solver. ``landmark_warp`` and ``reshape`` bring their own control points; training draws many
maps of one set of points with :class:`ThinPlate`. Torch also because BLAS's own threads wait for more work
and slow a network that runs after them.
Source: Bookstein, Principal Warps: Thin-Plate Splines and the Decomposition of Deformations (PAMI 1989).
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

# Nodes per side of the grids splines are evaluated on; a node every four pixels at 128 px.
GRID = 33


def thin_plate(points: Tensor, values: Tensor, nodes: Tensor, smoothness: float) -> Tensor:
    """The smooth map that takes values at points, evaluated at nodes.

    Args:
        points: ``[batch, n, 2]``, no two in one place, float64 where the device has it.
        values: ``[batch, n, k]``.
        nodes: ``[batch or 1, m, 2]``; of a lower precision, the map is evaluated in it.
        smoothness: 0 takes every value exactly; more lets the map miss by a little and bend less. In squared
            units of the points: 0.001 in shares of a picture rounds off errors of about a pixel in 128.

    Returns:
        ``[batch, m, k]``.
    """
    return evaluated(points, solved(points, values, smoothness), nodes)


def solved(points: Tensor, values: Tensor, smoothness: float) -> Tensor:
    """The weights ``[batch, n + 3, k]`` of the map; arguments as of ``thin_plate``."""
    count = points.shape[1]
    kernel = _kernel(points, points) + smoothness * torch.eye(count, device=points.device, dtype=points.dtype)
    affine = torch.cat([torch.ones_like(points[..., :1]), points], 2)
    upper = torch.cat([kernel, affine], 2)
    lower = torch.cat([affine.transpose(1, 2), affine.new_zeros(len(points), 3, 3)], 2)
    right = torch.cat([values, values.new_zeros(len(values), 3, values.shape[2])], 1)
    # Callers leave no singular case, and its check would wait for the GPU.
    weights, _ = torch.linalg.solve_ex(torch.cat([upper, lower], 1), right)
    return weights


def evaluated(points: Tensor, weights: Tensor, nodes: Tensor) -> Tensor:
    """The map of such weights at nodes; arguments as of ``thin_plate``."""
    count, weights = points.shape[1], weights.to(nodes.dtype)
    near = _kernel(nodes.expand(len(points), -1, -1), points.to(nodes.dtype))
    return near @ weights[:, :count] + weights[:, count, None] + nodes @ weights[:, count + 1 :]


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    """r² log r² of all pairs, ``[batch, n, m]``; 0 where the distance is 0."""
    squared = (first[:, :, None, 0] - second[:, None, :, 0]).square()
    squared = squared + (first[:, :, None, 1] - second[:, None, :, 1]).square()
    return squared * squared.clamp_min(1e-12).log()


class ThinPlate:
    """A spline through control points of a picture, for any number of displacements.

    Args:
        points: ``[n, 2]`` control points in pixels, no two in one place.
        size: side of the picture in pixels.
        smoothness: see ``thin_plate``; points are in shares of the side.
    """

    def __init__(self, points: np.ndarray, size: int, smoothness: float = 0.0) -> None:
        self.size, self.smoothness = size, smoothness
        self.points = np.asarray(points, np.float64) / size

    def displacements(self, values: np.ndarray) -> np.ndarray:
        """Spread displacements of the control points over the picture.

        ``values``: ``[maps, n, 2]`` pixels. Returns float32 ``[maps, size, size, 2]`` pixels.
        """
        maps, count = values.shape[:2]
        moves = np.moveaxis(np.asarray(values, np.float64), 0, 1).reshape(1, count, maps * 2)
        nodes, across = _picture_nodes(self.size)
        with torch.inference_mode():
            field = thin_plate(
                torch.from_numpy(self.points)[None], torch.from_numpy(moves), nodes, self.smoothness
            )
            planes = field.view(GRID, GRID, maps * 2).permute(2, 0, 1)
            fine = across @ planes @ across.T
        return np.ascontiguousarray(fine.view(maps, 2, self.size, self.size).permute(0, 2, 3, 1).numpy())


@functools.lru_cache(maxsize=8)
def _picture_nodes(size: int) -> tuple[Tensor, Tensor]:
    """Nodes ``[1, GRID², 2]``, and natural cubic splines from them to an axis, ``[size, GRID]``.

    Single precision is exact to a hundredth of a pixel here, and its logarithm several times faster.
    """
    axis = np.linspace(0, 1 - 1 / size, GRID)
    nodes = np.stack(np.meshgrid(axis, axis), -1).reshape(1, -1, 2).astype(np.float32)
    spline = CubicSpline(np.linspace(0, size - 1, GRID), np.eye(GRID), bc_type="natural")
    return torch.from_numpy(nodes), torch.from_numpy(spline(np.arange(size)).astype(np.float32))


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
