"""Runs of a tiny stage: killed, stopped, spread over processes, carried elsewhere."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from stylegan_swap.errors import CheckpointError, TrainingError
from stylegan_swap.training.loop.portable import portable_load, portable_save
from stylegan_swap.training.loop.run import train
from stylegan_swap.training.stages import build_stage
from tests.training.toy import ToyStage, losses_of, run_toy, toy_config

# Children come from a process that has imported everything and started no thread.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.training.toy"])


def start(out: Path, **settings):
    child = PROCESSES.Process(target=run_toy, args=(out, settings))
    child.start()
    return child


def wait_until(condition, child) -> None:
    """Waits for something a child does; fails if it ends without."""
    while not condition():
        assert child.is_alive() or condition(), f"the run ended by itself: {child.exitcode}"
        time.sleep(0.01)


def state_of(out: Path):
    return torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)


def same(first, second) -> bool:
    """Whether two nested states are equal, bit by bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return set(first) == set(second) and all(same(value, second[key]) for key, value in first.items())
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("reference")
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    # Sums depend on the number of threads, and the runs that are killed have one.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        outcome = train(toy_config(), out)
    finally:
        torch.set_num_threads(threads)
    assert not outcome.interrupted
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return out


def test_the_folder_of_a_run(reference):
    files = {str(path.relative_to(reference)) for path in reference.rglob("*") if path.is_file()}
    sheets = {f"sheets/{name}.png" for name in ("00000000", "00000040", "00000080", "00000100", "latest")}
    kept = {"checkpoints/last.ckpt", "weights/model.safetensors", "weights/config.json"}
    assert files >= {"config.yaml", "history.csv", "portable.safetensors", *sheets, *kept}
    rows = losses_of(reference)
    assert [row["images"] for row in rows] == ["12", "24", "36", "40", "48", "60", "72", "80", "84", "96"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert rows[3]["measure/weight"] and not rows[3]["loss"]


def test_nothing_is_left_to_do(reference):
    before = (reference / "history.csv").read_bytes()
    outcome = train(toy_config(), reference)
    assert int(outcome.stage.images_seen) == 100
    assert (reference / "history.csv").read_bytes() == before


def test_killed_anywhere_and_gone_on(reference, tmp_path):
    draws = random.Random()
    for _ in range(2):
        child = start(tmp_path, options__slow_seconds=0.15)
        wait_until((tmp_path / "checkpoints" / "last.ckpt").is_file, child)
        time.sleep(draws.uniform(0, 0.6))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    outcome = train(toy_config(), tmp_path)
    assert isinstance(outcome.stage, ToyStage)
    assert 0 < len(outcome.stage.indices) < 25, "it went on, and not from the start"
    assert losses_of(tmp_path) == losses_of(reference)
    ours, theirs = state_of(tmp_path), state_of(reference)
    assert same(ours["model"], theirs["model"])
    assert same(ours["optimisers"], theirs["optimisers"])
    assert same(ours["averages"], theirs["averages"])


def test_killed_in_the_middle_of_saving(reference, tmp_path):
    child = start(tmp_path, options__kill_while_saving_at=60)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert int(state_of(tmp_path)["model"]["images_seen"]) == 40
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2, "the half is there"
    outcome = train(toy_config(), tmp_path)
    assert isinstance(outcome.stage, ToyStage) and outcome.stage.indices[0] == [40, 41, 42, 43]
    assert losses_of(tmp_path) == losses_of(reference)
    assert same(state_of(tmp_path)["model"], state_of(reference)["model"])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(reference, tmp_path, number):
    child = start(tmp_path, options__slow_seconds=0.15, run__checkpoint_every=0, run__workers=1)
    wait_until(lambda: (tmp_path / "history.csv").is_file() and losses_of(tmp_path), child)
    os.kill(child.pid, number)
    child.join()
    assert child.exitcode == 130
    seen = int(state_of(tmp_path)["model"]["images_seen"])
    assert 0 < seen < 100
    outcome = train(toy_config(), tmp_path)
    assert isinstance(outcome.stage, ToyStage) and outcome.stage.indices[0][0] == seen
    assert losses_of(tmp_path) == losses_of(reference)


def start_two(out: Path, **settings):
    """Two processes of one run, as torchrun would start them, talking over the loopback device."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    known = {"GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    known |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "0"}
    return [
        start(out, devices=2, environment={**known, "RANK": rank, "LOCAL_RANK": rank}, **settings)
        for rank in ("0", "1")
    ]


def test_a_batch_spread_over_two_processes(tmp_path):
    """Two processes do what one does with twice the batch, up to the order of sums."""
    changes = {"options__noise": 0.0, "network__norm": False, "run__sheet_every": 0}
    children = start_two(tmp_path / "two", run__batch=4, **changes)
    alone = train(toy_config(run__batch=8, **changes), tmp_path / "one")
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    state = state_of(tmp_path / "two")["model"]
    assert int(state["images_seen"]) == 104
    for name, value in alone.stage.state_dict().items():
        if name != "mean":  # Each process has its own.
            torch.testing.assert_close(
                state[name], value, rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )
    for ours, theirs in zip(losses_of(tmp_path / "two"), losses_of(tmp_path / "one"), strict=True):
        assert {key: float(value or 0) for key, value in ours.items()} == pytest.approx(
            {key: float(value or 0) for key, value in theirs.items()}, abs=1e-5
        )


def test_a_signal_to_one_process_stops_all(tmp_path):
    children = start_two(tmp_path, options__slow_seconds=0.05, run__images=4000, run__checkpoint_every=0)
    wait_until(lambda: (tmp_path / "history.csv").is_file() and losses_of(tmp_path), children[0])
    os.kill(children[1].pid, signal.SIGTERM)
    for child in children:
        child.join()
    # The second has nothing to tell: a launcher would take its code for a crash and end the first.
    assert [child.exitcode for child in children] == [130, 0]
    assert 0 < int(state_of(tmp_path)["model"]["images_seen"]) < 4000


@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_before_the_first_step_stops_at_once(tmp_path, processes):
    settings = {"options__slow_data_seconds": 60.0}
    children = start_two(tmp_path, **settings) if processes == 2 else [start(tmp_path, **settings)]
    wait_until((tmp_path / "config.yaml").is_file, children[0])
    time.sleep(0.5)
    began = time.monotonic()
    for child in children:
        os.kill(child.pid, signal.SIGTERM)
    for child in children:
        child.join()
    assert time.monotonic() - began < 40
    assert children[0].exitcode in (130, -signal.SIGTERM)
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_a_folder_with_a_run_is_not_begun_anew(reference, tmp_path):
    with pytest.raises(TrainingError, match="holds a run already"):
        train(toy_config(), reference, resume=None)
    outcome = train(toy_config(run__images=8), tmp_path, resume=None)
    assert int(outcome.stage.images_seen) == 8


def test_going_on_from_a_checkpoint_elsewhere(reference, tmp_path):
    outcome = train(toy_config(run__images=108), tmp_path, resume=reference / "checkpoints" / "last.ckpt")
    assert isinstance(outcome.stage, ToyStage) and len(outcome.stage.indices) == 2


class Harmful:
    def __reduce__(self):
        return (os.system, ("touch harm",))


def test_bad_checkpoints_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "some.ckpt"
    for content, match in (
        (None, "no such checkpoint"),
        (b"", "empty"),
        (b"rubbish" * 100, "neither a PyTorch file"),
        ({"model": 3}, "no checkpoint of a training run"),
        ({"harm": Harmful()}, "refused"),
    ):
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif content is not None:
            torch.save(content, file, pickle_module=pickle)
        with pytest.raises(CheckpointError, match=match) as caught:
            train(toy_config(), tmp_path / "out", resume=file)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "harm").exists()


def test_checkpoints_that_do_not_fit_are_refused(reference, tmp_path):
    file = reference / "checkpoints" / "last.ckpt"
    with pytest.raises(CheckpointError, match="do not fit ToyStage"):
        train(toy_config(network__norm=False), tmp_path, resume=file)
    state = torch.load(file, weights_only=True)
    for key, value, match in (
        ("stage", "gan", "is of a 'gan' run, not 'toy'"),
        ("optimisers", {"network": {}}, r"has the optimisers \['network'\]"),
        ("format", 99, "another version"),
    ):
        torch.save({**state, key: value}, tmp_path / "other.ckpt")
        with pytest.raises(CheckpointError, match=match):
            train(toy_config(), tmp_path, resume=tmp_path / "other.ckpt")


def test_weights_that_are_no_numbers_are_not_saved(reference, tmp_path):
    from stylegan_swap.training.loop.checkpoint import save_checkpoint

    stage = build_stage(toy_config())
    save_checkpoint(stage, tmp_path / "last.ckpt", toy_config().to_dict())
    before = (tmp_path / "last.ckpt").read_bytes()
    with torch.no_grad():
        stage.critic.weight[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match=r"critic\.weight holds NaN"):
        save_checkpoint(stage, tmp_path / "last.ckpt", toy_config().to_dict())
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_portable_round_trip(reference, tmp_path):
    stage = build_stage(toy_config())
    portable_load(stage, reference / "portable.safetensors", "toy")
    state = state_of(reference)["model"]
    assert (int(stage.images_seen), int(stage.steps_done)) == (100, 25)
    for name, value in stage.critic.state_dict().items():
        assert torch.equal(value, state[f"critic.{name}"].half().float())
    portable_save(stage, tmp_path / "again.safetensors", "toy")
    other = build_stage(toy_config())
    portable_load(other, tmp_path / "again.safetensors", "toy")
    assert same(other.critic.state_dict(), stage.critic.state_dict())
    outcome = train(toy_config(run__images=108), tmp_path / "on", portable=reference / "portable.safetensors")
    assert isinstance(outcome.stage, ToyStage)
    assert outcome.stage.indices == [[100, 101, 102, 103], [104, 105, 106, 107]]


def test_bad_portable_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    stage = build_stage(toy_config())
    file = tmp_path / "portable.safetensors"
    portable_save(stage, file, "toy")
    with pytest.raises(CheckpointError, match="is of a 'toy' run, not 'gan'"):
        portable_load(stage, file, "gan")
    counts = {"run": json.dumps({"stage": "toy", "images_seen": 1, "steps_done": 1})}
    critic = {f"critic.{name}": value for name, value in stage.critic.state_dict().items()}
    for tensors, metadata, match in (
        (critic, None, "no portable file"),
        ({}, counts, "do not fit"),
        ({**critic, "other.weight": torch.zeros(1)}, counts, "holds other, which this stage has not"),
    ):
        save_file(tensors, file, metadata=metadata)
        with pytest.raises(CheckpointError, match=match):
            portable_load(stage, file, "toy")
    file.write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="missing, damaged"):
        portable_load(stage, file, "toy")
    with torch.no_grad():
        stage.critic.weight.fill_(1e6)
    with pytest.raises(CheckpointError, match=r"critic\.weight .* float16"):
        portable_save(stage, file, "toy")


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be written to"):
        train(toy_config(), tmp_path / "file" / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match=r"toy: run\.device: torch sees no CUDA GPU"):
        train(toy_config(run__device="cuda"), tmp_path)


def test_the_command(tmp_path, monkeypatch):
    from stylegan_swap.cli import main as cli
    from stylegan_swap.training import stages

    monkeypatch.setitem(stages.STAGES, "gan", "tests.training.toy:ToyStage")
    config = tmp_path / "c.yaml"
    config.write_text("data: {folder: x}\nrun: {workers: 0, device: cpu}\n", encoding="utf-8")
    out = tmp_path / "run"
    command = ["train", "gan", "--config", str(config), "--out", str(out), "--set", "run.batch=4"]

    def call(*more):
        return CliRunner().invoke(cli.app, [*command, *more])

    result = call("--set", "run.images=8")
    assert result.exit_code == 0, result.output
    assert "8 images seen" in result.output
    assert "12 images seen" in call("--set", "run.images=12").output
    assert isinstance(call("--no-resume").exception, TrainingError)
    assert call("--no-resume", "--checkpoint", "x").exit_code == 2
    assert "--start" in str(call("--portable", "x").exception)
