"""Generators with random weights to time, and the lower bound of their time: the convolutions alone.

The bound has one ordinary convolution per layer (a transposed one of stride 2 where the layer doubles the
size) on tensors made beforehand, each in the layout that was fastest on this machine. Modulation, filters,
noise and activations come on top of it. Speed does not depend on what a network has learned.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import nn

from stylegan_swap.evaluation.bench.clock import Call, in_turn
from stylegan_swap.nn.stylegan2.generator import Generator

Layer = tuple[str, int, int, int]
_TRIES = 2


def layers_of(network: Generator) -> list[Layer]:
    """The convolutions of a generator: kind ("conv", "up", "rgb"), input side, channels in and out."""
    c = network.channels
    layers: list[Layer] = [("conv", 4, c[4], c[4]), ("rgb", 4, c[4], 3)]
    for r in network.resolutions[1:]:
        layers += [("up", r // 2, c[r // 2], c[r]), ("conv", r, c[r], c[r]), ("rgb", r, c[r], 3)]
    return layers


def floor_call(network: Generator, batch: int, dtype: torch.dtype, device: torch.device | str) -> Call:
    """All convolutions of a generator's layers in one call; see :func:`floor_calls`."""
    calls = floor_calls(network, batch, dtype, device)

    def run() -> None:
        for call in calls:
            call()

    return run


def floor_calls(network: Generator, batch: int, dtype: torch.dtype, device: torch.device | str) -> list[Call]:
    """One call per convolution of the generator, inputs and weights made beforehand.

    Args:
        network: whose layers; its weights are not used.
        batch: images at a time.
        dtype: of inputs and weights.
        device: where they lie.

    Returns:
        The calls, in the order of the layers. Every layer's layout is chosen here, by timing.
    """
    device = torch.device(device)
    return [_fastest(_layouts(layer, batch, dtype, device), device) for layer in layers_of(network)]


def _layouts(layer: Layer, batch: int, dtype: torch.dtype, device: torch.device) -> list[Call]:
    """The layer's convolution in both memory layouts; a 1 × 1 one also as a matrix product."""
    kind, side, inner, out = layer
    kernel = 1 if kind == "rgb" else 3
    shape = (inner, out, 3, 3) if kind == "up" else (out, inner, kernel, kernel)
    calls: list[Call] = []
    for layout in (torch.channels_last, torch.contiguous_format):
        x = torch.randn(batch, inner, side, side, device=device, dtype=dtype).contiguous(memory_format=layout)
        weight = torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=layout)
        if kind == "up":
            calls.append(functools.partial(F.conv_transpose2d, x, weight, stride=2))
        else:
            calls.append(functools.partial(F.conv2d, x, weight, padding=kernel // 2))
        if kind == "rgb" and layout == torch.channels_last:
            calls.append(functools.partial(F.linear, x.permute(0, 2, 3, 1).flatten(0, 2), weight.flatten(1)))
    return calls


def _fastest(calls: list[Call], device: torch.device) -> Call:
    timings = in_turn({str(number): call for number, call in enumerate(calls)}, device=device, rounds=_TRIES)
    seconds = [timing.cpu_best if device.type == "cpu" else timing.best for timing in timings.values()]
    return calls[seconds.index(min(seconds))]


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
