"""Time the generator against its floor: the same convolutions alone, with nothing between them.

    python benchmarks/generator.py --sizes 256 1024 --batch 1 --repeats 5

The floor runs one ordinary 3x3 or 1x1 convolution (a stride-2 transposed one where the layer
doubles the size) per layer, on tensors of the right sizes made beforehand. The sum of
their best times is what no arrangement of the rest can beat, so the ratio is what modulation,
filters, noise and activations cost. Both are timed in turn, so that a busy machine slows them alike.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops import ops_backend
from stylegan_swap.models.generator import Generator

Call = Callable[[], object]


def floor_calls(network: Generator, batch: int, dtype: torch.dtype, device: torch.device) -> list[Call]:
    """One call per convolution of the generator, inputs and weights made beforehand."""
    c = network.channels
    calls: list[Call] = []

    def tensor(channels: int, side: int) -> Tensor:
        x = torch.randn(batch, channels, side, side, device=device, dtype=dtype)
        return x.contiguous(memory_format=torch.channels_last)

    def plain(inner: int, out: int, kernel: int, side: int) -> None:
        weight = torch.randn(out, inner, kernel, kernel, device=device, dtype=dtype)
        x = tensor(inner, side)
        calls.append(lambda: F.conv2d(x, weight, padding=kernel // 2))

    def up(inner: int, out: int, side: int) -> None:
        weight = torch.randn(inner, out, 3, 3, device=device, dtype=dtype)
        x = tensor(inner, side)
        calls.append(lambda: F.conv_transpose2d(x, weight, stride=2))

    plain(c[4], c[4], 3, 4)
    plain(c[4], 3, 1, 4)
    for r in network.resolutions[1:]:
        up(c[r // 2], c[r], r // 2)
        plain(c[r], c[r], 3, r)
        plain(c[r], 3, 1, r)
    return calls


def seconds(call: Call, device: torch.device) -> float:
    """Wall-clock time of one call, the device's queue included."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


@torch.inference_mode()
def measure(
    size: int, dtype: torch.dtype, batch: int, repeats: int, device: torch.device
) -> tuple[float, float]:
    """Best time of the generator and of its floor, in seconds."""
    torch.manual_seed(0)
    network = Generator(size).eval().to(device, dtype)
    wplus = torch.randn(batch, network.n_latent, network.style_dim, device=device)
    calls = floor_calls(network, batch, dtype, device)

    def generate() -> object:
        return network(wplus, return_features=False)

    generate()
    for call in calls:
        call()
    whole: list[float] = []
    bare: list[list[float]] = []
    for _ in range(repeats):
        whole.append(seconds(generate, device))
        bare.append([seconds(call, device) for call in calls])
    return min(whole), sum(min(times) for times in zip(*bare, strict=True))


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description="Time the generator against its convolutions alone.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024])
    parser.add_argument(
        "--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"]
    )
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: torch's own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, batch {options.batch}")
    print(ops_backend())
    print(f"{'size':>5} {'dtype':>9} {'generator s':>12} {'floor s':>9} {'ratio':>6} {'images/s':>9}")
    for size in options.sizes:
        for name in options.dtypes:
            whole, bare = measure(size, getattr(torch, name), options.batch, options.repeats, device)
            print(
                f"{size:>5} {name:>9} {whole:>12.3f} {bare:>9.3f} {whole / bare:>6.2f} "
                f"{options.batch / whole:>9.2f}"
            )


if __name__ == "__main__":
    main()
