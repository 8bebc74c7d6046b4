"""Carry one face onto the landmarks of another, in torch: a thin-plate spline per pair of faces.

On the road photo → detect → align → encoder → swapper → **generator** → paste this brings the identity photo
into the attribute photo's pose before ``detail`` reads it. Source: Bookstein, Principal Warps: Thin-Plate
Splines and the Decomposition of Deformations (PAMI 1989).
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

POINTS = 68
# Nodes per side at which a spline is evaluated; between them the map is bilinear.
GRID = 33
# The map may miss a landmark by a little and bends less: detectors err by about a pixel in 128.
SMOOTHNESS = 2e-3
# Points per side of the crop that follow the similarity between both faces.
BORDER = 4


def warp_to_landmarks(photo: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Move a face so that its landmarks come to lie on others.

    Args:
        photo: ``[batch, C, S, S]``.
        source: its landmarks, ``[batch, 68, 2]`` in pixels, pixel centres at integers.
        target: where they are to lie, likewise.

    Returns:
        The moved photo ``[batch, C, S, S]``, 0 where it shows nothing, and ``[batch, 1, S, S]`` in 0..1: how
        much of the photo went into a pixel, 1 where it was shrunk or kept its size, less where it was
        stretched, 0 where it would fold over. Faces with landmarks that are not finite give zeros.

    Raises:
        ValueError: landmarks of another shape.
    """
    batch, _, size, _ = photo.shape
    for name, points in (("source", source), ("target", target)):
        if points.shape != (batch, POINTS, 2):
            raise ValueError(f"{name} landmarks must be [{batch}, {POINTS}, 2], got {tuple(points.shape)}.")
    device = photo.device
    coarse, usable = landmark_nodes(source, target, size, device)
    with torch.autocast(device.type, enabled=False):
        grid = F.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)
        right = F.pad((grid[..., 1:] - grid[..., :-1]) * size, (0, 1, 0, 0), mode="replicate")
        down = F.pad((grid[..., 1:, :] - grid[..., :-1, :]) * size, (0, 0, 0, 1), mode="replicate")
        area = right[:, :1] * down[:, 1:] - right[:, 1:] * down[:, :1]
        kept = area.clamp(0, 1) * usable.view(-1, 1, 1, 1)
        # From shares of the side, pixel centres at i / S, to grid_sample's -1..1 with edges at pixel edges.
        where = grid.permute(0, 2, 3, 1) * 2 + (1 / size - 1)
        moved = F.grid_sample(photo.float(), where, mode="bilinear", align_corners=False)
    return moved * usable.view(-1, 1, 1, 1), kept


def landmark_nodes(
    source: Tensor, target: Tensor, size: int, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Where the nodes of a grid come from when landmarks are moved; between nodes the map is bilinear.

    Args:
        source: landmarks ``[batch, 68, 2]`` in pixels of a picture of that size.
        target: where they are to lie, likewise.
        size: side of the picture; the first and the last node are its first and its last pixel.
        device: where to work; None where the landmarks are.

    Returns:
        Shares of the side, ``[batch, 2, 33, 33]``, x before y, and ``[batch]``: whose landmarks are finite.
    """
    device = source.device if device is None else device
    # Splines of near points are ill conditioned in single precision, which is all that Apple's GPUs have.
    exact = torch.float32 if device.type == "mps" else torch.float64
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        points = torch.stack([source, target]).to(device, exact) / size
        usable = points.isfinite().all(-1).all(-1).all(0)
        points = torch.where(usable.view(1, -1, 1, 1), points, _spread_points(device, exact))
        coarse = _spline(points[0], points[1], size).float()
    return coarse.unflatten(1, (GRID, GRID)).permute(0, 3, 1, 2), usable


def _spline(source: Tensor, target: Tensor, size: int) -> Tensor:
    """Source positions of the grid's nodes, ``[batch, GRID², 2]``; all in shares of the side."""
    border, nodes = _fixed_points(size, source.device, source.dtype)
    source = torch.cat([source, _similar(target, source, border)], 1)
    target = torch.cat([target, border.expand(len(target), -1, -1)], 1)
    count = target.shape[1]
    kernel = _kernel(target, target) + SMOOTHNESS * torch.eye(count, device=target.device, dtype=target.dtype)
    affine = torch.cat([torch.ones_like(target[..., :1]), target], 2)
    upper = torch.cat([kernel, affine], 2)
    lower = torch.cat([affine.transpose(1, 2), affine.new_zeros(len(target), 3, 3)], 2)
    right = torch.cat([source, source.new_zeros(len(source), 3, 2)], 1)
    # Smoothness and border leave no singular case, and its check would wait for the GPU.
    weights, _ = torch.linalg.solve_ex(torch.cat([upper, lower], 1), right)
    near = _kernel(nodes.expand(len(target), -1, -1), target)
    return near @ weights[:, :count] + weights[:, count, None] + nodes @ weights[:, count + 1 :]


def _spread_points(device: torch.device, dtype: torch.dtype) -> Tensor:
    """``[68, 2]`` no three of which lie on a line, for faces without landmarks: their spline must exist."""
    # A sunflower: the golden angle never comes back to where it was.
    number = torch.arange(POINTS, device=device, dtype=dtype)
    radius, angle = ((number + 0.5) / POINTS).sqrt() / 2, number * (math.pi * (3 - 5**0.5))
    return torch.stack([0.5 + radius * angle.cos(), 0.5 + radius * angle.sin()], 1)


def _similar(first: Tensor, second: Tensor, points: Tensor) -> Tensor:
    """Map points by the least-squares similarity from the first landmarks to the second (Umeyama 1991)."""
    centre, wanted = first.mean(1, keepdim=True), second.mean(1, keepdim=True)
    x, y = first - centre, second - wanted
    # In the plane a rotation with scale is a multiplication by one complex number.
    spread = x.square().sum((1, 2)).clamp_min(1e-9)
    real = (x * y).sum((1, 2)) / spread
    imaginary = (x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]).sum(1) / spread
    turn = torch.stack([torch.stack([real, imaginary], -1), torch.stack([-imaginary, real], -1)], 1)
    return (points - centre) @ turn + wanted


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    """r² log r² of all pairs, ``[batch, n, m]``; 0 where the distance is 0."""
    squared = (first[:, :, None] - second[:, None]).square().sum(-1)
    return squared * squared.clamp_min(1e-12).log()


@functools.lru_cache(maxsize=8)
def _fixed_points(size: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Border points and the grid's nodes, ``[1, n, 2]``, first and last node on the first and last pixel."""
    steps = torch.arange(BORDER, dtype=dtype) / BORDER
    zeros, ones = torch.zeros(BORDER, dtype=dtype), torch.ones(BORDER, dtype=dtype)
    sides = [(steps, zeros), (ones, steps), (1 - steps, ones), (zeros, 1 - steps)]
    border = torch.cat([torch.stack(side, -1) for side in sides])
    axis = torch.linspace(0, 1 - 1 / size, GRID, dtype=dtype)
    nodes = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    return border[None].to(device), nodes[None].to(device)
