"""Exponential moving averages of networks: the weights that are shown, measured and exported.

``stage`` keeps one copy per averaged network and moves it after every step. The half-life is counted in
images, so it means the same for every batch size, and grows with the run at first, so that the early
averages do not remember the initial weights. Source: Karras et al., StyleGAN2 with adaptive discriminator
augmentation (NeurIPS 2020), appendix.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def decay_of(images_in_step: int, images_before: int, half_life: float, ramp: float | None) -> float:
    """The share of the old average that a step keeps, 0..1.

    Args:
        images_in_step: images of this step, over all processes.
        images_before: images of all steps before.
        half_life: after so many images half of the old average is left; 0 keeps nothing.
        ramp: the half-life is at most this share of ``images_before``; None: it is never shorter.
    """
    images = half_life if ramp is None else min(half_life, ramp * images_before)
    return 0.5 ** (images_in_step / images) if images > 0 else 0.0


def copy_of(network: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode, to which no gradient flows."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Average ← decay · average + (1 − decay) · network for parameters; buffers are copied.

    Args:
        average: what :func:`copy_of` made of ``network``.
        network: the network in training.
        decay: 0..1, see :func:`decay_of`.
    """
    averaged: list[Tensor] = list(average.parameters())
    current: list[Tensor] = list(network.parameters())
    if averaged:
        torch._foreach_lerp_(averaged, current, 1 - decay)
    for mean, value in zip(average.buffers(), network.buffers(), strict=True):
        mean.copy_(value)
