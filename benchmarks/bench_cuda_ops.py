"""Time the compiled kernels on a GPU: bandwidth of each, against plain torch and against a copy.

    python benchmarks/bench_cuda_ops.py --size 1024 --batch 4 --dtype float16

One row per operation and resolution of the published generator: microseconds with kernels, with plain
torch, and the share of a copy's bandwidth that the kernel reaches (bytes that must be read and written,
counted once). Then the whole generator in images per second: plain, with kernels, and as a CUDA graph.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops import CapturedCall, setup_filter
from cuda_ops.dispatch import ENVIRONMENT, failure, kernels_ready
from cuda_ops.fused_epilogue import fused_epilogue
from cuda_ops.fused_fir import fused_fir
from cuda_ops.fused_mask_blend import mask_blend
from cuda_ops.fused_to_rgb import fused_to_rgb
from stylegan_swap.nn.stylegan2.generator import Generator, channels_for

ROOT_TWO = 2.0**0.5


@dataclass(frozen=True)
class Case:
    """An operation on tensors made beforehand, both ways, and the bytes that any way must move."""

    name: str
    fused: Callable[[], Tensor]
    plain: Callable[[], Tensor]
    bytes_moved: int


def cases(
    resolution: int, channels: int, batch: int, dtype: torch.dtype, device: torch.device
) -> Iterator[Case]:
    """The operations of one block of the generator."""

    def tensor(count: int, side: int) -> Tensor:
        x = torch.randn(batch, count, side, side, device=device, dtype=dtype)
        return x.contiguous(memory_format=torch.channels_last)

    x, background, raw = (
        tensor(channels, resolution),
        tensor(channels, resolution),
        tensor(channels, resolution + 1),
    )
    noise = torch.randn(1, 1, resolution, resolution, device=device, dtype=dtype)
    scale, bias = torch.rand(batch, channels, device=device), torch.randn(channels, device=device)
    strength = torch.ones(1, device=device)
    taps = setup_filter([1, 3, 3, 1], gain=4, separable=False, device=device)
    mask = torch.rand(batch, 1, resolution, resolution, device=device, dtype=dtype)
    ending = {"scale": scale, "noise": noise, "strength": strength, "bias": bias}
    activation = {"slope": 0.2, "gain": ROOT_TWO}
    factor, shift = scale.to(dtype)[:, :, None, None], bias.to(dtype)[None, :, None, None]

    def end(y: Tensor) -> Tensor:
        return F.leaky_relu_(torch.addcmul(shift, y, factor).add_(noise), 0.2)

    def filtered() -> Tensor:
        weight = taps.to(dtype)[None, None].expand(channels, 1, -1, -1)
        return F.conv2d(raw, weight, padding=1, groups=channels)

    size = x.element_size()
    image = batch * channels * resolution**2 * size
    yield Case("epilogue", lambda: fused_epilogue(x, **ending, **activation), lambda: end(x), 2 * image)
    yield Case(
        "fir + epilogue",
        lambda: fused_fir(raw, taps, padding=(1, 1, 1, 1), **ending, **activation),
        lambda: end(filtered()),
        image + raw.numel() * size,
    )
    weight, skip = torch.randn(batch, 3, channels, device=device), tensor(3, resolution // 2).float()
    yield Case(
        "to rgb + skip",
        lambda: fused_to_rgb(x, weight, skip=skip, taps=taps),
        lambda: (
            torch.einsum("nhwc,noc->nhwo", x.permute(0, 2, 3, 1), weight.to(dtype))
            .permute(0, 3, 1, 2)
            .float()
            + F.interpolate(skip, scale_factor=2.0, mode="bilinear")
        ),
        image + batch * 3 * resolution**2 * 4 * 5 // 4,
    )
    yield Case(
        "mask blend",
        lambda: mask_blend(x, background, mask),
        lambda: x * mask + background * (1 - mask),
        3 * image,
    )


def microseconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call on the GPU, after a warm-up."""
    for _ in range(3):
        call()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for start, end in events:
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    times = sorted(start.elapsed_time(end) for start, end in events)
    return 1000 * times[len(times) // 2]


def bench_operations(options: argparse.Namespace, dtype: torch.dtype, device: torch.device) -> None:
    """Print a row per operation and resolution."""
    big = torch.empty(2**28, device=device, dtype=torch.uint8)
    target = torch.empty_like(big)
    bandwidth = 2 * big.numel() / microseconds(lambda: target.copy_(big), options.repeats)
    print(f"copy: {bandwidth / 1000:.0f} GB/s")
    print(f"{'px':>5} {'C':>4} {'operation':<16} {'fused us':>9} {'torch us':>9} {'of a copy':>9}")
    for resolution, channels in channels_for(options.size).items():
        if resolution < 8:
            continue
        for case in cases(resolution, channels, options.batch, dtype, device):
            fused, plain = (
                microseconds(case.fused, options.repeats),
                microseconds(case.plain, options.repeats),
            )
            share = case.bytes_moved / fused / bandwidth
            print(f"{resolution:>5} {channels:>4} {case.name:<16} {fused:9.1f} {plain:9.1f} {share:9.0%}")


def bench_generator(options: argparse.Namespace, dtype: torch.dtype, device: torch.device) -> None:
    """Print images per second of the whole generator."""
    network = Generator(options.size).to(device, dtype).eval()
    w = torch.randn(options.batch, network.n_latent, network.style_dim, device=device, dtype=dtype)

    def call(w: Tensor) -> Tensor:
        return network(w, return_features=False).image

    captured = CapturedCall(call)
    for name, choice, function in (
        ("plain torch", "torch", call),
        ("kernels", "cuda", call),
        ("kernels, CUDA graph", "cuda", captured),
    ):
        os.environ[ENVIRONMENT] = choice
        with torch.inference_mode():
            time = microseconds(lambda function=function: function(w), max(3, options.repeats // 5))
        print(f"generator {options.size} px, {name}: {1e6 * options.batch / time:.1f} images/s")


def main() -> int:
    """Run the benchmark; 1 without a GPU or without kernels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float16")
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA GPU here: nothing to measure", file=sys.stderr)
        return 1
    if not kernels_ready():
        print(f"the kernels are not in use: {failure() or f'{ENVIRONMENT}=torch'}", file=sys.stderr)
        return 1
    device, dtype = torch.device("cuda"), getattr(torch, options.dtype)
    print(f"{torch.cuda.get_device_name()}, batch {options.batch}, {options.dtype}")
    bench_operations(options, dtype, device)
    bench_generator(options, dtype, device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
