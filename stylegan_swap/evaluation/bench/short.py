"""The short benchmark for a user's machine: `stylegan-swap bench`.

The generator in each precision against its convolutions alone, and a whole swap with its stages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from stylegan_swap.errors import ImageWriteError, UnsupportedOptionError, os_errors_as
from stylegan_swap.evaluation.bench.clock import Call, copy_bandwidth, describe_machine, in_turn
from stylegan_swap.evaluation.bench.generator import floor_call, random_generator
from stylegan_swap.evaluation.bench.swap import SwapTimes, time_swaps
from stylegan_swap.evaluation.table import Row, lines_of, write_csv
from stylegan_swap.nn.device import choose_device

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def run_short(
    size: int,
    *,
    rounds: int = 5,
    device: str = "auto",
    method: str = "default",
    threads: int = 0,
    with_swap: bool = True,
    csv: Path | None = None,
) -> Iterator[str]:
    """Measure, and yield the lines to print as they come.

    Args:
        size: side of the generator, a power of two from 8.
        rounds: the most rounds per call.
        device: see ``swap``.
        method: whose swap is timed.
        threads: of torch for the time of the run; 0 leaves them.
        with_swap: whether whole swaps are timed.
        csv: file for the numbers.

    Raises:
        UnsupportedOptionError: a size or device that does not exist.
        ImageWriteError: the CSV file cannot be written.
    """
    torch_device = choose_device(device)
    if size < 8 or size & (size - 1):
        raise UnsupportedOptionError(f"a generator's size is a power of two from 8 on, got {size}: use 256")
    if csv is not None and not csv.resolve().parent.is_dir():
        raise ImageWriteError(f"{csv}: the folder does not exist; create it first")
    threads_before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        machine = describe_machine(torch_device)
        yield ", ".join(f"{name}: {value}" for name, value in machine.items())
        yield f"copy: {copy_bandwidth(torch_device) / 1e9:.1f} GB/s read and written"
        rows = generator_rows(size, rounds, torch_device)
        yield from ("", f"generator of {size} pixels, random weights, one image at a time:", *lines_of(rows))
        if with_swap:
            times = time_swaps(method, device=device, rounds=rounds, cold_rounds=1)
            stage_rows = swap_rows(times)
            rows += stage_rows
            yield from (
                "",
                f"a swap with method {method}, JPEG photos of 2 megapixels:",
                *lines_of(stage_rows),
            )
        if csv is not None:
            with os_errors_as(ImageWriteError, csv, "could not be written", "choose another"):
                write_csv(csv, [{**row, **machine} for row in rows])
            yield f"\n{csv}"
    finally:
        torch.set_num_threads(threads_before)


def generator_rows(size: int, rounds: int, device: torch.device) -> list[Row]:
    """The generator in each precision; ``over_floor`` is its time over that of its convolutions alone."""
    calls: dict[str, Call] = {}
    for name, dtype in DTYPES.items():
        network = random_generator(size, dtype, device).for_inference()
        wplus = torch.randn(1, network.n_latent, network.style_dim).to(device, dtype)
        calls[name] = lambda n=network, w=wplus: n(w, return_features=False)  # type: ignore[misc]
        calls[f"floor {name}"] = floor_call(network, 1, dtype, device)
    with torch.inference_mode():
        timings = in_turn(calls, device=device, rounds=rounds)
    return [
        {
            "dtype": name,
            "median_s": timings[name].median,
            "best_s": timings[name].best,
            "images_per_s": 1 / timings[name].best,
            "over_floor": timings[name].best / timings[f"floor {name}"].best,
        }
        for name in DTYPES
    ]


def swap_rows(times: SwapTimes) -> list[Row]:
    """Stage by stage, warm beside cold."""
    names = list(dict.fromkeys([*times.cold_stages, *times.warm_stages]))
    names = [name for name in names if name != "sum"]
    rows: list[Row] = [
        {"stage": name, "warm_s": times.warm_stages.get(name), "cold_s": times.cold_stages.get(name)}
        for name in names
    ]
    return [*rows, {"stage": "whole", "warm_s": times.warm, "cold_s": times.cold}]
