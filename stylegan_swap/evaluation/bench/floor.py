"""The floor under the generator: its convolutions alone, with nothing between them.

Used by `stylegan-swap bench` and `benchmarks/bench_generator.py`. One ordinary convolution per layer (a
transposed one of stride 2 where the layer doubles the size) on tensors made beforehand, each in the layout
that was fastest on this machine. Modulation, filters, noise and activations come on top of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_swap.evaluation.bench.clock import Call, wait_for
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
    where = torch.device(device)
    return [
        min(_layouts(layer, batch, dtype, where), key=lambda call: _seconds(call, where))
        for layer in layers_of(network)
    ]


def _layouts(layer: Layer, batch: int, dtype: torch.dtype, device: torch.device) -> list[Call]:
    kind, side, inner, out = layer
    kernel = 1 if kind == "rgb" else 3
    shape = (inner, out, 3, 3) if kind == "up" else (out, inner, kernel, kernel)
    calls: list[Call] = []
    for layout in (torch.channels_last, torch.contiguous_format):
        x = torch.randn(batch, inner, side, side, device=device, dtype=dtype).contiguous(memory_format=layout)
        weight = torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=layout)
        calls.append(_convolution(kind, x, weight))
        if kind == "rgb" and layout == torch.channels_last:
            calls.append(_product(x, weight))
    return calls


def _convolution(kind: str, x: Tensor, weight: Tensor) -> Call:
    if kind == "up":
        return lambda: F.conv_transpose2d(x, weight, stride=2)
    return lambda: F.conv2d(x, weight, padding=weight.shape[2] // 2)


def _product(x: Tensor, weight: Tensor) -> Call:
    pixels, matrix = x.permute(0, 2, 3, 1).flatten(0, 2), weight.flatten(1)
    return lambda: F.linear(pixels, matrix)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    call()
    best = float("inf")
    for _ in range(_TRIES):
        wait_for(device)
        start = time.process_time() if device.type == "cpu" else time.perf_counter()
        call()
        wait_for(device)
        end = time.process_time() if device.type == "cpu" else time.perf_counter()
        best = min(best, end - start)
    return best
