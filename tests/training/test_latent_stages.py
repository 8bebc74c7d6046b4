"""MegaFS, FSLSD and RAFSwap learn: one step, frozen parts, exact resume, and an export that swaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from stylegan_swap.errors import ConfigError
from stylegan_swap.methods.registry import build_method, method_of
from stylegan_swap.nn.perception.landmark_net import WIDTHS, LandmarkNet
from stylegan_swap.training.config import check_config, load_config
from stylegan_swap.training.loop.checkpoint import load_checkpoint, save_checkpoint
from stylegan_swap.training.stages import stage_class
from stylegan_swap.weights.store import find_weights, load_weights, save_weights

METHODS = ("megafs", "fslsd", "rafswap")
BATCH = 2
# Every stage of MegaFS and the discriminator of FSLSD begin within two steps.
OPTIONS = {
    "megafs": {"inversion_kimg": 0.001 * BATCH},
    "fslsd": {"adversarial_from_kimg": 0.001 * BATCH, "r1_every": 1, "discriminator_channels": 8},
    "rafswap": {"weights": {"mask": 0.2}, "shares": [0.3, 0.3, 0.4]},
}
# What learns only from random faces, or comes ready-made, or has no weight in the presets.
UNTOUCHED = {"network.generator.style", "network.swapper.edit"}
# MegaFS's structure tensor takes the place of the constant.
UNTOUCHED |= {"network.generator.input"}


@pytest.fixture(scope="module")
def landmark_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("landmark_net")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_weights(folder, LandmarkNet().state_dict(), {"widths": list(WIDTHS)})
    return folder


@pytest.fixture
def stage_of(few_photos, landmark_folder):
    def build(method: str, start: str | None = None, **options):
        config = check_config(
            {
                "stage": method,
                "data": {"folder": "unused", "size": 64},
                "network": {"preset": "tiny"},
                "run": {"batch": BATCH, "ema_kimg": 0.01},
                "start": start,
                "options": {
                    "landmark_net": str(landmark_folder),
                    "train_generator": True,
                    "learning_rate": 0.001,
                }
                | OPTIONS[method]
                | options,
            }
        )
        torch.manual_seed(0)
        return stage_class(method)(config, few_photos).train()

    return build


def steps(stage, count: int) -> list[dict[str, float]]:
    items, rows = stage.dataset(), []
    for _ in range(count):
        first = int(stage.images_seen)
        stage.training_step(default_collate([items[first + i] for i in range(BATCH)]))
        rows.append(stage.averages.take())
    return rows


@pytest.mark.parametrize("method", METHODS)
def test_steps_are_finite_and_reach_everything_that_learns(stage_of, method):
    stage = stage_of(method)
    before = {f"network.{name}": p.detach().clone() for name, p in stage.network.named_parameters()}
    rows = steps(stage, 2)
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    after = dict(stage.named_parameters())
    still = {name for name, value in before.items() if torch.equal(after[name], value)}
    # A noise map's strength and a convolution in front of a batch norm have no first gradient to speak of.
    unexpected = {
        name
        for name in still
        if not name.endswith("bias") and not any(name.startswith(part) for part in UNTOUCHED)
    }
    assert not unexpected


@pytest.mark.parametrize("method", METHODS)
def test_a_generator_in_the_start_stays_frozen(stage_of, tmp_path, method):
    stage_of(method).export(tmp_path)
    stage = stage_of(method, start=str(tmp_path), train_generator=False)
    frozen = {
        name: value.clone()
        for name, value in stage.network.state_dict().items()
        if name.split(".")[0] in ("generator", *stage.frozen_parts)
    }
    stored, _ = load_weights(find_weights(tmp_path))
    assert all(torch.equal(value, stored[name].float()) for name, value in frozen.items())
    steps(stage, 2)
    assert all(torch.equal(stage.network.state_dict()[name], value) for name, value in frozen.items())


def test_without_a_generator_there_is_nothing_to_train_on(stage_of):
    with pytest.raises(ConfigError, match=r"start: is missing.*train_generator=true"):
        stage_of("megafs", train_generator=False)


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_repeats_the_losses_exactly(stage_of, tmp_path, method):
    whole = stage_of(method)
    steps(whole, 1)
    save_checkpoint(whole, tmp_path / "last.ckpt", {"stage": method})
    expected = steps(whole, 2)
    again = stage_of(method)
    load_checkpoint(again, tmp_path / "last.ckpt", method)
    again.train()
    assert steps(again, 2) == expected


@pytest.mark.parametrize("method", METHODS)
def test_the_exported_folder_is_the_method(stage_of, tmp_path, method):
    stage = stage_of(method)
    steps(stage, 1)
    stage.export(tmp_path)
    file = find_weights(tmp_path)
    assert method_of(file) == method
    loaded = build_method(method, file, torch.device("cpu"), torch.float32)
    averaged = stage.ema["network"]
    for name, value in averaged.state_dict().items():
        stored = value.half().float() if value.is_floating_point() else value
        assert torch.equal(loaded.network.state_dict()[name], stored), name
    batch = next(iter(stage.sheet.batches(2, torch.device("cpu"))))
    with torch.no_grad():
        shown = stage.preview(averaged, batch)
    person = loaded.prepare(batch["identity"], batch["identity_landmarks"])
    result = loaded.swap_aligned(person, batch["attribute"], batch["attribute_landmarks"])
    # Half precision of the file, and for MegaFS and RAFSwap another edge of the mask.
    torch.testing.assert_close(result.image, shown.image.clamp(-1, 1), atol=0.02, rtol=0.02)


def test_sheet_measures_and_ramps(stage_of):
    stage = stage_of("rafswap", ramps={"perceptual": {"from_kimg": 0.002, "over_kimg": 0.004}})
    assert stage.contact_sheet().shape == (6 * 64, 10 * 64, 3)
    assert {"distance", "distance_attribute", "nearer"} <= set(stage.measure())
    weights = []
    for images in (0, 4, 100):
        stage.images_seen.fill_(images)
        weights.append(stage.weight_of("perceptual"))
    assert weights == pytest.approx([0, 0.4, 0.8])


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_a_configuration_of_its_own(method):
    config = load_config(method, ["network.preset=tiny"])
    assert config.stage == method
    assert config.network_config().method == method
