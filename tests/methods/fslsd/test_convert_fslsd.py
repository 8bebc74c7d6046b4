"""FSLSD's and pSp's files to ours and back, in the official names."""

from __future__ import annotations

import golden
import pytest
import torch

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.detect import convert_file, convert_files
from stylegan_swap.methods.base.published_files.formats import ForeignFile
from stylegan_swap.methods.base.published_files.write_foreign import write_foreign
from stylegan_swap.methods.fslsd import files as fslsd
from stylegan_swap.methods.fslsd.files import to_fslsd
from stylegan_swap.methods.fslsd.network import FSLSDConfig, FSLSDNetwork
from stylegan_swap.weights.store import load_state, load_weights
from stylegan_swap.weights.stylegan_formats.swap_system import skeleton

TINY = FSLSDConfig(
    size=64,
    style_dim=32,
    n_mlp=2,
    max_channels=16,
    identity_rows=10,
    points=5,
    trunk_width=16,
    trunk_units=(1, 2, 1, 1),
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = FSLSDNetwork(TINY)
    network.latent_avg.normal_()
    return network


def converted(checkpoint, psp):
    made = fslsd.convert(checkpoint, "CELEBA-HQ-1024.pt", ForeignFile(psp, "psp.pt"))
    return made.state, made.config


def test_every_tensor_goes_there_and_back(network, tmp_path):
    theirs = dict(
        zip(("CELEBA-HQ-1024.pt", "psp_ffhq_encode.pt"), to_fslsd(network.state_dict()), strict=True)
    )
    for name, content in theirs.items():
        torch.save(content, tmp_path / name)
    made = convert_file(tmp_path)
    assert made.format == "fslsd" and "encoder" in made.parts
    folder = made.save(tmp_path / "ours").parent
    written = write_foreign(folder, tmp_path / "back", "fslsd")
    assert [file.name for file in written] == list(theirs)
    for file in written:
        back, old = torch.load(file, weights_only=True), theirs[file.name]
        assert back.keys() == old.keys()
        for key, value in old.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(back[key], value)
                continue
            assert back[key].keys() == value.keys()
            assert all(torch.equal(back[key][name], tensor) for name, tensor in value.items())


def test_names_there_and_back(network):
    checkpoint, psp = to_fslsd(network.state_dict())
    assert set(checkpoint) == {"encoder_lmk", "encoder_target", "decoder", "generator", "bald_model"}
    assert all(name.startswith("module.") for part in checkpoint.values() for name in part)
    state, config = converted(checkpoint, psp)
    assert config == TINY
    assert list(state) == list(network.state_dict())
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_files_become_a_folder(network, tmp_path):
    checkpoint, psp = to_fslsd(network.state_dict())
    # Saved without DistributedDataParallel; the average as one row; pSp's own generator beside its encoder.
    checkpoint["decoder"] = {k.removeprefix("module."): v for k, v in checkpoint["decoder"].items()}
    psp["latent_avg"] = psp["latent_avg"][0]
    psp["state_dict"] = {**psp["state_dict"], "decoder.input.input": torch.zeros(1)}
    torch.save(checkpoint, tmp_path / "CELEBA-HQ-1024.pt")
    torch.save({**psp, "opts": {"output_size": 1024}}, tmp_path / "psp.pt")
    made = convert_files([tmp_path / "CELEBA-HQ-1024.pt", tmp_path / "psp.pt"])
    assert made.notes == ("left out: opts, pSp's generator",)
    made.save(tmp_path / "ours")
    state, config = load_weights(tmp_path / "ours")
    rebuilt = FSLSDNetwork(FSLSDConfig.from_dict(config))
    load_state(rebuilt, state, "ours")
    for name, value in network.state_dict().items():
        if name != "latent_avg":
            assert torch.equal(rebuilt.state_dict()[name], value), name
    assert (rebuilt.latent_avg == psp["latent_avg"]).all()


@golden.mark
def test_the_names_are_the_official_ones():
    cases = {
        "encoder_lmk": "fslsd_landmark_encoder",
        "encoder_target": "fslsd_target_encoder_1024",
        "decoder": "fslsd_decoder_1024",
        "generator": "fslsd_generator_1024",
        "bald_model": "fslsd_fmapping",
        "psp": "fslsd_psp_encoder",
    }
    tables = {part: golden.case(name).manifest["state"] for part, name in cases.items()}
    with torch.device("meta"):
        parts = {
            part: {f"module.{name}": torch.empty(shape) for name, shape in table.items()}
            for part, table in tables.items()
        }
    encoder = {"encoder." + name.removeprefix("module."): value for name, value in parts.pop("psp").items()}
    state, config = converted(parts, {"state_dict": encoder, "latent_avg": torch.zeros(18, 512)})
    assert config == FSLSDConfig()
    assert {name: value.shape for name, value in state.items()} == skeleton(FSLSDNetwork, config)


def test_other_files_are_refused(network):
    checkpoint, psp = to_fslsd(network.state_dict())
    with pytest.raises(CheckpointError, match="no weights under 'encoder_target'"):
        converted({k: v for k, v in checkpoint.items() if k != "encoder_target"}, psp)
    with pytest.raises(CheckpointError, match="holds no 'latent_avg'"):
        converted(checkpoint, {"state_dict": psp["state_dict"]})
    with pytest.raises(CheckpointError, match=r"encoder\.input_layer\.0\.weight is missing"):
        converted(checkpoint, {**psp, "state_dict": {}})
    with pytest.raises(CheckpointError, match="not of FSLSD's published layout"):
        converted({**checkpoint, "encoder_lmk": {}}, psp)
    with pytest.raises(CheckpointError, match=r"decoder\.more is unknown"):
        converted({**checkpoint, "decoder": {**checkpoint["decoder"], "module.more": torch.zeros(1)}}, psp)
