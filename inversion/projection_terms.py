"""What projection, inversion by optimisation, needs beside a perceptual loss: noise terms and a schedule.

On the road photo → detect → align → **encoder** → swapper → generator → paste projection is the slow way
in an encoder's place: the code and the noise maps of one photograph are themselves optimised
(StyleGAN2, Karras et al. 2020, appendix D).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Sides of noise maps up to which they are not halved any more.
_SMALLEST = 8


def noise_regularize(noises: Sequence[Tensor]) -> Tensor:
    """How much noise maps tell of the picture: squared correlation with their neighbours, at every scale.

    Without it, optimised noise takes the picture over and the code is left with nothing.

    Args:
        noises: maps ``[batch, 1, r, r]``.

    Returns:
        A scalar; the expected value for white noise is about 0.
    """
    total = torch.zeros((), device=noises[0].device) if noises else torch.zeros(())
    for noise in noises:
        while True:
            for axis in (2, 3):
                total = total + (noise * noise.roll(1, axis)).mean().square()
            if noise.shape[2] <= _SMALLEST:
                break
            noise = F.avg_pool2d(noise, 2)
    return total


@torch.no_grad()
def noise_normalize(noises: Sequence[Tensor]) -> None:
    """Give every noise map mean 0 and deviation 1 again, in place; after each step of the optimiser."""
    for noise in noises:
        mean, deviation = noise.mean(), noise.std()
        noise.sub_(mean).div_(deviation)


def projection_rate(progress: float, lr: float, fall: float = 0.25, rise: float = 0.05) -> float:
    """Learning rate of projection: a linear rise at the start, half a cosine wave down at the end.

    Args:
        progress: share of the steps done, 0..1.
        lr: the rate in between.
        fall: share of the steps that the fall takes.
        rise: share of the steps that the rise takes.
    """
    down = min(1.0, (1 - progress) / fall)
    return lr * (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, progress / rise)
