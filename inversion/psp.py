"""pSp encoders: a feature pyramid on IR-SE-50 with one small head per style row.

The published encoders into W and W+ (Richardson et al. 2021, "Encoding in Style"). Parameter names and shapes
are those of the released checkpoints without the prefix ``encoder.``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.layers import EqualizedLinear
from inversion.irse import UNITS, WIDTH, IRSE50Trunk
from inversion.latents import Latents, as_latent_avg

INPUT_SIZE = 256
COARSE_ROWS = 3
MIDDLE_ROWS = 7


def strided_convolutions(in_channels: int, channels: int, side: int, norm: bool = False) -> nn.Sequential:
    """Halve ``[batch, in_channels, side, side]`` until ``[batch, channels, 1, 1]``, leaky ReLU after each."""
    layers: list[nn.Module] = []
    for index in range(int(math.log2(side))):
        layers.append(nn.Conv2d(channels if index else in_channels, channels, 3, 2, 1))
        layers += [nn.BatchNorm2d(channels)] if norm else []
        layers.append(nn.LeakyReLU(0.01))
    return nn.Sequential(*layers)


class StyleHead(nn.Module):
    """pSp's "map2style": strided convolutions down to one pixel, then an equalized linear layer.

    ``[batch, in_channels, spatial, spatial]`` → ``[batch, style_dim]`` (pSp, figure 2).
    """

    def __init__(self, in_channels: int, style_dim: int, spatial: int) -> None:
        super().__init__()
        self.convs = strided_convolutions(in_channels, style_dim, spatial)
        self.linear = EqualizedLinear(style_dim, style_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return one style per image."""
        return self.linear(self.convs(x).flatten(1))


class PSPBase(IRSE50Trunk, ABC):
    """What the pSp family shares: trunk, shape checks and the average code; subclasses add the heads.

    ``latent_avg`` is a buffer outside the state dict, because checkpoints keep it beside the
    encoder's weights and not among them.

    Args:
        n_styles: number of rows L (14 at 256, 16 at 512, 18 at 1024 pixels).
        style_dim: width D of a row.
        input_nc: channels of the image (3; 1 sketches; 19 segmentation maps, both in [0, 1]).
        latent_avg: average code ``[D]``, ``[1, D]`` or ``[L, D]`` that is added; None adds nothing.
        trunk_width: see :class:`~inversion.irse.IRSE50Trunk`.
        trunk_units: see :class:`~inversion.irse.IRSE50Trunk`.
    """

    latent_avg: Tensor

    def __init__(
        self,
        n_styles: int = 18,
        style_dim: int = 512,
        input_nc: int = 3,
        latent_avg: Tensor | None = None,
        *,
        trunk_width: int = WIDTH,
        trunk_units: Sequence[int] = UNITS,
    ) -> None:
        super().__init__(input_nc, trunk_width, trunk_units)
        self.n_latent = n_styles
        self.style_dim = style_dim
        self.input_nc = input_nc
        average = as_latent_avg(latent_avg, n_styles, style_dim)
        self.register_buffer("latent_avg", average, persistent=False)
        self._add_heads()

    @abstractmethod
    def _add_heads(self) -> None:
        """Create the layers between the trunk's features and the codes."""

    @abstractmethod
    def codes(self, x: Tensor) -> Tensor:
        """Return the raw codes ``[batch, L, D]`` before the average is added."""

    def forward(self, x: Tensor) -> Latents:
        """Invert aligned images ``[batch, input_nc, 256, 256]``, RGB in [-1, 1].

        Raises:
            ValueError: if ``x`` has another shape.
        """
        if x.ndim != 4 or x.shape[1:] != (self.input_nc, INPUT_SIZE, INPUT_SIZE):
            raise ValueError(
                f"{type(self).__name__} reads [batch, {self.input_nc}, {INPUT_SIZE}, {INPUT_SIZE}], "
                f"got {tuple(x.shape)}; resize the aligned image first."
            )
        return Latents(self.codes(x) + self.latent_avg)


class GradualStyleEncoder(PSPBase):
    """pSp's encoder into W+: heads on three levels of a feature pyramid.

    Rows 0-2 come from c3 (16 pixels), 3-6 from p2 (32), the others from p1 (64). 267 M parameters
    with 18 rows (Richardson et al. 2021, §3). Arguments as in :class:`PSPBase`.
    """

    def _add_heads(self) -> None:
        """One head per row, and the lateral layers of the pyramid."""
        width = self.tap_channels[2]
        self.styles = nn.ModuleList(
            StyleHead(width, self.style_dim, 16 if i < COARSE_ROWS else 32 if i < MIDDLE_ROWS else 64)
            for i in range(self.n_latent)
        )
        self.latlayer1 = nn.Conv2d(self.tap_channels[1], width, 1)
        self.latlayer2 = nn.Conv2d(self.tap_channels[0], width, 1)

    def rows(self, x: Tensor, count: int | None = None) -> list[Tensor]:
        """Return the outputs ``[batch, D]`` of the first ``count`` heads (all by default)."""
        count = self.n_latent if count is None else count
        c1, c2, c3 = self.taps(x)
        levels = [c3]
        if count > COARSE_ROWS:
            levels.append(add_lateral(c3, self.latlayer1(c2)))
        if count > MIDDLE_ROWS:
            levels.append(add_lateral(levels[1], self.latlayer2(c1)))
        return [
            head(levels[0 if i < COARSE_ROWS else 1 if i < MIDDLE_ROWS else 2])
            for i, head in enumerate(self.styles)
            if i < count
        ]

    def codes(self, x: Tensor) -> Tensor:
        """Return the raw codes ``[batch, L, D]``: the heads' outputs, stacked."""
        return torch.stack(self.rows(x), 1)


class BackboneEncoderIntoW(PSPBase):
    """pSp's last-layer encoder into W: one style, repeated for every row.

    Global mean of c3 → equalized linear layer (``BackboneEncoderUsingLastLayerIntoW``).
    Arguments as in :class:`PSPBase`.
    """

    def _add_heads(self) -> None:
        """One linear layer."""
        self.linear = EqualizedLinear(self.tap_channels[2], self.style_dim)

    def code(self, x: Tensor) -> Tensor:
        """Return the single raw style ``[batch, D]``."""
        return self.linear(self.taps(x)[2].mean((2, 3)))

    def codes(self, x: Tensor) -> Tensor:
        """Return the raw codes ``[batch, L, D]``, all rows equal."""
        return self.code(x).unsqueeze(1).expand(-1, self.n_latent, -1)


class BackboneEncoderIntoWPlus(PSPBase):
    """pSp's last-layer encoder into W+: all rows from one vector.

    c3 → BN, 7×7 pool, linear 512 → equalized linear D·L
    (``BackboneEncoderUsingLastLayerIntoWPlus``). Arguments as in :class:`PSPBase`.
    """

    def _add_heads(self) -> None:
        """Pooling and two linear layers."""
        width = self.tap_channels[2]
        self.output_layer_2 = nn.Sequential(
            nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(width * 49, 512)
        )
        self.linear = EqualizedLinear(512, self.style_dim * self.n_latent)

    def codes(self, x: Tensor) -> Tensor:
        """Return the raw codes ``[batch, L, D]``."""
        vector = self.output_layer_2(self.taps(x)[2])
        return self.linear(vector).unflatten(1, (self.n_latent, self.style_dim))


def add_lateral(coarse: Tensor, lateral: Tensor) -> Tensor:
    """Enlarge a map of the pyramid to the size of the next finer one and add the two."""
    # align_corners=True is what the published weights were trained with.
    size = (lateral.shape[2], lateral.shape[3])
    return F.interpolate(coarse, size=size, mode="bilinear", align_corners=True) + lateral
