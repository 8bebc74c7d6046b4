"""RAFSwap's file to ours and back, in the official names."""

from __future__ import annotations

import golden
import pytest
import torch

from stylegan_swap.convert.rafswap import convert_rafswap, from_rafswap, to_rafswap
from stylegan_swap.convert.swap_system import skeleton
from stylegan_swap.errors import CheckpointError
from stylegan_swap.models.rafswap import RAFSwapConfig, RAFSwapNetwork
from stylegan_swap.weights import load_state, load_weights

TINY = RAFSwapConfig(64, 32, 2, 16, depth=2, trunk_width=16, trunk_units=(1, 2, 1, 1))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = RAFSwapNetwork(TINY)
    network.latent_avg.normal_()
    return network


def test_there_and_back(network):
    state, config = from_rafswap(to_rafswap(network.state_dict()))
    assert config == TINY
    assert list(state) == list(network.state_dict())
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_a_file_becomes_a_folder(network, tmp_path):
    checkpoint = to_rafswap(network.state_dict())
    checkpoint["opts"] = {"depth": 2, "exp_dir": "out"}
    checkpoint["state_dict"]["face_pool.spare"] = torch.zeros(1)
    torch.save(checkpoint, tmp_path / "iteration_200.pt")
    convert_rafswap(tmp_path / "iteration_200.pt", tmp_path / "ours")
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
    state, config = from_rafswap({"state_dict": tensors, "opts": {}, "latent_avg": torch.zeros(18, 512)})
    assert config == RAFSwapConfig()
    assert {name: value.shape for name, value in state.items()} == skeleton(RAFSwapNetwork, config)


def test_other_files_are_refused(network):
    checkpoint = to_rafswap(network.state_dict())
    with pytest.raises(CheckpointError, match="no weights under 'state_dict'"):
        from_rafswap({"g_ema": {}})
    with pytest.raises(CheckpointError, match="holds no 'latent_avg'"):
        from_rafswap({"state_dict": checkpoint["state_dict"]})
    with pytest.raises(CheckpointError, match="not of the published layout"):
        from_rafswap({**checkpoint, "state_dict": {}})
    short = {k: v for k, v in checkpoint["state_dict"].items() if k != "mask.to_mask.1.0.bias"}
    with pytest.raises(CheckpointError, match=r"mask\.to_mask\.1\.0\.bias is missing"):
        from_rafswap({**checkpoint, "state_dict": short})
