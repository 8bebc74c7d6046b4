"""The random numbers behind ADA's augmentations, drawn for one batch on the CPU.

Beside the road, under ``ada``. On the CPU, because a seed then means the same on every device, and because
the library knows what was drawn without asking the device: what applies to no image of a batch costs
nothing, and padding is as wide as this batch needs.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """One batch's random numbers, from torch's global stream.

    Every method takes the name of what is drawn, so that a test can put known numbers in its place.

    Args:
        batch: number of images.
        probability: p of ADA, 0..1: every item applies to every image with this probability,
            independently.
    """

    def __init__(self, batch: int, probability: float) -> None:
        self.batch = batch
        self.probability = probability

    def applies(self, name: str, probability: float | None = None) -> Tensor:
        """Which images an item applies to, bool ``[batch]``; ``probability`` instead of p where given."""
        share = self.probability if probability is None else probability
        return torch.rand(self.batch, dtype=torch.float64) < share

    def whole(self, name: str, count: int) -> Tensor:
        """Whole numbers 0..``count`` − 1, float64 ``[batch]``."""
        return torch.randint(count, (self.batch,)).double()

    def uniform(self, name: str) -> Tensor:
        """Even draws from -1..1, float64 ``[batch]``."""
        return torch.rand(self.batch, dtype=torch.float64) * 2 - 1

    def normal(self, name: str) -> Tensor:
        """Standard normal draws, float64 ``[batch]``."""
        return torch.randn(self.batch, dtype=torch.float64)

    def chosen(self, name: str, value: Tensor, neutral: float, probability: float | None = None) -> Tensor:
        """``value`` ``[batch]`` where the item applies, ``neutral`` elsewhere."""
        return torch.where(self.applies(name, probability), value, neutral)
