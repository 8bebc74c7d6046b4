"""RAFSwap's file to ours and back, in the official names."""

from __future__ import annotations

import golden
import pytest
import torch

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.detect import convert_file
from stylegan_swap.methods.base.published_files.write_foreign import write_foreign
from stylegan_swap.methods.rafswap import files as rafswap
from stylegan_swap.methods.rafswap.files import to_rafswap
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork
from stylegan_swap.weights.store import load_state, load_weights
from stylegan_swap.weights.stylegan_formats.swap_system import skeleton

TINY = RAFSwapConfig(
    size=64, style_dim=32, n_mlp=2, max_channels=16, depth=2, trunk_width=16, trunk_units=(1, 2, 1, 1)
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = RAFSwapNetwork(TINY)
    network.latent_avg.normal_()
    return network


def converted(checkpoint):
    made = rafswap.convert(checkpoint, "iteration_200.pt")
    return made.state, made.config


def test_every_tensor_goes_there_and_back(network, tmp_path):
    theirs = to_rafswap(network.state_dict())
    torch.save(theirs, tmp_path / "rafswap.pth")
    made = convert_file(tmp_path)
    assert made.format == "rafswap" and made.parts == ("encoder", "generator", "mask")
    [file] = write_foreign(made.save(tmp_path / "ours").parent, tmp_path / "back", "rafswap")
    back = torch.load(file, weights_only=True)
    assert back["state_dict"].keys() == theirs["state_dict"].keys()
    assert all(torch.equal(back["state_dict"][n], value) for n, value in theirs["state_dict"].items())
    assert torch.equal(back["latent_avg"], theirs["latent_avg"])


def test_names_there_and_back(network):
    state, config = converted(to_rafswap(network.state_dict()))
    assert config == TINY
    assert list(state) == list(network.state_dict())
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_a_file_becomes_a_folder(network, tmp_path):
    checkpoint = to_rafswap(network.state_dict())
    checkpoint["opts"] = {"depth": 2, "exp_dir": "out"}
    checkpoint["state_dict"]["face_pool.spare"] = torch.zeros(1)
    torch.save(checkpoint, tmp_path / "iteration_200.pt")
    made = convert_file(tmp_path / "iteration_200.pt")
    assert made.notes == ("left out: face_pool, opts",)
    made.save(tmp_path / "ours")
    state, config = load_weights(tmp_path / "ours")
    rebuilt = RAFSwapNetwork(RAFSwapConfig.from_dict(config))
    load_state(rebuilt, state, "ours")
    for name, value in network.state_dict().items():
        assert torch.equal(rebuilt.state_dict()[name], value), name


@golden.mark
def test_the_names_are_the_official_ones():
    cases = {
        "encoder": "rafswap_encoder",
        "decoder": "megafs_generator_1024",
        "mask": "rafswap_mask_predictor",
    }
    with torch.device("meta"):
        tensors = {
            f"{part}.{name}": torch.empty(shape)
            for part, case in cases.items()
            for name, shape in golden.case(case).manifest["state"].items()
        }
    state, config = converted({"state_dict": tensors, "opts": {}, "latent_avg": torch.zeros(18, 512)})
    assert config == RAFSwapConfig()
    assert {name: value.shape for name, value in state.items()} == skeleton(RAFSwapNetwork, config)


def test_other_files_are_refused(network):
    checkpoint = to_rafswap(network.state_dict())
    with pytest.raises(CheckpointError, match="no weights under 'state_dict'"):
        converted({"g_ema": {}})
    with pytest.raises(CheckpointError, match="holds no 'latent_avg'"):
        converted({"state_dict": checkpoint["state_dict"]})
    with pytest.raises(CheckpointError, match="not of RAFSwap's published layout"):
        converted({**checkpoint, "state_dict": {}})
    short = {k: v for k, v in checkpoint["state_dict"].items() if k != "mask.to_mask.1.0.bias"}
    with pytest.raises(CheckpointError, match=r"mask\.to_mask\.1\.0\.bias is missing"):
        converted({**checkpoint, "state_dict": short})
