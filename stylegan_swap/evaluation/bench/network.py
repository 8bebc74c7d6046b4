"""Generators of the published sizes with random weights: speed does not ask what a network has learned."""

from __future__ import annotations

import torch
from torch import nn

from stylegan_swap.nn.stylegan2.generator import Generator

_NOISE_STRENGTH = 0.1


def random_generator(
    size: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", seed: int = 0
) -> Generator:
    """A StyleGAN2 generator (config F) in inference, its noise weights away from the zero they start at.

    Args:
        size: side of the image.
        dtype: of all weights.
        device: where it lies.
        seed: the same seed gives the same weights; the caller's random numbers stay theirs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Generator(size)
        for name, parameter in network.named_parameters():
            if name.endswith("noise.weight"):
                nn.init.constant_(parameter, _NOISE_STRENGTH)
    return network.to(device, dtype).eval().requires_grad_(False)
