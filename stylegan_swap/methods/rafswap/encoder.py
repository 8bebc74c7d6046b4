"""RAFSwap's encoder: the codes of a swap at once, from the attribute's features and the identity's tokens.

On the road photo → detect → align → **encoder → swapper** → generator → paste it is both: there are no codes
of either face alone (Xu et al. 2022, "Region-Aware Face Swapping", CVPR, §3). Parameter names and shapes are
those of the published checkpoint without ``encoder.``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inversion.irse import UNITS, WIDTH, IRSE50Trunk
from inversion.psp import COARSE_ROWS, INPUT_SIZE, MIDDLE_ROWS, StyleHead
from stylegan_swap.methods.rafswap.region_tokens import RegionProjector, RegionTokenizer, TransformerBlock

REGIONS = 4
SCALES = 3


@dataclass(frozen=True)
class RegionIdentity:
    """What identity photos contribute.

    Attributes:
        tokens: region by region, scale by scale (64, 32, 16 pixels), ``[batch, 12, dim]``.
        overall: mean of the coarsest features ``[batch, dim]``.
    """

    tokens: Tensor
    overall: Tensor

    def __len__(self) -> int:
        return len(self.tokens)


class RegionEncoder(IRSE50Trunk):
    """IR-SE-50 with pSp's heads, between them region tokens of the identity; 273 M parameters with 18 rows.

    There is no top-down path: each level of the pyramid stands alone.

    Args:
        n_styles: number of rows L.
        style_dim: width D of a row.
        depth: transformer blocks.
        heads: attention heads.
        trunk_width: see :class:`~inversion.irse.IRSE50Trunk`.
        trunk_units: see :class:`~inversion.irse.IRSE50Trunk`.
    """

    def __init__(
        self,
        n_styles: int = 18,
        style_dim: int = 512,
        *,
        depth: int = 1,
        heads: int = 8,
        trunk_width: int = WIDTH,
        trunk_units: Sequence[int] = UNITS,
    ) -> None:
        super().__init__(3, trunk_width, trunk_units)
        self.n_latent = n_styles
        self.style_dim = style_dim
        dim = self.tap_channels[2]
        self.styles = nn.ModuleList(
            StyleHead(dim, style_dim, 16 if i < COARSE_ROWS else 32 if i < MIDDLE_ROWS else 64)
            for i in range(n_styles)
        )
        self.latlayer1 = nn.Conv2d(self.tap_channels[1], dim, 1)
        self.latlayer2 = nn.Conv2d(self.tap_channels[0], dim, 1)
        self.token = nn.ModuleList(RegionTokenizer(channels, dim) for channels in self.tap_channels)
        self.proj = nn.ModuleList(RegionProjector(dim) for _ in range(SCALES))
        self.trans = nn.Sequential(*(TransformerBlock(dim, heads) for _ in range(depth)))

    def describe(self, x: Tensor, regions: Tensor) -> RegionIdentity:
        """Read identity photos.

        Args:
            x: aligned faces ``[batch, 3, 256, 256]``, RGB in [-1, 1].
            regions: lips, nose, brows and eyes, 0 and 1, ``[batch, 4, s, s]``; s = 64 in the published data.

        Raises:
            ValueError: if a shape does not fit.
        """
        self._check(x, regions)
        maps = self.taps(x)
        tokens = [token(feature, regions) for token, feature in zip(self.token, maps, strict=True)]
        return RegionIdentity(self.trans(torch.cat(tokens, 1)), maps[2].mean((2, 3)))

    def forward(self, x: Tensor, regions: Tensor, identity: RegionIdentity) -> Tensor:
        """Return the codes of the swap ``[batch, L, D]``, without any average added.

        Args:
            x: aligned attribute faces ``[batch, 3, 256, 256]``, RGB in [-1, 1].
            regions: their regions, as in :meth:`describe`.
            identity: what :meth:`describe` returned, for as many faces.

        Raises:
            ValueError: if a shape does not fit.
        """
        self._check(x, regions)
        c1, c2, c3 = self.taps(x)
        levels = (self.latlayer2(c1), self.latlayer1(c2), c3)
        overall = identity.overall[:, :, None, None]
        fine, middle, coarse = (
            project(feature, tokens, regions) + overall
            for project, feature, tokens in zip(
                self.proj, levels, identity.tokens.chunk(SCALES, 1), strict=True
            )
        )
        rows = [
            head(coarse if i < COARSE_ROWS else middle if i < MIDDLE_ROWS else fine)
            for i, head in enumerate(self.styles)
        ]
        return torch.stack(rows, 1)

    def _check(self, x: Tensor, regions: Tensor) -> None:
        if x.ndim != 4 or x.shape[1:] != (3, INPUT_SIZE, INPUT_SIZE):
            raise ValueError(
                f"RegionEncoder reads [batch, 3, {INPUT_SIZE}, {INPUT_SIZE}], got {tuple(x.shape)}."
            )
        if regions.ndim != 4 or regions.shape[:2] != (len(x), REGIONS):
            raise ValueError(f"regions must be [{len(x)}, {REGIONS}, s, s], got {tuple(regions.shape)}.")
