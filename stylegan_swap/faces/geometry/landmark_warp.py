"""Carry one face onto the landmarks of another, in torch: a thin-plate spline per pair of faces.

Brings the identity photo into the attribute photo's pose, before the default network's ``detail`` reads it
and when finishing takes its texture.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_swap.faces.geometry.thin_plate import GRID, thin_plate

POINTS = 68
# The map may miss a landmark by a little and bends less: detectors err by about a pixel in 128.
SMOOTHNESS = 2e-3  # squared shares of the side
# Points per side of the crop that follow the similarity between both faces.
BORDER = 4


def warp_to_landmarks(photo: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Move a face so that its landmarks come to lie on others.

    ``photo``: ``[batch, C, S, S]``; ``source``: its landmarks, ``[batch, 68, 2]`` in pixels, pixel centres at
    integers; ``target``: where they are to lie, likewise. Returns as of ``carried``.

    Raises:
        ValueError: landmarks of another shape.
    """
    batch, _, size, _ = photo.shape
    for name, points in (("source", source), ("target", target)):
        if points.shape != (batch, POINTS, 2):
            raise ValueError(f"{name} landmarks must be [{batch}, {POINTS}, 2], got {tuple(points.shape)}.")
    nodes, usable = landmark_nodes(source, target, size, photo.device)
    return carried(photo, nodes, usable, size)


def carried(photo: Tensor, nodes: Tensor, usable: Tensor, solved: int) -> tuple[Tensor, Tensor]:
    """Move a picture by a map of ``landmark_nodes``.

    ``photo``: ``[batch, C, S, S]``; ``nodes``: ``[batch, 2, 33, 33]``; ``usable``: ``[batch]``: faces whose
    landmarks are finite; ``solved``: size of the picture the map was solved for.

    Returns:
        The moved photo ``[batch, C, S, S]``, 0 where it shows nothing, and ``[batch, 1, S, S]`` in 0..1: how
        much of the photo went into a pixel, 1 where it was shrunk or kept its size, less where it was
        stretched, 0 where it would fold over. Zeros for faces that are not usable.
    """
    size = photo.shape[-1]
    with torch.autocast(photo.device.type, enabled=False):
        grid = spread(nodes, size, solved)
        right = F.pad((grid[..., 1:] - grid[..., :-1]) * size, (0, 1, 0, 0), mode="replicate")
        down = F.pad((grid[..., 1:, :] - grid[..., :-1, :]) * size, (0, 0, 0, 1), mode="replicate")
        area = right[:, :1] * down[:, 1:] - right[:, 1:] * down[:, :1]
        kept = area.clamp(0, 1) * usable.view(-1, 1, 1, 1)
        # From shares of the side, pixel centres at i / S, to grid_sample's -1..1 with edges at pixel edges.
        where = grid.permute(0, 2, 3, 1) * 2 + (1 / solved - 1)
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
        points = torch.where(usable.view(1, -1, 1, 1), points, _sunflower(device, exact))
        border, nodes = _fixed_points(size, device, exact)
        origins = torch.cat([points[0], _similar(points[1], points[0], border)], 1)
        ends = torch.cat([points[1], border.expand(len(source), -1, -1)], 1)
        coarse = thin_plate(ends, origins, nodes, SMOOTHNESS).float()
    return coarse.unflatten(1, (GRID, GRID)).permute(0, 3, 1, 2), usable


def spread(nodes: Tensor, size: int, solved: int) -> Tensor:
    """Positions between the nodes of a map that was solved for one size, at the pixels of another.

    ``nodes``: ``[batch, 2, 33, 33]`` in shares, pixel centres of the solved size at i / size; ``size``: of
    the picture to fill; ``solved``: the size the map was solved for. Returns ``[batch, 2, size, size]`` in
    the same shares.
    """
    if size == solved:
        return F.interpolate(nodes, (size, size), mode="bilinear", align_corners=True)
    across = _between_nodes(size, solved).to(nodes)
    return across @ nodes @ across.T


@functools.lru_cache(maxsize=8)
def _between_nodes(size: int, solved: int) -> Tensor:
    """Straight lines between nodes along one axis, ``[size, 33]``: the nodes are those of the solved size."""
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    along = (centres - 0.5 / solved) / (1 - 1 / solved) * (GRID - 1)
    nodes = torch.arange(GRID, dtype=torch.float64)
    return (1 - (along.clamp(0, GRID - 1)[:, None] - nodes).abs()).clamp_min(0).float()


def _sunflower(device: torch.device, dtype: torch.dtype) -> Tensor:
    """``[68, 2]`` no three of which lie on a line, for faces without landmarks: their spline must exist."""
    # The golden angle never comes back to where it was.
    number = torch.arange(POINTS, device=device, dtype=dtype)
    radius, angle = ((number + 0.5) / POINTS).sqrt() / 2, number * (math.pi * (3 - 5**0.5))
    return torch.stack([0.5 + radius * angle.cos(), 0.5 + radius * angle.sin()], 1)


def _similar(first: Tensor, second: Tensor, points: Tensor) -> Tensor:
    """Map points by the least-squares similarity from the first landmarks to the second (Umeyama 1991)."""
    centre, target = first.mean(1, keepdim=True), second.mean(1, keepdim=True)
    x, y = first - centre, second - target
    # In the plane a rotation with scale is a multiplication by one complex number.
    variance = x.square().sum((1, 2)).clamp_min(1e-9)
    real = (x * y).sum((1, 2)) / variance
    imaginary = (x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]).sum(1) / variance
    turn = torch.stack([torch.stack([real, imaginary], -1), torch.stack([-imaginary, real], -1)], 1)
    return (points - centre) @ turn + target


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
