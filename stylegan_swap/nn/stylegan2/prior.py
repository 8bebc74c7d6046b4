"""Random people: a low-rank Gaussian over W+, fitted to the codes of real photographs.

A network that learned to redraw photos has no mapping network from noise; ``generate`` draws from this
instead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CodePrior(nn.Module):
    """Mean code and its directions of variation, both stored.

    Args:
        n_latent: rows L.
        style_dim: width D of a row.
        rank: number of directions k.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, n_latent: int, style_dim: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_latent, style_dim))
        self.register_buffer("factor", torch.zeros(rank, n_latent, style_dim))

    def sample(self, n: int, truncation_psi: float = 1.0, seed: int = 0) -> Tensor:
        """Draw codes ``[n, L, D]``; ``truncation_psi`` 0 gives the mean, 1 the variety of the photographs.

        The same seed gives the same people on every device.
        """
        z = torch.randn(n, len(self.factor), generator=torch.Generator().manual_seed(seed))
        offsets = torch.einsum("nk,kld->nld", z.to(self.factor), self.factor)
        return self.mean + truncation_psi * offsets

    @torch.no_grad()
    def fit(self, codes: Tensor) -> None:
        """Take mean and leading principal directions of codes ``[n, L, D]``.

        Raises:
            ValueError: fewer than two codes, or of another shape.
        """
        if codes.ndim != 3 or codes.shape[1:] != self.mean.shape or len(codes) < 2:
            raise ValueError(
                f"CodePrior.fit: needs at least two codes [n, {', '.join(map(str, self.mean.shape))}], "
                f"got {list(codes.shape)}."
            )
        self.mean.copy_(codes.mean(0))
        centred = (codes.float() - self.mean).flatten(1)
        # Of the small side: there are fewer photographs than numbers in a code.
        values, vectors = torch.linalg.eigh(centred @ centred.t() / (len(codes) - 1))
        rank = min(len(self.factor), len(codes) - 1)
        order = values.argsort(descending=True)[:rank]
        # The n-vectors u of the Gram matrix give directions Xᵀu/√(n − 1) of length √value.
        directions = vectors[:, order].t() @ centred / (len(codes) - 1) ** 0.5
        self.factor.zero_()
        self.factor[:rank] = directions.unflatten(1, self.mean.shape)
