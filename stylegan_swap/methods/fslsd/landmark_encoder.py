"""FSLSD's landmark encoder: where two faces' points lie → how the structure rows of the codes must move.

On the road photo → detect → align → **encoder** → swapper → generator → paste it stands beside the photo's
encoder: its direction carries the attribute photo's pose and expression into the identity's codes
(Xu et al. 2022, "High-resolution Face Swapping via Latent Semantics Disentanglement", §3.2). Parameter names
and shapes are those of the entry ``encoder_lmk`` of the released checkpoint without ``module.``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from inversion.irse import UNITS, WIDTH, IRSE50Trunk
from inversion.psp import COARSE_ROWS, INPUT_SIZE, StyleHead, add_lateral

ROWS = 7


class LandmarkEncoder(IRSE50Trunk):
    """pSp's pyramid on landmark maps, with heads for the structure rows alone; 108.6 M parameters.

    Maps ``[batch, 2·K, 256, 256]``, one per landmark, the identity's K first, then the attribute's
    → direction ``[batch, rows, D]``.

    Args:
        mark_nums: number of maps 2·K; 212 in the published network (106 points).
        style_dim: width D of a row.
        rows: rows that the direction moves, at least 4 (three from 16-pixel, the others from 32-pixel maps).
        trunk_width: see :class:`~inversion.irse.IRSE50Trunk`.
        trunk_units: see :class:`~inversion.irse.IRSE50Trunk`.

    Raises:
        ValueError: if ``mark_nums`` is odd or there are too few rows.
    """

    def __init__(
        self,
        mark_nums: int = 212,
        style_dim: int = 512,
        rows: int = ROWS,
        *,
        trunk_width: int = WIDTH,
        trunk_units: Sequence[int] = UNITS,
    ) -> None:
        super().__init__(mark_nums, trunk_width, trunk_units)
        if mark_nums % 2 or rows <= COARSE_ROWS:
            raise ValueError(
                f"mark_nums counts the maps of two faces and rows from {COARSE_ROWS + 1}, got "
                f"mark_nums={mark_nums}, rows={rows}."
            )
        self.mark_nums = mark_nums
        self.style_dim = style_dim
        width = self.tap_channels[2]
        self.styles = nn.ModuleList(
            StyleHead(width, style_dim, 16 if i < COARSE_ROWS else 32) for i in range(rows)
        )
        self.latlayer1 = nn.Conv2d(self.tap_channels[1], width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the direction ``[batch, rows, D]``.

        Raises:
            ValueError: if the maps have another shape.
        """
        if maps.ndim != 4 or maps.shape[1:] != (self.mark_nums, INPUT_SIZE, INPUT_SIZE):
            raise ValueError(
                f"LandmarkEncoder reads [batch, {self.mark_nums}, {INPUT_SIZE}, {INPUT_SIZE}], "
                f"got {tuple(maps.shape)}."
            )
        _, c2, c3 = self.taps(maps)
        p2 = add_lateral(c3, self.latlayer1(c2))
        return torch.stack([head(c3 if i < COARSE_ROWS else p2) for i, head in enumerate(self.styles)], 1)
