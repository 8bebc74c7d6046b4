"""The swap stage on two public photographs: it learns, resumes exactly, starts a larger one, exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.default.config import NetworkConfig
from stylegan_swap.methods.default.network import IdentityCodes, SwapNetwork
from stylegan_swap.methods.default.start import start_from
from stylegan_swap.methods.default.training import Stage
from stylegan_swap.nn.perception.landmark_net import WIDTHS, LandmarkNet
from stylegan_swap.training.config import check_config
from stylegan_swap.training.loop.checkpoint import load_checkpoint, save_checkpoint
from stylegan_swap.training.start_weights import read_start
from stylegan_swap.weights.store import load_weights, save_weights

BATCH = 4


@pytest.fixture(scope="module")
def landmark_folder(tmp_path_factory):
    """A LandmarkNet with random weights: the arithmetic of training does not depend on its knowledge."""
    folder = tmp_path_factory.mktemp("landmark_net")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_weights(folder, LandmarkNet().state_dict(), {"widths": list(WIDTHS)})
    return folder


@pytest.fixture
def stage_of(few_photos, landmark_folder):
    def build(seed: int = 0, **options) -> Stage:
        config = check_config(
            {
                "stage": "swap",
                "data": {"folder": "unused", "size": 64},
                "network": {"preset": "tiny"},
                "run": {"seed": seed, "batch": BATCH, "ema_kimg": 0.01},
                "options": {
                    "landmark_net": str(landmark_folder),
                    "adversarial_from_kimg": 0.004,
                    "adversarial_ramp_kimg": 0.01,
                    "discriminator_channels": 8,
                    "r1_every": 2,
                    "guided_mask_kimg": 0.004,
                }
                | options,
            }
        )
        torch.manual_seed(seed)
        return Stage(config, few_photos).train()

    return build


def batches(stage: Stage, count: int) -> list[dict[str, torch.Tensor]]:
    items = stage.dataset()
    first = int(stage.images_seen)
    return [
        torch.utils.data.default_collate([items[first + BATCH * n + i] for i in range(BATCH)])
        for n in range(count)
    ]


def steps(stage: Stage, count: int) -> list[dict[str, float]]:
    rows = []
    for batch in batches(stage, count):
        stage.training_step(batch)
        rows.append(stage.averages.take())
    return rows


def test_it_learns_to_redraw_a_batch(stage_of):
    stage = stage_of(adversarial_from_kimg=100, return_share=0, virtual_share=0)
    batch = batches(stage, 1)[0]
    batch["has_target"][:] = True
    batch["kind"][:] = 1
    batch["target"] = batch["attribute"]
    losses = []
    for _ in range(25):
        stage.training_step(batch)
        losses.append(stage.averages.take()["pixel"])
    assert losses[-1] < 0.5 * losses[0]


def test_every_network_moves_and_the_frozen_ones_do_not(stage_of):
    stage = stage_of()
    before = {name: p.detach().clone() for name, p in stage.named_parameters()}
    frozen = [p.detach().clone() for p in stage.network.identity.parameters()]
    rows = steps(stage, 3)
    still = {n for n, p in stage.named_parameters() if p.requires_grad and torch.equal(p, before[n])}
    # Swaps come from W+ alone: the mapping network for random faces is fitted afterwards.
    assert {name.split(".style.")[0] for name in still} <= {"network.generator"}
    assert all(torch.equal(a, b) for a, b in zip(frozen, stage.network.identity.parameters(), strict=True))
    assert "r1" in rows[2] or "r1" in rows[1]
    assert all(np.isfinite(list(row.values())).all() for row in rows)


def test_the_discriminator_waits_for_its_turn(stage_of):
    first, second = steps(stage_of(adversarial_from_kimg=0.004), 2)
    assert "d_real" not in first and "d_real" in second


def test_a_resumed_run_repeats_the_losses_exactly(stage_of, tmp_path):
    whole = stage_of()
    steps(whole, 2)
    save_checkpoint(whole, tmp_path / "last.ckpt", {"stage": "swap"})
    expected = steps(whole, 2)
    again = stage_of(seed=0)
    load_checkpoint(again, tmp_path / "last.ckpt", "swap")
    again.train()
    assert steps(again, 2) == expected


def test_virtual_people_have_no_photo(stage_of):
    stage = stage_of(virtual_share=1.0)
    codes = IdentityCodes(torch.randn(2, 128), torch.randn(2, 10, 64))
    # The first two photos mirror each other, so they have one descriptor; the third is somebody else.
    people = stage.people[:3]
    torch.manual_seed(0)
    stage.people = people[:2]
    mixed, wanted, chosen = stage._virtual(codes, people[[2, 1]], torch.tensor([True, False]))
    assert chosen.tolist() == [True, False]
    assert torch.equal(mixed.wplus[0], torch.zeros(10, 64)) and torch.equal(mixed.wplus[1], codes.wplus[1])
    assert torch.equal(wanted[1], people[1]) and not torch.equal(wanted[0], people[2])
    assert torch.allclose(mixed.embedding[0], stage.network.identity.standardise(wanted[0]))


def test_half_size_stops_the_generator_and_the_export_is_whole(stage_of, tmp_path):
    stage = stage_of(half_size_kimg=1.0, adversarial_from_kimg=100)
    last = [p for name, p in stage.named_parameters() if name.startswith("network.generator.to_rgbs.3.")]
    before = [p.detach().clone() for p in last]
    assert stage.resolution == 32
    steps(stage, 1)
    assert all(torch.equal(a, b) for a, b in zip(before, last, strict=True))
    stage.export(tmp_path)
    state, config = load_weights(tmp_path)
    SwapNetwork(NetworkConfig.from_dict(config)).load_state_dict(state)


def test_sheet_and_measure(stage_of):
    stage = stage_of()
    sheet = stage.contact_sheet()
    assert sheet.dtype == np.uint8 and sheet.shape == (6 * 64, 10 * 64, 3)
    numbers = stage.measure()
    assert {"distance", "distance_attribute", "nearer"} <= set(numbers)
    assert 0 <= numbers["nearer"] <= 1 and 0 < numbers["distance"] < 2


def saved(network: SwapNetwork, folder) -> Path:
    return save_weights(folder, network.state_dict(), network.config.to_dict(), dtype="float32")


def test_weights_of_something_else_are_refused(tmp_path, landmark_folder):
    with pytest.raises(CheckpointError, match="nothing of a swap network"):
        start_from(SwapNetwork(NetworkConfig.preset("tiny")), read_start(landmark_folder))


def test_a_smaller_network_starts_a_larger_one(tmp_path):
    torch.manual_seed(0)
    small = SwapNetwork(NetworkConfig.preset("tiny"))
    large = SwapNetwork(NetworkConfig.preset("tiny", size=128))
    fresh = {name: tensor.clone() for name, tensor in large.state_dict().items()}
    anew = start_from(large, read_start(saved(small, tmp_path)))
    state = large.state_dict()
    for name, tensor in small.state_dict().items():
        if name in state and state[name].shape == tensor.shape:
            assert torch.equal(state[name], tensor), name
    rows = small.swapper.weight.shape[1]
    assert torch.equal(state["swapper.weight"][:, :rows], small.swapper.weight)
    assert torch.equal(state["swapper.weight"][:, rows:], fresh["swapper.weight"][:, rows:])
    assert not state["generator.to_rgbs.4.conv.weight"].any()
    assert torch.equal(state["attributes.down.64.weight"], fresh["attributes.down.64.weight"])
    assert "generator.to_rgbs.4.conv.weight" in anew and "generator.conv1.conv.weight" not in anew


def test_other_channels_are_refused(tmp_path):
    small = SwapNetwork(NetworkConfig.preset("tiny", base_channels=16))
    with pytest.raises(CheckpointError, match=r"base_channels"):
        start_from(SwapNetwork(NetworkConfig.preset("tiny")), read_start(saved(small, tmp_path)))
