"""LightEncoder: photograph → W+ with a frozen face network as trunk and few parameters of its own.

The default method's encoder. Its trunk, a recogniser trained on millions of people, is passed in, stays
frozen and is not part of the state dict; the encoder itself only learns to express the trunk's features in
W+.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.layers import EqualizedConv2d, EqualizedLinear, activated, linear_rows
from inversion.latents import Latents, as_latent_avg

MIN_SIZE = 64
GRID = 4
GRID_CHANNELS = 64
# First row of the coarse, middle and fine level, and the trunk feature (from the largest) each reads.
LEVEL_ROWS = (0, 3, 7)
LEVEL_FEATURE = (2, 1, 0)
LEVEL_CONVS = (1, 2, 3)
ROOT_TWO = 2.0**0.5


class FaceTrunk(Protocol):
    """What the encoder needs of its trunk, which is an ``nn.Module`` besides."""

    @property
    def feature_channels(self) -> Sequence[int]:
        """Channels of the four feature maps, largest map first."""
        ...

    def features(self, x: Tensor) -> Sequence[Tensor]:
        """Return features of aligned images at about 35, 17, 8 and 4 pixels, largest first."""
        ...


class GridVector(nn.Module):
    """Feature map → vector that still knows where: strided convolutions, a 4×4 grid, a linear layer.

    ``[batch, channels, h, w]`` → ``[batch, hidden]``.
    """

    def __init__(self, channels: int, convs: int, hidden: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(EqualizedConv2d(channels, channels, 3, 2, 1) for _ in range(convs))
        self.narrow = EqualizedConv2d(channels, min(channels, GRID_CHANNELS), 1, 1, 0)
        self.linear = EqualizedLinear(min(channels, GRID_CHANNELS) * GRID**2, hidden, activation="lrelu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the vector of a map of at least 4×4."""
        x = F.adaptive_avg_pool2d(activated(x, *self.convs, self.narrow), GRID)
        return self.linear(x.flatten(1))


class LightEncoder(nn.Module):
    """Encoder into W+ on a frozen face trunk: ``[batch, 3, S, S]``, RGB in [-1, 1] → ``[batch, L, D]``.

    A feature pyramid joins the trunk's features top-down; three levels (8, 17, 35 pixels) become one
    vector each, for rows 0-2, 3-6 and the rest (the split of pSp). A shallow branch reads the whole
    image, of which the trunk sees only the face: hair, background and colour come from it. The
    design is ours; about 3 M parameters at D = 256.

    Args:
        trunk: face network as :class:`FaceTrunk`; frozen here, moved with the encoder to devices and
            dtypes, left out of ``state_dict()`` and ``parameters()``.
        n_latent: rows L.
        style_dim: width D of a row and of the hidden vectors.
        width: channels of pyramid and branch.
        latent_avg: average code ``[D]``, ``[1, D]`` or ``[L, D]`` that is added; stored, since the
            checkpoint has nothing beside the state dict.

    Raises:
        TypeError: if the trunk is no ``nn.Module``.
        ValueError: if the trunk has not four features.
    """

    trunk: Any
    latent_avg: Tensor

    def __init__(
        self,
        trunk: FaceTrunk,
        n_latent: int = 14,
        style_dim: int = 256,
        width: int = 96,
        latent_avg: Tensor | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(trunk, nn.Module):
            raise TypeError(f"The trunk must be an nn.Module with features(), got {type(trunk).__name__}.")
        if len(trunk.feature_channels) != 4:
            raise ValueError(
                f"The trunk must have four features, got channels {tuple(trunk.feature_channels)}."
            )
        # Past nn.Module's own __setattr__ it is no submodule: neither state dict nor optimizer sees it.
        object.__setattr__(self, "trunk", trunk.requires_grad_(False))
        self.n_latent = n_latent
        self.style_dim = style_dim
        self.lateral = nn.ModuleList(EqualizedConv2d(c, width, 1, 1, 0) for c in trunk.feature_channels)
        widths = [3, *(max(width >> shift, 4) for shift in (3, 2, 1)), width, width]
        self.branch = nn.ModuleList(EqualizedConv2d(a, b, 3, 2, 1) for a, b in pairwise(widths))
        self.branch_vector = GridVector(width, 0, style_dim)
        levels = [level for level, first in enumerate(LEVEL_ROWS) if first < n_latent]
        self.level_vectors = nn.ModuleList(GridVector(width, LEVEL_CONVS[i], style_dim) for i in levels)
        self.merge = nn.ModuleList(
            EqualizedLinear(2 * style_dim, style_dim, activation="lrelu") for _ in levels
        )
        self.heads = nn.ModuleList(EqualizedLinear(style_dim, style_dim) for _ in range(n_latent))
        self._levels = [_level(row) for row in range(n_latent)]
        self.register_buffer("latent_avg", as_latent_avg(latent_avg, n_latent, style_dim))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LightEncoder:
        self.trunk._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    def forward(self, x: Tensor, features: Sequence[Tensor] | None = None) -> Latents:
        """Invert aligned images.

        Args:
            x: ``[batch, 3, S, S]``, RGB in [-1, 1], S ≥ 64; the contract of encoders is 256.
            features: the trunk's features of ``x`` where the caller has them already.

        Raises:
            ValueError: if ``x`` is not a batch of square RGB images from 64 pixels.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] != x.shape[3] or x.shape[2] < MIN_SIZE:
            raise ValueError(
                f"LightEncoder reads [batch, 3, S, S] with S >= {MIN_SIZE}, got {tuple(x.shape)}."
            )
        features = self.trunk.features(x) if features is None else features
        pyramid = self._pyramid(features)
        overview = self.branch_vector(activated(x, *self.branch))
        hidden = [
            merge(torch.cat([vector(pyramid[LEVEL_FEATURE[i]]), overview], 1))
            for i, (vector, merge) in enumerate(zip(self.level_vectors, self.merge, strict=True))
        ]
        rows = linear_rows(self.heads, [hidden[level] for level in self._levels])
        return Latents(rows + self.latent_avg)

    def _pyramid(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Top-down sums of the features, largest first, ``[batch, width, ·, ·]`` each."""
        maps = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for i in range(len(maps) - 2, -1, -1):
            size = (maps[i].shape[2], maps[i].shape[3])
            coarse = F.interpolate(maps[i + 1], size=size, mode="bilinear", align_corners=False)
            maps[i] = (maps[i] + coarse) / ROOT_TWO
        return maps


def _level(row: int) -> int:
    return max(level for level, first in enumerate(LEVEL_ROWS) if row >= first)
