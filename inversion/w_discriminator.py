"""e4e's discriminator of codes: does a row come from the generator's mapping or from an encoder?

Training of an encoder uses it to keep the codes near W, where they can be edited (Tov et al. 2021, section
4.1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LatentDiscriminator(nn.Module):
    """Multi-layer perceptron from a code to a logit; names and shapes are those of e4e's checkpoints.

    Args:
        style_dim: width D of a code.
        n_mlp: linear layers, the last of which puts out the logit.

    Raises:
        ValueError: fewer than one layer.
    """

    def __init__(self, style_dim: int = 512, n_mlp: int = 4) -> None:
        super().__init__()
        if n_mlp < 1:
            raise ValueError(f"LatentDiscriminator: n_mlp must be at least 1, got {n_mlp}.")
        self.mlp = nn.Sequential()
        for _ in range(n_mlp - 1):
            self.mlp.append(nn.Linear(style_dim, style_dim))
            self.mlp.append(nn.LeakyReLU(0.2))
        self.mlp.append(nn.Linear(style_dim, 1))

    def forward(self, w: Tensor) -> Tensor:
        """Map codes ``[..., D]`` to logits ``[..., 1]``, above 0 for codes of the mapping network."""
        return self.mlp(w)


class CodePool(nn.Module):
    """History of encoders' codes, so that the discriminator does not forget what they used to do.

    Draws from torch's global random stream of the CPU, never waits for the device, and is part of the
    state dict: a resumed training goes on exactly.

    Args:
        style_dim: width D of a code.
        size: codes kept; 0 keeps none and hands every code through.

    State: ``codes`` ``[size, D]`` and ``filled`` ``[]``, the number of codes in it, which stays on the CPU.

    Source: Shrivastava et al. 2017, section 2.3, for images; for codes e4e, with 50 of them.
    """

    codes: Tensor
    filled: Tensor

    def __init__(self, style_dim: int = 512, size: int = 50) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("codes", torch.zeros(size, style_dim))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> CodePool:
        filled = self.filled
        super()._apply(fn, recurse)
        self.filled = filled
        return self

    @torch.no_grad()
    def exchange(self, codes: Tensor) -> Tensor:
        """Give a batch of codes and get one of present and former codes.

        Of every sample one row, drawn at random, counts. While the pool is not full it is kept and given
        back; afterwards it is, in half of the cases, exchanged for a code of the pool.

        Args:
            codes: ``[batch, D]``, or ``[batch, rows, D]`` to draw a row of; detached here.

        Returns:
            ``[batch, D]``.
        """
        codes = codes.detach()
        if codes.ndim == 3:
            row = torch.randint(codes.shape[1], (len(codes),)).to(codes.device)
            codes = codes[torch.arange(len(codes), device=codes.device), row]
        swap = torch.rand(len(codes)) < 0.5
        slots = torch.randint(max(self.size, 1), (len(codes),))
        if not self.size:
            return codes
        stored = codes.to(self.codes.dtype)
        answer = stored.clone()
        filled = int(self.filled)
        # One after the other: two samples of a batch may meet in a slot.
        for index, (exchanged, slot) in enumerate(zip(swap.tolist(), slots.tolist(), strict=True)):
            if filled < self.size:
                self.codes[filled] = stored[index]
                filled += 1
            elif exchanged:
                answer[index] = self.codes[slot]
                self.codes[slot] = stored[index]
        self.filled.fill_(filled)
        return answer.to(codes.dtype)
