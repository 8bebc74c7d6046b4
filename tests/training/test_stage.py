"""What the base of all stages promises: repeatable steps, averages, whole gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from stylegan_swap.errors import TrainingError
from stylegan_swap.training import stage as stage_module
from stylegan_swap.training.data.stream import Stretch, endless_loader
from stylegan_swap.training.loop.ema import copy_of, decay_of, move_average
from stylegan_swap.training.loop.gradients import INFINITE, finish_gradients
from stylegan_swap.training.loop.history import Averages, History
from stylegan_swap.training.seed import seed_everything
from stylegan_swap.training.stage import Stage
from stylegan_swap.training.stages import build_stage
from tests.training.toy import ToyStage, toy_config


def toy(**changes):
    stage = build_stage(toy_config(**changes))
    assert isinstance(stage, ToyStage)
    return stage


def batch_of(stage, first=0):
    return next(iter(endless_loader(stage.dataset(), stage.run_settings, first=first, **ALONE)))


ALONE = {"rank": 0, "processes": 1, "pinned": False}


def test_half_life_in_images():
    # 64 images of a half-life of 640: ten steps halve.
    assert decay_of(64, 10**6, 640, None) ** 10 == pytest.approx(0.5)
    assert decay_of(64, 1000, 640, 0.05) == pytest.approx(0.5 ** (64 / 50))
    assert decay_of(64, 10**6, 640, 0.05) == decay_of(64, 10**6, 640, None)
    # At the very first step nothing of the initial weights stays; a half-life of 0 means no average.
    assert decay_of(64, 0, 640, 0.05) == 0.0
    assert decay_of(64, 10**6, 0, None) == 0.0


def test_average_of_parameters_and_copy_of_buffers():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = copy_of(network)
    assert not average.training and not any(p.requires_grad for p in average.parameters())
    before = network[0].weight.detach().clone()
    with torch.no_grad():
        network[0].weight += 1
    network[1].running_mean.fill_(3.0)
    network[1].num_batches_tracked += 5
    move_average(average, network, 0.75)
    torch.testing.assert_close(average[0].weight, before + 0.25)
    assert average[1].running_mean.tolist() == [3.0, 3.0]
    assert int(average[1].num_batches_tracked) == 5
    assert torch.equal(network[0].weight, before + 1)


def test_ema_follows_the_ramp_in_a_run():
    stage = toy(run__ema_kimg=1.0, run__ema_rampup=0.5)
    _ = stage.ema
    weights = []
    for step in range(4):
        stage.training_step(batch_of(stage, 4 * step))
        weights.append(stage.network[0].weight.detach().clone())
    expected = weights[0]
    for step in range(1, 4):
        expected = expected.lerp(weights[step], 1 - 0.5 ** (4 / (0.5 * 4 * step)))
    torch.testing.assert_close(stage.ema["network"][0].weight, expected)
    assert stage.train().ema["network"].training is False and stage.network.training


def test_a_step_repeats_whatever_happened_before():
    losses = []
    for waste in (0, 7):
        stage = toy()
        torch.rand(waste)
        stage.training_step(batch_of(stage))
        torch.rand(waste)
        stage.training_step(batch_of(stage, 4))
        losses.append(stage.averages.take())
        assert (int(stage.images_seen), int(stage.steps_done)) == (8, 2)
    assert losses[0] == losses[1]
    other = toy(run__seed=1)
    other.training_step(batch_of(other))
    assert other.averages.take()["loss"] != losses[0]["loss"]


def test_seeds_reach_all_generators():
    import random

    import numpy as np

    def draws(*entropy):
        seed_everything(*entropy)
        return float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002

    assert draws(0, 1, 2) == draws(0, 1, 2)
    assert len({draws(0, 1, 2), draws(0, 1, 3), draws(0, 2, 2), draws(1, 1, 2)}) == 4


def test_gradients_that_are_no_numbers_are_repaired():
    parameter = nn.Parameter(torch.zeros(4))
    parameter.grad = torch.tensor([math.nan, math.inf, -math.inf, 2.0])
    without = nn.Parameter(torch.zeros(2))
    assert not finish_gradients([parameter, without]).isfinite()
    assert parameter.grad.tolist() == [0.0, INFINITE, -INFINITE, 2.0]
    assert without.grad is None
    parameter.grad = torch.tensor([3.0, 0.0, 0.0, 4.0])
    assert float(finish_gradients([parameter])) == 5.0
    assert parameter.grad.tolist() == [3.0, 0.0, 0.0, 4.0]
    assert float(finish_gradients([without])) == 0.0


def test_one_broken_step_does_no_harm_and_is_seen():
    stage = toy(options__nan_at=[0])
    stage.training_step(batch_of(stage))
    assert all(bool(p.isfinite().all()) for p in stage.parameters())
    logged = stage.averages.take()
    assert math.isnan(logged["loss"]) and not math.isfinite(logged["gradient_network"])
    stage.training_step(batch_of(stage, 4))
    assert math.isfinite(stage.averages.take()["loss"])


def test_broken_steps_running_end_the_run(monkeypatch):
    monkeypatch.setattr(stage_module, "MOST_BROKEN_STEPS", 3)
    stage = toy(options__nan_at=[0, 1, 3, 4, 5, 6])
    with pytest.raises(TrainingError, match=r"network: 3 steps running .* image 20"):
        for step in range(9):
            stage.training_step(batch_of(stage, 4 * step))


class Pair(Stage):
    """A generator and its critic, on the bare base."""

    def __init__(self, precision="float32"):
        super().__init__(toy_config(run__precision=precision).run)
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 1, bias=False)
        self.work = lambda batch: {}

    def optimizers_by_name(self):
        return {name: torch.optim.SGD(getattr(self, name).parameters(), 1.0) for name in ("first", "second")}

    def train_step(self, batch):
        return self.work(batch)


def test_minimise_touches_its_own_parameters_only():
    stage = Pair()
    x = torch.ones(1, 3)
    before = stage.first.weight.detach().clone()
    stage.minimise(stage.second(stage.first(x)).sum(), "first", every=3)
    # d loss / d first[i, j] = second[i], counted three times.
    torch.testing.assert_close(stage.first.weight, before - 3 * stage.second.weight.detach().T.expand(3, 3))
    assert stage.second.weight.grad is None


def test_several_passes_for_several_optimisers():
    stage = Pair()
    x = torch.ones(1, 3)
    first, second = stage.first.weight.detach().clone(), stage.second.weight.detach().clone()
    with stage.stepped("first", "second"):
        stage.backward_of(stage.first(x).sum())
        stage.backward_of(stage.second(x).sum())
        stage.backward_of(stage.second(x).sum())
    torch.testing.assert_close(stage.first.weight, first - 1)
    torch.testing.assert_close(stage.second.weight, second - 2)


def test_bfloat16_sees_new_weights_and_keeps_gradients():
    stage = Pair("bf16")
    x = torch.ones(1, 3)
    seen = {}

    def work(batch):
        # With autocast's cache this pass would cast the weights without a gradient for the whole step.
        with torch.no_grad():
            made = stage.first(x)
        assert made.dtype == torch.bfloat16
        stage.minimise(stage.second(made).sum(), "second")
        seen["critic"] = stage.second(torch.eye(3)).detach().float().flatten()
        stage.minimise(stage.first(x).sum(), "first")
        assert stage.first.weight.grad.dtype == torch.float32
        return {}

    stage.work = work
    before = stage.first.weight.detach().clone()
    stage.training_step({"x": x})
    assert not torch.equal(stage.first.weight, before)
    torch.testing.assert_close(seen["critic"], stage.second.weight.flatten(), atol=0.02, rtol=0.02)


def test_counts_stay_whole_on_the_cpu():
    stage = Pair()
    stage.images_seen += 2**30 + 1
    stage.half()
    assert stage.images_seen.dtype == torch.int64 and int(stage.images_seen) == 2**30 + 1
    assert stage.first.weight.dtype == torch.float16


def test_the_stream_goes_on_and_is_shared():
    run = toy_config().run

    def items(first, rank=0, processes=1, batch=4):
        return list(Stretch(first, run.images, batch, rank, processes))

    whole = items(0)
    assert whole[0] == [0, 1, 2, 3] and len(whole) == 25 and items(40) == whole[10:]
    assert items(100) == [] and len(items(97)) == 1
    shared = [a + b for a, b in zip(items(0, 0, 2), items(0, 1, 2), strict=True)]
    assert shared == items(0, batch=8)


def test_workers_give_the_same_items():
    stage = toy(run__workers=1, run__images=8)
    loader = endless_loader(stage.dataset(), stage.run_settings, first=4, **ALONE)
    (batch,) = list(loader)
    assert torch.equal(batch["x"], batch_of(stage, 4)["x"])
    assert batch["index"].tolist() == [4, 5, 6, 7]


def test_means_are_over_the_steps_that_had_them():
    averages = Averages()
    averages.add({"a": torch.tensor(1.0), "b": 2.0})
    restored = Averages()
    averages.add({"a": torch.tensor(4.0)})
    restored.load_state_dict(averages.state_dict())
    restored.add({"a": torch.tensor(1.0, dtype=torch.bfloat16)})
    assert restored.take() == {"a": 2.0, "b": 2.0}
    assert restored.take() == {}


def test_history_drops_what_comes_after_the_checkpoint(tmp_path):
    file = tmp_path / "history.csv"
    history = History(file, 0)
    history.append(10, {"a": 0.1})
    history.append(20, {"b": 1 / 3})
    history.append(30, {"a": 2.0, "b": 1.0})
    # Killed while writing.
    file.write_text(file.read_text(encoding="utf-8") + "40,3", encoding="utf-8")
    History(file, 20).append(30, {"c": 5.0})
    assert file.read_text(encoding="utf-8").split() == [
        "images,a,b,c",
        "10,0.1,,",
        f"20,,{1 / 3!r},",
        "30,,,5.0",
    ]
    History(file, 0)
    assert file.read_text(encoding="utf-8") == "images\n"


def test_photos_need_data():
    with pytest.raises(TrainingError, match="Pair: was built without data"):
        _ = Pair().photos
