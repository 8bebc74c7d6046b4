"""Every configuration that ships with the library builds its networks in full size and does a step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.data import default_collate

from stylegan_swap.nn.perception.landmark_net import WIDTHS, LandmarkNet
from stylegan_swap.nn.recognisers.dlib_resnet import find_dlib_weights
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.training.config import load_config, shipped_configs
from stylegan_swap.training.stages import build_stage
from stylegan_swap.weights.store import save_weights
from tests.training.painted import painted_photos

# One step takes longer than 10 s on a slow core, or more than 6 GB.
LARGE = {"gan-256", "gan-1024", "gan-ffhq", "invert-256", "swap-512", "swap-1024", "swap-ffhq"}
NAMES = [
    pytest.param(name, marks=pytest.mark.exhaustive if name in LARGE else ())
    for name in sorted(shipped_configs())
]


def has_dlib() -> bool:
    try:
        find_dlib_weights()
    except Exception:  # noqa: BLE001 - whatever it is, it is not there
        return False
    return True


def weights_to_start_from(config, folder: Path) -> str:
    """A generator of the configuration's network, as an earlier run would have exported it."""
    network = config.network_config()
    generator = Generator(network.size, network.style_dim, network.n_mlp, network.channels)
    state = {f"generator.{name}": value for name, value in generator.state_dict().items()}
    save_weights(folder, state, network.to_dict())
    return str(folder)


@pytest.mark.skipif(not has_dlib(), reason="needs dlib's recogniser")
# A published network takes a minute on one core, and several where other tests run beside.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_one_step(name, tmp_path, monkeypatch):
    # Batch normalisation needs two.
    batch = 2 if name in ("megafs", "fslsd", "rafswap") else 1
    changes = [f"run.batch={batch}", "run.workers=0", "options.validation=null"]
    if load_config(name).stage == "gan":
        changes += ["options.micro_batch=null"]
    if load_config(name).stage in ("gan", "landmarks"):
        changes = [change for change in changes if "validation" not in change or "landmarks" in name]
    if load_config(name).stage == "swap":
        save_weights(tmp_path / "points", LandmarkNet().state_dict(), {"widths": list(WIDTHS)})
        changes += [f"options.landmark_net={tmp_path / 'points'}"]
    config = load_config(name, changes)
    if config.start is not None:
        config = config.started_from(weights_to_start_from(config, tmp_path / "start"))
    photos = painted_photos(4, side=64)
    monkeypatch.setattr("stylegan_swap.training.data.open_photos.open_photos", lambda data: photos)
    stage = build_stage(config)
    _ = stage.ema
    stage.train()
    before = {name: value.clone() for name, value in stage.named_parameters() if value.requires_grad}
    data = stage.dataset()
    stage.training_step(default_collate([data[number] for number in range(batch)]))
    logged = stage.averages.take()
    assert int(stage.images_seen) == batch
    assert logged and all(torch.isfinite(torch.tensor(value)) for value in logged.values()), logged
    moved = [
        name
        for name, value in stage.named_parameters()
        if name in before and not torch.equal(value, before[name])
    ]
    assert len(moved) > len(before) / 3
    if name in ("swap-tiny", "gan-tiny", "invert-tiny", "landmarks"):
        stage.export(tmp_path / "weights")
        assert (tmp_path / "weights" / "model.safetensors").is_file()
