"""What every encoder returns and what every encoder is: the contract of GAN inversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """Codes of a batch of faces.

    Attributes:
        wplus: one style per generator row, ``[batch, L, D]`` with L = 2·log2(S) − 2.
        structure: spatial tensor that replaces the generator's learned constant,
            ``[batch, C, 4, 4]``, or None where the encoder has none (pSp, e4e, light).

    Raises:
        ValueError: if ``wplus`` is not three-dimensional or ``structure`` is not a batch of
            feature maps of the same length.
    """

    wplus: Tensor
    structure: Tensor | None = None

    def __post_init__(self) -> None:
        if self.wplus.ndim != 3:
            raise ValueError(f"wplus must be [batch, rows, width], got {tuple(self.wplus.shape)}.")
        if self.structure is not None and (
            self.structure.ndim != 4 or self.structure.shape[0] != self.wplus.shape[0]
        ):
            raise ValueError(
                f"structure must be [{self.wplus.shape[0]}, channels, height, width] to go with wplus, "
                f"got {tuple(self.structure.shape)}."
            )

    def __len__(self) -> int:
        return self.wplus.shape[0]

    def to(self, target: torch.device | torch.dtype | str) -> Latents:
        """Return the same codes on another device or in another dtype."""
        structure = None if self.structure is None else self.structure.to(target)
        return Latents(self.wplus.to(target), structure)


@runtime_checkable
class Encoder(Protocol):
    """Inverts aligned photographs: ``[batch, 3, 256, 256]``, RGB in [-1, 1] → :class:`Latents`.

    Attributes:
        n_latent: number of rows L of the codes.
        style_dim: width D of a row.
    """

    n_latent: int
    style_dim: int

    def __call__(self, x: Tensor) -> Latents:
        """Return the codes of the batch ``x``, the average code already added."""
        ...


def as_latent_avg(latent_avg: Tensor | None, n_latent: int, style_dim: int) -> Tensor:
    """Bring an average code to ``[n_latent, style_dim]``.

    Checkpoints store one row (``[D]``, ``[1, D]``), or a row per layer (``[L, D]``); more rows than
    needed are cut, because row i means the same resolution at every image size.

    Raises:
        ValueError: if the width differs or there are several rows but fewer than ``n_latent``.
    """
    if latent_avg is None:
        return torch.zeros(n_latent, style_dim)
    width = latent_avg.shape[-1] if latent_avg.ndim else 0
    rows = latent_avg.detach().float().reshape(-1, max(width, 1))
    if width != style_dim or not len(rows) or 1 < len(rows) < n_latent:
        raise ValueError(
            f"latent_avg has shape {tuple(latent_avg.shape)}; expected [{style_dim}], [1, {style_dim}] "
            f"or at least [{n_latent}, {style_dim}]."
        )
    return rows.expand(n_latent, -1).clone() if rows.shape[0] == 1 else rows[:n_latent].clone()
