"""Time every operation of the generator against the textbook's form of it and against a copy of its result.

    python benchmarks/bench_ops.py [--quick] [--device cuda] [--csv benchmarks/results/ops.csv]

Per operation and layer size, in turn in one process: ours, the same by the textbook recipe (grouped
convolution, filters on their own, one pass per addition, channels first), and a copy of a tensor as large as
the result, which is what an operation bound by memory cannot beat. ``gb_s`` is what has to be read and
written at the least, over ours' time; beside it stands what a copy reaches on this device. About two minutes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops import modulated_conv2d, setup_filter, square_sum, upfirdn2d
from cuda_ops.finish import add_noise_and_activate
from cuda_ops.upfirdn2d import fir
from stylegan_swap.evaluation.bench.clock import Call, copy_bandwidth, describe_machine, in_turn
from stylegan_swap.evaluation.table import Row, lines_of, write_csv
from stylegan_swap.files.allocator import keep_freed_memory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
QUICK, USUAL = (128,), (64, 256, 1024)
ROOT_TWO = math.sqrt(2)


class Layer:
    """Inputs of the layers of one side: ours channels last, the textbook's channels first."""

    def __init__(self, side: int, batch: int, dtype: torch.dtype, device: str) -> None:
        stream = torch.Generator().manual_seed(side)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=stream).to(device, dtype)

        self.side, self.batch = side, batch
        self.channels = 512 if side <= 64 else 32768 // side
        wider = min(512, 2 * self.channels)
        self.x = draw(batch, self.channels, side, side)
        self.small = draw(batch, wider, side // 2, side // 2)
        self.odd = draw(batch, self.channels, side + 1, side + 1)
        self.rgb = draw(batch, 3, side // 2, side // 2)
        self.noise = draw(1, 1, side, side)
        self.weight = draw(self.channels, self.channels, 3, 3)
        self.up_weight = draw(self.channels, wider, 3, 3)
        self.rgb_weight = draw(3, self.channels, 1, 1)
        self.style, self.up_style = draw(batch, self.channels), draw(batch, wider)
        self.bias = draw(self.channels)
        self.taps = setup_filter([1.0, 3.0, 3.0, 1.0], gain=4, separable=False, device=device)
        self.squares, self.up_squares = square_sum(self.weight), square_sum(self.up_weight)

    def operations(self) -> Iterator[tuple[str, Call, Call, Tensor, int]]:
        """Name, ours, the textbook's, a tensor like the result, and the least bytes read and written."""
        x, small, odd, rgb = (_last(t) for t in (self.x, self.small, self.odd, self.rgb))
        size = self.x.numel() * self.x.element_size()
        yield (
            "modulated conv",
            lambda: modulated_conv2d(x, self.weight, self.style, weight_square_sum=self.squares),
            lambda: grouped(self.x, self.weight, self.style),
            x,
            2 * size,
        )
        yield (
            "up-convolution",
            lambda: modulated_conv2d(
                small,
                self.up_weight,
                self.up_style,
                up=2,
                resample_filter=self.taps,
                weight_square_sum=self.up_squares,
            ),
            lambda: filtered(grouped(self.small, self.up_weight, self.up_style, up=True), self.taps, (1, 1)),
            x,
            size + self.small.numel() * self.small.element_size(),
        )
        yield (
            "filter",
            lambda: fir(odd, self.taps, (1, 1, 1, 1)),
            lambda: filtered(self.odd, self.taps, (1, 1)),
            x,
            2 * size,
        )
        # Both write where they please: the values grow, the time does not change.
        library_call, reference_call = x.clone(), self.x.clone()
        yield (
            "noise, bias, activation",
            lambda: add_noise_and_activate(library_call, self.noise),
            lambda: (
                F.leaky_relu(reference_call + 0.1 * self.noise + self.bias.view(1, -1, 1, 1), 0.2) * ROOT_TWO
            ),
            x,
            2 * size,
        )
        yield (
            "to RGB",
            lambda: modulated_conv2d(x, self.rgb_weight, self.style, demodulate=False),
            lambda: grouped(self.x, self.rgb_weight, self.style, demodulate=False),
            x[:, :3],
            size,
        )
        yield (
            "RGB doubled",
            lambda: upfirdn2d(rgb, self.taps, up=2, padding=(2, 1, 2, 1)),
            lambda: filtered(_with_zeros(self.rgb), self.taps, (2, 1)),
            x[:, :3],
            5 * self.rgb.numel() * self.rgb.element_size(),
        )


def grouped(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool = True, up: bool = False) -> Tensor:
    """Modulated convolution with weights per sample, as the paper's appendix has it."""
    batch, inner, height, width = x.shape
    out, kernel = weight.shape[0], weight.shape[2]
    kernels = weight[None] * style.view(batch, 1, inner, 1, 1)
    if demodulate:
        kernels = kernels * torch.rsqrt(kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    x = x.reshape(1, batch * inner, height, width)
    if up:
        kernels = kernels.transpose(1, 2).reshape(batch * inner, out, kernel, kernel)
        return F.conv_transpose2d(x, kernels, stride=2, groups=batch).view(
            batch, out, 2 * height + 1, 2 * width + 1
        )
    kernels = kernels.reshape(batch * out, inner, kernel, kernel)
    return F.conv2d(x, kernels, padding=kernel // 2, groups=batch).view(batch, out, height, width)


def filtered(x: Tensor, taps: Tensor, pad: tuple[int, int]) -> Tensor:
    """Pad, then one depth-wise convolution."""
    kernel = taps.to(x).flip((0, 1))[None, None].expand(x.shape[1], -1, -1, -1)
    return F.conv2d(F.pad(x, (*pad, *pad)), kernel, groups=x.shape[1])


def _with_zeros(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    wide = F.pad(x.view(batch, channels, height, 1, width, 1), (0, 1, 0, 0, 0, 1))
    return wide.reshape(batch, channels, 2 * height, 2 * width)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def rows(side: int, dtype: str, options: argparse.Namespace) -> Iterator[Row]:
    layer = Layer(side, options.batch, DTYPES[dtype], options.device)
    for name, library_call, reference_call, like, least in layer.operations():
        source, target = like.contiguous(), torch.empty_like(like.contiguous())
        calls = {
            "ours": library_call,
            "textbook": reference_call,
            "copy": lambda s=source, t=target: t.copy_(s),
        }
        timings = in_turn(calls, device=options.device, rounds=options.rounds, seconds=options.seconds)
        mine = timings["ours"]
        yield {
            "operation": name,
            "side": side,
            "channels": layer.channels,
            "batch": options.batch,
            "dtype": dtype,
            "median_ms": 1e3 * mine.median,
            "best_ms": 1e3 * mine.best,
            "cpu_ms": 1e3 * mine.cpu_best,
            "textbook_over": timings["textbook"].best / mine.best,
            "textbook_over_cpu": timings["textbook"].cpu_best / max(mine.cpu_best, 1e-9),
            "over_copy": mine.best / timings["copy"].best,
            "gb_s": least / mine.best / 1e9,
        }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one layer size")
    parser.add_argument("--sides", type=int, nargs="+")
    parser.add_argument("--dtypes", nargs="+", choices=tuple(DTYPES), default=list(DTYPES))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="per operation, after two rounds")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: torch's own choice")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    machine = describe_machine(options.device)
    bandwidth = copy_bandwidth(options.device) / 1e9
    print(", ".join(f"{name}: {value}" for name, value in machine.items()))
    print(f"copy: {bandwidth:.1f} GB/s read and written", flush=True)
    table: list[Row] = []
    with torch.inference_mode():
        for dtype in options.dtypes:
            for side in options.sides or (QUICK if options.quick else USUAL):
                new = list(rows(side, dtype, options))
                table += new
                print("\n".join(lines_of(new)) + "\n", flush=True)
    if options.csv:
        write_csv(options.csv, [{**row, **machine, "copy_gb_s": bandwidth} for row in table])


if __name__ == "__main__":
    main()
