"""e4e: one style for the whole face plus an offset per row, released row by row in training.

Trades a little likeness for codes that stay near W and so can be edited and mixed (Tov et al. 2021,
"Designing an Encoder for StyleGAN Image Manipulation").
"""

from __future__ import annotations

import torch
from torch import Tensor

from inversion.psp import GradualStyleEncoder


class E4EEncoder(GradualStyleEncoder):
    """e4e's encoder into W+: row 0 is a style w0, row i is w0 plus an offset.

    ``[batch, 3, 256, 256]``, RGB in [-1, 1] → ``[batch, L, D]``. State names and shapes equal
    :class:`~inversion.psp.GradualStyleEncoder`. Until training reaches a row's stage its offset is
    zero, so the codes leave W gradually (Tov et al. 2021, progressive training).

    Args:
        n_styles: number of rows L.
        style_dim: width D of a row.
        input_nc: channels of the image.
        latent_avg: average code that is added, as in :class:`~inversion.psp.PSPBase`.
        stage: rows 1..stage have offsets; None means all of them (inference).
    """

    def __init__(
        self,
        n_styles: int = 18,
        style_dim: int = 512,
        input_nc: int = 3,
        latent_avg: Tensor | None = None,
        stage: int | None = None,
    ) -> None:
        super().__init__(n_styles, style_dim, input_nc, latent_avg)
        self.stage = n_styles - 1
        self.set_stage(stage)

    def set_stage(self, stage: int | None) -> None:
        """Let rows 1..``stage`` leave w0; None releases all.

        Raises:
            ValueError: if ``stage`` is negative.
        """
        if stage is not None and stage < 0:
            raise ValueError(f"The progressive stage counts rows from 0, got {stage}.")
        last = self.n_latent - 1
        self.stage = last if stage is None else min(stage, last)

    def offsets(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return w0 ``[batch, D]`` and the offsets ``[batch, L, D]``; row 0 and rows past the stage are 0.

        The offsets' mean length is e4e's delta regulariser.
        """
        rows = self.rows(x, self.stage + 1)
        zero = torch.zeros_like(rows[0])
        padding = [zero] * (self.n_latent - len(rows))
        return rows[0], torch.stack([zero, *rows[1:], *padding], 1)

    def codes(self, x: Tensor) -> Tensor:
        """Return the raw codes ``[batch, L, D]`` before the average is added."""
        w0, offsets = self.offsets(x)
        return w0.unsqueeze(1) + offsets


def progressive_stage(step: int, n_styles: int, start: int = 20_000, every: int = 2_000) -> int:
    """Return the stage of e4e's schedule at a training step.

    Stage 0 from the beginning, stage i at ``start + (i − 1)·every`` (the published training code's defaults).

    Raises:
        ValueError: if ``step`` is negative or ``every`` is not positive.
    """
    if step < 0 or every <= 0:
        raise ValueError(f"step must be >= 0 and every > 0, got step={step}, every={every}.")
    if step < start:
        return 0
    return min(1 + (step - start) // every, n_styles - 1)
