"""The timing scripts run, print what their headings say, and write it as CSV."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path

import pytest
import torch

from stylegan_swap.evaluation.bench.swap import SwapTimes

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.append(BENCHMARKS)

import bench_generator  # noqa: E402
import bench_ops  # noqa: E402
import bench_swap  # noqa: E402


@pytest.fixture
def quiet(monkeypatch):
    """No bandwidth to measure, and the process's allocator and threads left alone."""
    for module in (bench_generator, bench_ops, bench_swap):
        monkeypatch.setattr(module, "keep_freed_memory", lambda: True)
        monkeypatch.setattr(module, "copy_bandwidth", lambda device: 1e10, raising=False)


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_generator(quiet, tmp_path, capsys):
    arguments = ["--sizes", "8", "--batches", "1", "2", "--rounds", "1", "--no-megafs", "--no-memory"]
    bench_generator.main([*arguments, "--csv", str(tmp_path / "g.csv")])
    printed = capsys.readouterr().out
    rows = read(tmp_path / "g.csv")
    kinds = ["ours float32", "floor float32", "textbook float32", "single-channel float32"]
    kinds += ["ours bfloat16", "floor bfloat16"]
    for batch in ("1", "2"):
        part = [row for row in rows if row["batch"] == batch]
        assert [f"{row['what'].removeprefix('generator ')} {row['dtype']}" for row in part] == [
            kind for kind in kinds if batch == "1" or not kind.startswith("single")
        ]
        floors = {row["dtype"]: float(row["best_s"]) for row in part if row["what"].endswith("floor")}
        textbook = next(float(row["best_s"]) for row in part if row["what"].endswith("textbook"))
        for row in part:
            best = float(row["best_s"])
            assert float(row["textbook_over"]) == pytest.approx(textbook / best, rel=0.02)
            if row["what"].endswith("ours"):
                assert float(row["over_floor"]) == pytest.approx(best / floors[row["dtype"]], rel=0.02)
    assert "over_floor" in printed and "10.0 GB/s" in printed
    assert all(row["copy_gb_s"] == "10" and row["torch"] == torch.__version__ for row in rows)


def test_megafs_shape(quiet, monkeypatch, tmp_path):
    small = bench_generator.MegaFSConfig
    monkeypatch.setattr(
        bench_generator,
        "MegaFSConfig",
        lambda size: small(
            size=256, style_dim=16, max_channels=8, blocks=(1, 1, 1, 1, 1), planes=(4, 4, 4, 4, 4)
        ),
    )
    arguments = ["--sizes", "8", "--rounds", "1", "--no-memory", "--csv", str(tmp_path / "g.csv")]
    bench_generator.main(arguments)
    rows = [row for row in read(tmp_path / "g.csv") if row["what"].startswith("megafs")]
    assert [(row["what"], row["dtype"]) for row in rows] == [
        ("megafs ours", "float32"),
        ("megafs ours", "bfloat16"),
        ("megafs textbook", "float32"),
    ]
    assert float(rows[2]["textbook_over"]) == 1.0 and rows[0]["over_floor"] == ""


def test_memory_is_that_of_the_network(quiet, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        bench_generator, "memory_of", lambda script, arguments: asked.append((script, arguments)) or 123.0
    )
    rows = list(bench_generator.memory_rows([8]))
    assert [row["what"] for row in rows] == [
        *["memory ours"] * 2,
        *["memory ours, memory kept"] * 2,
        "memory textbook",
    ]
    # The script itself, in this process: it makes an image without an error.
    for script, arguments in asked:
        file = tmp_path / "measured.py"
        file.write_text(script, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["-c", *arguments])
        monkeypatch.setattr("stylegan_swap.files.allocator.keep_freed_memory", lambda: True)
        runpy.run_path(str(file))


def test_the_operations(quiet, tmp_path, capsys):
    arguments = ["--sides", "8", "--dtypes", "float32", "--rounds", "1"]
    bench_ops.main([*arguments, "--csv", str(tmp_path / "o.csv")])
    rows = read(tmp_path / "o.csv")
    assert [row["operation"] for row in rows] == [
        *("modulated conv", "up-convolution", "filter", "noise, bias, activation", "to RGB", "RGB doubled")
    ]
    assert all(float(row["best_ms"]) > 0 and float(row["gb_s"]) > 0 for row in rows)
    assert "textbook_over" in capsys.readouterr().out


def test_the_swap(quiet, monkeypatch, tmp_path, capsys):
    asked = {}
    times = SwapTimes(0.5, {"network": 0.5}, 3.0, {"import torch": 1.0, "sum": 2.9}, {"device": "cpu (x)"})
    monkeypatch.setattr(bench_swap, "time_swaps", lambda method, **options: (asked.update(options), times)[1])
    bench_swap.main(["--quick", "--device", "cpu", "--csv", str(tmp_path / "s.csv")])
    assert asked["rounds"] == 2 and asked["cold_rounds"] == 1 and asked["megapixels"] == 2.0
    assert [(row["swap"], row["stage"], row["seconds"]) for row in read(tmp_path / "s.csv")] == [
        ("warm", "network", "0.5"),
        ("warm", "whole", "0.5"),
        ("cold", "import torch", "1"),
        ("cold", "sum", "2.9"),
        ("cold", "whole", "3"),
    ]
    assert "cpu (x)" in capsys.readouterr().out
