"""LandmarkNet: 68 landmarks of an aligned face, differentiable in the image; losses use it.

dlib's own predictor is a cascade of trees and passes no gradient; this small network learned from its labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_swap.nn.resize import resize

POINTS = 68
MAP_SIZE = 64
INPUT_SIZE = 128
WIDTHS = (16, 32, 64, 96, 128)


@dataclass(frozen=True)
class LandmarkOutput:
    """What :class:`LandmarkNet` sees.

    Attributes:
        points: ``[batch, 68, 2]``, (x, y) in units of the crop's side, 0..1 between its outer edges.
        logits: ``[batch, 68, 64·64]``, how likely each cell is, not normalised.
    """

    points: Tensor
    logits: Tensor

    @property
    def log_maps(self) -> Tensor:
        """Log-probability of each point per cell, ``[batch, 68, 64, 64]``; exp sums to 1.

        Worked out when asked for: most callers want the points alone.
        """
        return self.logits.log_softmax(2).unflatten(2, (MAP_SIZE, MAP_SIZE))

    def pixels(self, size: int) -> Tensor:
        """Return the points in pixels of a crop of that side, pixel centres at integers."""
        return self.points * size - 0.5


class LandmarkNet(nn.Module):
    """Small U-Net with one 64×64 heat map per point, read by its expectation.

    Args:
        widths: channels at 64, 32, 16, 8 and 4 pixels; about 0.6 M parameters as it stands.

    Source: integral regression of heat maps (Sun et al. 2018), on a U-Net (Ronneberger et al. 2015).
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.stem = _Layer(3, widths[0], stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_Layer(a, b, stride=2), _Layer(b, b)) for a, b in pairwise(widths)
        )
        backwards = list(pairwise(reversed(widths)))
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in backwards)
        self.up = nn.ModuleList(_Layer(b, b) for _, b in backwards)
        self.head = nn.Conv2d(widths[0], POINTS, 1)

    def forward(self, x: Tensor) -> LandmarkOutput:
        """Find the landmarks of aligned faces ``[batch, 3, S, S]``, RGB in [-1, 1], of any side S.

        Raises:
            ValueError: if ``x`` is no batch of square RGB images.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] != x.shape[3]:
            raise ValueError(f"LandmarkNet reads aligned images [batch, 3, S, S], got {tuple(x.shape)}.")
        # channels_last is faster on a CPU, and needs no reordering in between.
        y = self.stem(resize(x, INPUT_SIZE).contiguous(memory_format=torch.channels_last))
        skips = [y]
        for block in self.down:
            y = block(y)
            skips.append(y)
        for narrow, up, skip in zip(self.narrow, self.up, reversed(skips[:-1]), strict=True):
            y = up(F.interpolate(narrow(y), scale_factor=2.0, mode="nearest") + skip)
        # In 16 bits the expectation over 4096 cells would jump by whole pixels.
        logits = self.head(y).contiguous().flatten(2).float()
        return LandmarkOutput(_expectation(logits.softmax(2)), logits)


def target_maps(points: Tensor, sigma: float = 1.0) -> Tensor:
    """Draw the distribution that a point's heat map should have.

    Args:
        points: ``[batch, 68, 2]`` in units of the side, 0..1.
        sigma: radius in cells of the 64×64 map.

    Returns:
        ``[batch, 68, 64, 64]``, each map summing to 1.
    """
    cells = torch.arange(MAP_SIZE, device=points.device, dtype=points.dtype)
    centred = points * MAP_SIZE - 0.5
    across, down = (-0.5 * ((cells - centred[..., axis, None]) / sigma) ** 2 for axis in (0, 1))
    return torch.softmax((down[..., :, None] + across[..., None, :]).flatten(2), 2).unflatten(
        2, (MAP_SIZE, MAP_SIZE)
    )


def _expectation(maps: Tensor) -> Tensor:
    """Mean position ``[batch, 68, 2]`` in 0..1 of maps ``[batch, 68, 64·64]`` that sum to 1."""
    cells = (torch.arange(MAP_SIZE, device=maps.device, dtype=maps.dtype) + 0.5) / MAP_SIZE
    positions = torch.stack([cells.repeat(MAP_SIZE), cells.repeat_interleave(MAP_SIZE)], 1)
    # Autocast would round the result to 8 bits, half a pixel of 128.
    with torch.autocast(maps.device.type, enabled=False):
        return maps @ positions


class _Layer(nn.Sequential):
    """Convolution, batch norm, ReLU; the norm of a frozen network rides on the convolution's weights.

    Folded anew in every call, which costs less than one pass over the activations: nothing can grow stale.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, in_channels, h, w]`` → ``[batch, channels, h / stride, w / stride]``."""
        conv, norm = cast(nn.Conv2d, self[0]), cast(nn.BatchNorm2d, self[1])
        mean, variance = norm.running_mean, norm.running_var
        if norm.training or norm.weight.requires_grad or mean is None or variance is None:
            return cast(Tensor, super().forward(x))
        factor = norm.weight * torch.rsqrt(variance + norm.eps)
        weight = conv.weight * factor[:, None, None, None]
        shift = norm.bias - mean * factor
        return F.relu(F.conv2d(x, weight, shift, conv.stride, conv.padding), inplace=True)
