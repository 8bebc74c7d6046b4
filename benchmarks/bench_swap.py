"""Time a whole swap of two-megapixel JPEG photographs: warm, with a prepared identity, and cold.

    python benchmarks/bench_swap.py [--quick] [--csv benchmarks/results/swap.csv]

Warm: photo file in, result file out, in a process that has swapped before. Cold: the command
``stylegan-swap swap a.jpg b.jpg`` from the start of the interpreter to its end. Both with their stages. The
photos are the two of ``stylegan-swap demo``, enlarged. About one minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stylegan_swap.evaluation.bench.swap import SwapTimes, time_swaps
from stylegan_swap.evaluation.table import Row, lines_of, write_csv
from stylegan_swap.files.allocator import keep_freed_memory


def rows_of(times: SwapTimes) -> list[Row]:
    """One row for each stage and sum."""
    rows: list[Row] = []
    for kind, stages, total in (
        ("warm", times.warm_stages, times.warm),
        ("cold", times.cold_stages, times.cold),
    ):
        rows += [{"swap": kind, "stage": name, "seconds": value} for name, value in stages.items()]
        if total is not None:
            rows.append({"swap": kind, "stage": "whole", "seconds": total})
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two warm rounds and one cold")
    parser.add_argument("--method", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    keep_freed_memory()
    times = time_swaps(
        options.method,
        device=options.device,
        dtype=options.dtype,
        megapixels=options.megapixels,
        rounds=2 if options.quick else 10,
        cold_rounds=1 if options.quick else 3,
    )
    print(", ".join(f"{name}: {value}" for name, value in times.machine.items()))
    rows = rows_of(times)
    print("\n".join(lines_of(rows)))
    if options.csv:
        write_csv(options.csv, [{**row, **times.machine} for row in rows])


if __name__ == "__main__":
    main()
