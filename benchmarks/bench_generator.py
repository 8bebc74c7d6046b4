"""Time the generator, and a network of MegaFS's shape, against the textbook and the convolutions alone.

    python benchmarks/bench_generator.py [--quick | --full] [--csv benchmarks/results/generator.csv]

In one process and in turn: (a) the same network by the textbook recipe (``benchmarks/textbook/``), at batch 1
also with the filter as several ports run it on a CPU (one single-channel convolution), (b) ours in each
precision, (c) the floor, which is one ordinary convolution per layer and nothing between them. Ratios
are of the best rounds; on a machine shared with others read those of processor time (``cpu``), taken with one
thread (``--threads 1``). Peak memory is that of a fresh process. About three minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from textbook.generator import TextbookGenerator
from textbook.megafs import TextbookMegaFS

from stylegan_swap.evaluation.bench.clock import (
    Call,
    Timing,
    copy_bandwidth,
    describe_machine,
    in_turn,
    memory_of,
)
from stylegan_swap.evaluation.bench.generator import floor_call, random_generator
from stylegan_swap.evaluation.table import Row, lines_of, write_csv
from stylegan_swap.files.allocator import keep_freed_memory
from stylegan_swap.methods.megafs.network import MegaFSConfig, MegaFSNetwork

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Sides and batch sizes of the three lengths of a run.
QUICK = ((256, 1),)
USUAL = ((256, 1), (512, 1), (1024, 1), (256, 4), (256, 8), (512, 4))
FULL = tuple((size, batch) for batch in (1, 4, 8) for size in (256, 512, 1024))

_MEMORY = """
import sys, torch
sys.path.insert(0, sys.argv[4])
from stylegan_swap.evaluation.bench.generator import random_generator
size, dtype = int(sys.argv[2]), getattr(torch, sys.argv[3])
if sys.argv[1] == "ours, memory kept":
    from stylegan_swap.files.allocator import keep_freed_memory
    keep_freed_memory()
network = random_generator(size, dtype)
wplus = torch.randn(1, network.n_latent, 512)
if sys.argv[1] == "textbook":
    from textbook.generator import TextbookGenerator
    call = TextbookGenerator(network)
else:
    network.for_inference()
    call = lambda w: network(w, return_features=False)
with torch.inference_mode():
    for _ in range(int(sys.argv[5])):
        call(wplus)
"""


def generator_rows(size: int, batch: int, options: argparse.Namespace) -> Iterator[Row]:
    """Ours in every precision, and the textbook's in float32, against the floors."""
    device = torch.device(options.device)
    calls: dict[str, Call] = {}
    for name, dtype in DTYPES.items():
        network = random_generator(size, dtype, device).for_inference()
        wplus = torch.randn(batch, network.n_latent, network.style_dim, device=device, dtype=dtype)
        calls[f"ours {name}"] = lambda n=network, w=wplus: n(w, return_features=False)
        calls[f"floor {name}"] = floor_call(network, batch, dtype, device)
        if dtype == torch.float32:
            # Its own copy: ours has its weights laid out anew.
            plain = random_generator(size, dtype, device)
            recipe = TextbookGenerator(plain)
            calls["textbook float32"] = lambda t=recipe, w=wplus: t(w)
            if batch == 1:
                slower = TextbookGenerator(plain, single_channel=True)
                calls["single-channel float32"] = lambda t=slower, w=wplus: t(w)
    with torch.inference_mode():
        timings = in_turn(
            calls, device=device, rounds=options.rounds, seconds=options.seconds, warm_up=batch == 1
        )
    for name, timing in timings.items():
        subject, dtype_name = name.split()
        floor = timings[f"floor {dtype_name}"] if subject != "floor" else None
        textbooks = timings["textbook float32"], timings.get("single-channel float32")
        yield row_of(f"generator {subject}", size, batch, dtype_name, timing, floor, *textbooks)


def megafs_rows(size: int, options: argparse.Namespace) -> Iterator[Row]:
    """Encoder, cells and generator of MegaFS's shape with random weights: one swap with prepared codes."""
    device = torch.device(options.device)
    torch.manual_seed(0)
    network = MegaFSNetwork(MegaFSConfig(size=size)).eval().requires_grad_(False).to(device)
    recipe = TextbookMegaFS(network)
    # Encoders run as methods run them: weights laid out channels last, bfloat16 by autocast.
    for parameter in network.encoder.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    photo = torch.rand(1, 3, 256, 256, device=device) * 2 - 1
    identity = torch.randn(1, network.config.n_latent, network.config.style_dim, device=device) * 0.1

    def swap(dtype: torch.dtype) -> object:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            return network(identity, network.encoder(photo))

    network.generator.for_inference()
    calls: dict[str, Call] = {f"ours {name}": lambda d=dtype: swap(d) for name, dtype in DTYPES.items()}
    calls["textbook float32"] = lambda: recipe(identity, photo)
    with torch.inference_mode():
        timings = in_turn(calls, device=device, rounds=options.rounds, seconds=options.seconds)
    for name, timing in timings.items():
        subject, dtype_name = name.split()
        yield row_of(f"megafs {subject}", size, 1, dtype_name, timing, None, timings["textbook float32"])


def row_of(
    subject: str,
    size: int,
    batch: int,
    dtype: str,
    timing: Timing,
    floor: Timing | None,
    textbook: Timing,
    single: Timing | None = None,
) -> Row:
    """One line of the table."""
    return {
        "what": subject,
        "size": size,
        "batch": batch,
        "dtype": dtype,
        "median_s": timing.median,
        "best_s": timing.best,
        "cpu_s": timing.cpu_best,
        "over_floor": timing.best / floor.best if floor else None,
        "over_floor_cpu": timing.cpu_best / floor.cpu_best if floor and floor.cpu_best else None,
        "textbook_over": textbook.best / timing.best,
        "textbook_over_cpu": textbook.cpu_best / timing.cpu_best if timing.cpu_best else None,
        "single_channel_over": single.best / timing.best if single else None,
        "single_channel_over_cpu": single.cpu_best / timing.cpu_best if single and timing.cpu_best else None,
        "rounds": len(timing.wall),
    }


def memory_rows(sizes: list[int]) -> Iterator[Row]:
    """Peak memory of a fresh process that loads torch, builds a network and makes images, one at a time."""
    folder = str(Path(__file__).parent)
    for size in sizes:
        for subject, dtype in (
            *(("ours", name) for name in DTYPES),
            *(("ours, memory kept", name) for name in DTYPES),
            ("textbook", "float32"),
        ):
            peak = memory_of(_MEMORY, [subject, str(size), dtype, folder, "3"])
            yield {"what": f"memory {subject}", "size": size, "batch": 1, "dtype": dtype, "peak_mib": peak}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="256 pixels, one image at a time")
    length.add_argument("--full", action="store_true", help="all sizes at batch 1, 4 and 8: half an hour")
    parser.add_argument("--sizes", type=int, nargs="+", help="only these, at every batch size")
    parser.add_argument("--batches", type=int, nargs="+", help="only these; 1 where sizes are given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="per configuration, after two rounds")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: torch's own choice")
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    parser.add_argument("--no-megafs", action="store_true", help="leave MegaFS's shape out")
    parser.add_argument("--free-memory", action="store_true", help="leave the allocator as it is")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    if not options.free_memory:
        keep_freed_memory()
    machine = describe_machine(options.device)
    print(", ".join(f"{name}: {value}" for name, value in machine.items()), flush=True)
    bandwidth = copy_bandwidth(options.device)
    print(f"copy: {bandwidth / 1e9:.1f} GB/s read and written", flush=True)
    plan = QUICK if options.quick else FULL if options.full else USUAL
    if options.sizes or options.batches:
        sizes = options.sizes or sorted({size for size, _ in plan})
        plan = tuple((size, batch) for batch in options.batches or [1] for size in sizes)
    largest = max(size for size, _ in plan)
    rows: list[Row] = []

    def show(batch_of_rows: Iterator[Row]) -> None:
        new = list(batch_of_rows)
        rows.extend(new)
        print("\n".join(lines_of(new)) + "\n", flush=True)

    for size, batch in plan:
        show(generator_rows(size, batch, options))
    if not options.no_megafs:
        show(megafs_rows(largest, options))
    if not options.no_memory and options.device == "cpu" and sys.platform.startswith("linux"):
        show(memory_rows([largest]))
    if options.csv:
        write_csv(options.csv, [{**row, **machine, "copy_gb_s": bandwidth / 1e9} for row in rows])


if __name__ == "__main__":
    main()
