"""Cells that fuse one row of the identity's codes with one row of the attribute's.

MegaFS's transfer and injection cells, the default's cells driven by the identity embedding, and FSLSD's
affine edit of finished rows; ``CodeSwapper`` is made of them.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from cuda_ops.layers import EqualizedLinear, linear_rows

MAPPING_LAYERS = 4


class TransferCell(nn.Module):
    """MegaFS's face transfer cell: three steps in which either row reads both.

    With u the identity row, v the attribute row and c = concat(u, v) ``[batch, 2D]``:
    u ← u ⊙ σ(MLP(c)) + tanh(MLP(c)), and v likewise with its own MLPs from the same c.
    """

    def __init__(self, style_dim: int = 512, steps: int = 3) -> None:
        super().__init__()
        self.idd_selectors = nn.ModuleList(_mlp(style_dim) for _ in range(steps))
        self.idd_shifters = nn.ModuleList(_mlp(style_dim) for _ in range(steps))
        self.att_selectors = nn.ModuleList(_mlp(style_dim) for _ in range(steps))
        self.att_shifters = nn.ModuleList(_mlp(style_dim) for _ in range(steps))

    def forward(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the updated rows (u, v), each ``[batch, D]``.

        The published code wraps every update in a leaky ReLU whose slope is 1, that is in nothing;
        any other slope does not reproduce its weights.
        """
        for select_u, shift_u, select_v, shift_v in zip(
            self.idd_selectors, self.idd_shifters, self.att_selectors, self.att_shifters, strict=True
        ):
            pair = torch.cat([u, v], 1)
            u = u * select_u(pair).sigmoid() + shift_u(pair).tanh()
            v = v * select_v(pair).sigmoid() + shift_v(pair).tanh()
        return u, v


class InjectionCell(nn.Module):
    """MegaFS's ablation "ID injection": two AdaIN-like steps, then a residual.

    x = v; twice: n = BatchNorm(x) without affine part, h = ReLU(linear(u)),
    x = linear(n ⊙ (1 + linear(h)) + linear(h)); the result is x + v. The published slope-1
    activations are the identity here as well.
    """

    def __init__(self, style_dim: int = 512) -> None:
        super().__init__()
        # Nested containers carry the published names att_path{1,2}.0.0.* and att_path{1,2}.0.2.*.
        self.att_path1 = nn.Sequential(InjectionStep(style_dim))
        self.att_path2 = nn.Sequential(InjectionStep(style_dim))

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the fused row ``[batch, D]`` of identity row u and attribute row v."""
        x = v
        for path in (self.att_path1, self.att_path2):
            x = path[0](u, x)
        return x + v


class InjectionStep(nn.ModuleList):
    """One of the two steps: modulate the row, then a linear layer; a container for the names 0 and 2."""

    def __init__(self, style_dim: int) -> None:
        super().__init__([InjectionModulation(style_dim), nn.Identity(), nn.Linear(style_dim, style_dim)])

    def forward(self, u: Tensor, x: Tensor) -> Tensor:
        """Return ``[batch, D]`` for identity row u and the row x so far."""
        return self[2](self[0](u, x))


class InjectionModulation(nn.Module):
    """Normalise the attribute row, then scale and shift it from the identity row."""

    def __init__(self, style_dim: int) -> None:
        super().__init__()
        self.idd_linears = nn.Sequential(nn.Linear(style_dim, style_dim), nn.ReLU())
        self.idd_selectors = nn.Linear(style_dim, style_dim)
        self.idd_shifters = nn.Linear(style_dim, style_dim)
        self.att_bns = nn.BatchNorm1d(style_dim, affine=False)

    def forward(self, u: Tensor, x: Tensor) -> Tensor:
        """Return ``[batch, D]``: BN(x) ⊙ (1 + scale(u)) + shift(u)."""
        hidden = self.idd_linears(u)
        return self.att_bns(x) * (1 + self.idd_selectors(hidden)) + self.idd_shifters(hidden)


class EmbeddingCells(nn.Module):
    """Identity rows from the identity embedding; the photo's own codes only nudge them.

    A mapping network of four layers turns the standardised embedding ``[batch, 128]`` into a
    hidden vector, one linear head per row turns that into the row, and the identity photo's own row
    is added with a learned weight per entry. In training the addition is dropped per face, so the
    embedding alone has to carry the person and also drives identities that have no photograph.

    Args:
        count: number of fused rows.
        style_dim: width D of a row.
        embedding_dim: width of the embedding.
        hidden: width of the mapping network.
        residual_drop: probability of the drop, 0..1.

    Raises:
        ValueError: if ``residual_drop`` is outside 0..1.
    """

    def __init__(
        self,
        count: int,
        style_dim: int,
        embedding_dim: int = 128,
        hidden: int = 256,
        residual_drop: float = 0.3,
    ) -> None:
        super().__init__()
        if not 0 <= residual_drop <= 1:
            raise ValueError(f"residual_drop is a probability, got {residual_drop}.")
        self.residual_drop = residual_drop
        widths = [embedding_dim] + [hidden] * MAPPING_LAYERS
        self.mapping = nn.Sequential(
            *(EqualizedLinear(a, b, activation="lrelu") for a, b in pairwise(widths))
        )
        self.heads = nn.ModuleList(EqualizedLinear(hidden, style_dim) for _ in range(count))
        # Small at first: the embedding leads, the photo's own codes refine.
        self.residual = nn.Parameter(torch.full((1, count, style_dim), 0.1))

    def forward(self, embedding: Tensor, codes: Tensor | None) -> Tensor:
        """Return identity rows ``[batch, count, D]``.

        Args:
            embedding: standardised per dimension, ``[batch, 128]``.
            codes: the identity photo's rows ``[batch, count, D]``; None leaves the residual out.
        """
        hidden = self.mapping(embedding)
        rows = linear_rows(self.heads, [hidden] * len(self.heads))
        if codes is None:
            return rows
        residual = self.residual * codes
        if self.training and self.residual_drop:
            keep = torch.rand(len(rows), 1, 1, device=rows.device) >= self.residual_drop
            residual = residual * keep
        return rows + residual


class RowAffineEdit(nn.Module):
    """FSLSD's attribute edit: each row moves along its own affine function of itself.

    w_i ← w_i + coefficient · (W_i w_i/√D + b_i); published for "bald", with coefficient 2, so that
    the identity's hair does not come along (Yao et al. 2021, "A Latent Transformer", and FSLSD).

    Args:
        n_latent: number of rows L.
        style_dim: width D of a row.
        coefficient: strength; 0 leaves the codes as they are.
    """

    def __init__(self, n_latent: int = 18, style_dim: int = 512, coefficient: float = 2.0) -> None:
        super().__init__()
        self.coefficient = coefficient
        self.dense = nn.ModuleList(EqualizedLinear(style_dim, style_dim) for _ in range(n_latent))

    def forward(self, wplus: Tensor) -> Tensor:
        """Return the edited codes, shaped as given: ``[batch, L, D]``."""
        change = linear_rows(self.dense, wplus.unbind(1))
        return wplus + self.coefficient * change


def _mlp(style_dim: int) -> nn.Sequential:
    hidden = style_dim // 2
    return nn.Sequential(nn.Linear(2 * style_dim, hidden), nn.ReLU(), nn.Linear(hidden, style_dim))
