"""The benchmark's own parts: its clock, floor, tables, stages, and the command."""

from __future__ import annotations

import csv
import sys
import time
import types

import pytest
import torch
from typer.testing import CliRunner

from stylegan_swap.cli.main import app
from stylegan_swap.evaluation.bench import clock, short, swap
from stylegan_swap.evaluation.bench.clock import copy_bandwidth, describe_machine, in_turn, memory_of
from stylegan_swap.evaluation.bench.generator import floor_calls, layers_of, random_generator
from stylegan_swap.evaluation.bench.swap import SwapTimes, time_swaps, write_photos
from stylegan_swap.evaluation.table import cell, lines_of, write_csv
from stylegan_swap.images.photo import read_photo

CPU = torch.device("cpu")


def test_calls_are_timed_in_turn():
    order = []
    calls = {"fast": lambda: order.append("fast"), "slow": lambda: (order.append("slow"), time.sleep(0.02))}
    timings = in_turn(calls, rounds=3)
    assert order == ["fast", "slow"] * 4
    slow = timings["slow"]
    assert len(slow.wall) == len(slow.cpu) == 3
    assert slow.best >= 0.02 > slow.cpu_best
    assert slow.best <= slow.median <= max(slow.wall)
    assert timings["fast"].best < slow.best


def test_the_budget_ends_the_rounds():
    count = []
    in_turn({"call": lambda: count.append(1)}, rounds=100, seconds=0.0, warm_up=False)
    assert len(count) == 2
    with pytest.raises(ValueError, match="0 calls"):
        in_turn({})


def test_the_floor_has_every_convolution_and_nothing_else(monkeypatch):
    network = random_generator(8)
    layers = layers_of(network)
    convolutions = sum(1 for name, _ in network.named_modules() if name.endswith(".conv"))
    assert len(layers) == convolutions
    assert layers[:3] == [("conv", 4, 512, 512), ("rgb", 4, 512, 3), ("up", 4, 512, 512)]
    seen = []
    for name in ("conv2d", "conv_transpose2d", "linear"):
        original = getattr(torch.nn.functional, name)
        monkeypatch.setattr(
            torch.nn.functional, name, lambda *a, o=original, **k: (seen.append(1), o(*a, **k))[1]
        )
    calls = floor_calls(network, 2, torch.float32, CPU)
    seen.clear()
    results = [call() for call in calls]
    assert len(seen) == len(layers)
    for (kind, side, _, out), result in zip(layers, results, strict=True):
        assert result.numel() == 2 * out * (2 * side + 1 if kind == "up" else side) ** 2


def test_random_generators():
    before = torch.get_rng_state()
    first, second = random_generator(8), random_generator(8)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.conv1.conv.weight, second.conv1.conv.weight)
    assert first.conv1.noise.weight.item() != 0 and not first.conv1.noise.weight.requires_grad
    assert random_generator(8, torch.bfloat16).input.input.dtype == torch.bfloat16


def test_tables(tmp_path):
    rows = [{"a": 1, "b": 0.123456}, {"a": 1234.6, "c": "x"}]
    assert lines_of(rows) == ["   a      b", "   1  0.123", "1235       "]
    assert lines_of([]) == []
    assert [cell(v) for v in (None, 2.0, 1e-5, "w")] == ["", "2", "1e-05", "w"]
    write_csv(tmp_path / "t.csv", rows)
    with open(tmp_path / "t.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"a": "1", "b": "0.123", "c": ""},
            {"a": "1235", "b": "", "c": "x"},
        ]


def test_the_machine(monkeypatch):
    monkeypatch.setattr(clock, "_COPY_MIB", 2)
    machine = describe_machine("cpu")
    assert machine["device"].startswith("cpu (") and machine["torch"] == torch.__version__
    assert int(machine["threads"]) >= 1
    assert 1e8 < copy_bandwidth() < 1e13


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_memory_of_a_process_of_its_own():
    ballast = bytearray(200 * 2**20)
    small = memory_of("pass")
    large = memory_of("import sys\nx = b'1' * (int(sys.argv[1]) * 2**20)", ["120"])
    del ballast
    assert small < 100 and 115 < large - small < 140
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        memory_of("1 / 0")


def test_stages_add_up_and_leave_no_trace(tiny_checkpoint, tmp_path):
    from stylegan_swap.swapping import swapper

    before = swapper.read_photo, swapper.paste_back
    times = time_swaps(str(tiny_checkpoint), device="cpu", megapixels=0.3, rounds=1, cold_rounds=0)
    assert (swapper.read_photo, swapper.paste_back) == before
    expected = {"decode", "detection", "landmarks", "align", "network", "paste", "encode", "other"}
    assert expected <= set(times.warm_stages)
    assert sum(times.warm_stages.values()) == pytest.approx(times.warm)
    assert all(value >= 0 for value in times.warm_stages.values())
    assert times.cold is None and times.machine["device"].startswith("cpu")


def test_nested_calls_count_once(monkeypatch):
    now = [0.0]
    module = types.SimpleNamespace(inner=lambda: now.__setitem__(0, now[0] + 5))

    def outer():
        now[0] += 2
        module.inner()
        module.inner()
        now[0] += 1

    module.outer = outer
    monkeypatch.setattr(swap.time, "perf_counter", lambda: now[0])
    with swap.timed_stages([(module, "outer", "outer"), (module, "inner", "inner")]) as seconds:
        module.outer()
        module.inner()
    assert seconds == {"inner": 15.0, "outer": 3.0}
    assert module.outer is outer


def test_photos_of_two_megapixels(tmp_path):
    for path in write_photos(tmp_path, 2.0):
        height, width = read_photo(path).pixels.shape[:2]
        assert height * width == pytest.approx(2e6, rel=0.01)


def test_a_cold_swap(tiny_checkpoint, tmp_path):
    """One fresh interpreter: the measured command and its stages are one program."""
    identity, attribute = write_photos(tmp_path, 0.3)
    laps = swap.cold_stages(identity, attribute, method=str(tiny_checkpoint), device="cpu")
    assert {"import torch", "weights", "network", "encode"} <= set(laps)
    assert sum(value for name, value in laps.items() if name != "sum") == pytest.approx(laps["sum"], rel=0.01)
    with pytest.raises(RuntimeError, match="no such"):
        swap.cold_command(tmp_path / "no such.jpg", attribute, method="warp")


def test_the_command(monkeypatch, tmp_path):
    times = SwapTimes(
        0.5, {"network": 0.4, "other": 0.1}, 3.0, {"import torch": 1.0, "network": 1.5, "sum": 2.9}
    )
    monkeypatch.setattr(short, "time_swaps", lambda *a, **k: times)
    monkeypatch.setattr(short, "copy_bandwidth", lambda device: 1e10)
    threads = torch.get_num_threads()
    done = CliRunner().invoke(
        app, ["bench", "--size", "16", "--rounds", "1", "--device", "cpu", "--csv", str(tmp_path / "b.csv")]
    )
    assert done.exit_code == 0, done.output
    for word in ("float32", "bfloat16", "over_floor", "10.0 GB/s", "import torch", "network"):
        assert word in done.output
    assert torch.get_num_threads() == threads
    with open(tmp_path / "b.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["dtype"] for row in rows} == {"float32", "bfloat16", ""}
    assert [row["warm_s"] for row in rows if row["stage"] == "whole"] == ["0.5"]
    assert all(float(row["best_s"]) > 0 for row in rows if row["dtype"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "100"], "power of two"),
        (["--device", "gpu"], "unknown device"),
        (["--csv", "nowhere/b.csv"], "the folder does not exist"),
    ],
)
def test_errors_of_the_command(arguments, message):
    done = CliRunner().invoke(app, ["bench", "--no-swap", *arguments])
    assert message in str(done.exception)
