"""MegaFS's files to ours and back, in the official names."""

from __future__ import annotations

import golden
import pytest
import torch

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.detect import convert_file, convert_files
from stylegan_swap.methods.base.published_files.formats import ForeignFile
from stylegan_swap.methods.base.published_files.write_foreign import write_foreign
from stylegan_swap.methods.megafs import files as megafs
from stylegan_swap.methods.megafs.files import SWAP_FILES, to_megafs
from stylegan_swap.methods.megafs.network import MegaFSConfig, MegaFSNetwork
from stylegan_swap.weights.store import load_state, load_weights
from stylegan_swap.weights.stylegan_formats.converted import load_system
from stylegan_swap.weights.stylegan_formats.swap_system import skeleton

TINY = {"size": 64, "style_dim": 32, "n_mlp": 2, "max_channels": 16, "split": (3, 3, 4)}
TINY |= {"blocks": (1, 2, 1, 1, 1), "planes": (4, 4, 8, 8, 8)}
NAMES = ("ftm_final.pth", "stylegan2-ffhq-config-f.pth")


def network_of(swap="ftm") -> MegaFSNetwork:
    torch.manual_seed(0)
    return MegaFSNetwork(MegaFSConfig(**TINY, swap=swap))


def converted(swap_file, generator_file):
    return megafs.convert(swap_file, "swap.pth", ForeignFile(generator_file, "generator.pth"))


def same(have, want) -> None:
    assert list(have) == list(want)
    assert all(torch.equal(have[name], value) for name, value in want.items())


@pytest.mark.parametrize("swap", ["ftm", "injection", "lcr"])
def test_every_tensor_goes_there_and_back(swap, tmp_path):
    network = network_of(swap)
    theirs = dict(zip((f"{swap}_final.pth", NAMES[1]), to_megafs(network.state_dict()), strict=True))
    for name, content in theirs.items():
        torch.save(content, tmp_path / name)
    made = convert_file(tmp_path)
    assert made.config == network.config and made.notes == ()
    same(made.state, network.state_dict())
    # As MegaFS's official names say it: no swapper in lcr.
    assert made.parts == ("encoder", "swapper", "generator") if swap != "lcr" else ("encoder", "generator")
    folder = made.save(tmp_path / "ours").parent
    stored = load_system(folder, "megafs", MegaFSConfig).state
    assert stored.keys() == network.state_dict().keys()
    assert all(torch.equal(stored[name], value) for name, value in network.state_dict().items())
    written = write_foreign(folder, tmp_path / "back", "megafs")
    assert [file.name for file in written] == list(theirs)
    for file in written:
        back, old = torch.load(file, weights_only=True), theirs[file.name]
        assert back.keys() == old.keys()
        for key in old:
            assert back[key].keys() == old[key].keys()
            assert all(torch.equal(back[key][name], value) for name, value in old[key].items())


def test_files_become_a_folder(tmp_path):
    network = network_of()
    swap_file, generator_file = to_megafs(network.state_dict())
    # What lies beside the weights in the published files is not read.
    torch.save({**swap_file, "optimizer": {"step": 3}, "d": {}}, tmp_path / "ftm_final.pth")
    kernels = [name for name in generator_file["g_ema"] if name.endswith(".kernel")]
    assert kernels
    for name in kernels:
        del generator_file["g_ema"][name]
    torch.save({**generator_file, "latent_avg": torch.zeros(32)}, tmp_path / "f.pth")
    made = convert_files([tmp_path / "f.pth", tmp_path / "ftm_final.pth"])
    assert made.notes == ("left out: d, latent_avg, optimizer",)
    made.save(tmp_path / "ours")
    state, config = load_weights(tmp_path / "ours")
    rebuilt = MegaFSNetwork(MegaFSConfig.from_dict(config))
    load_state(rebuilt, state, "ours")
    for name, value in network.state_dict().items():
        assert torch.equal(rebuilt.state_dict()[name], value), name


def test_the_transfer_module_is_taken_of_a_folder_with_all(tmp_path):
    for swap, name in zip(("ftm", "injection", "lcr"), SWAP_FILES, strict=True):
        swap_file, generator_file = to_megafs(network_of(swap).state_dict())
        torch.save(swap_file, tmp_path / name)
        torch.save(generator_file, tmp_path / NAMES[1])
    made = convert_file(tmp_path)
    assert made.config.swap == "ftm"
    [note] = made.notes
    assert "ftm_final.pth was taken" in note and "injection_final.pth, lcr_final.pth" in note
    assert convert_file(tmp_path / "lcr_final.pth").config.swap == "lcr"


@golden.mark
@pytest.mark.parametrize(("size", "swap"), [(1024, "ftm"), (256, "injection"), (1024, "lcr")])
def test_the_names_are_the_official_ones(size, swap):
    rows = {1024: 18, 256: 14}[size]
    cases = {"encoder": f"megafs_hierfe_{size}", "swapper": f"megafs_swapper_{swap}_{rows}"}
    cases["generator"] = f"megafs_generator_{size}"
    parts = {part: golden.case(name).manifest["state"] for part, name in cases.items()}
    with torch.device("meta"):
        e, s, g = ({name: torch.empty(shape) for name, shape in table.items()} for table in parts.values())
    made = converted({"e": e, "s": s}, {"g_ema": g})
    assert made.config == MegaFSConfig(size=size, swap=swap, split=MegaFSConfig(size=size).rows)
    assert {name: value.shape for name, value in made.state.items()} == skeleton(MegaFSNetwork, made.config)
    back = to_megafs(made.state)
    assert back[0]["e"].keys() == e.keys() and back[0]["s"].keys() == s.keys()
    assert back[1]["g_ema"].keys() == g.keys()


def test_other_files_are_refused(tmp_path):
    swap_file, generator_file = to_megafs(network_of().state_dict())
    with pytest.raises(CheckpointError, match=r"swap\.pth: holds no weights under 'e' \(there are 'state_d"):
        converted({"state_dict": {}}, generator_file)
    with pytest.raises(CheckpointError, match=r"generator\.pth: holds no weights under 'g_ema'"):
        converted(swap_file, swap_file)
    with pytest.raises(CheckpointError, match="not of MegaFS's published layout"):
        converted({"e": {}, "s": {}}, generator_file)
    broken = {**swap_file["e"]}
    del broken["fpn.output4.0.bias"]
    with pytest.raises(CheckpointError, match=r"encoder\.fpn\.output4\.0\.bias is missing"):
        converted({"e": broken, "s": swap_file["s"]}, generator_file)
    odd = {"e": swap_file["e"], "s": {**swap_file["s"], "weight": torch.zeros(1, 5, 32)}}
    with pytest.raises(CheckpointError, match=r"swapper\.weight is \[1, 5, 32\] instead of \[1, 6, 32\]"):
        converted(odd, generator_file)
    flat = {"e": {**swap_file["e"], "fpn.backbone.layer1.0.conv1.weight": torch.tensor(1.0)}}
    with pytest.raises(CheckpointError, match="not of MegaFS's published layout"):
        converted({**flat, "s": swap_file["s"]}, generator_file)
    empty = {**generator_file["g_ema"], "conv1.conv.modulation.weight": torch.zeros(0, 1 << 40)}
    with pytest.raises(CheckpointError, match=r"published layout"):
        converted(swap_file, {"g_ema": empty})


def test_the_second_file_is_looked_for(tmp_path):
    swap_file, generator_file = to_megafs(network_of().state_dict())
    torch.save(swap_file, tmp_path / NAMES[0])
    with pytest.raises(CheckpointError) as caught:
        convert_file(tmp_path / NAMES[0])
    assert str(tmp_path / NAMES[0]) in str(caught.value)
    assert "stylegan2-ffhq-config-f.pth is not beside it" in str(caught.value)
    assert "stylegan-swap download megafs-generator" in str(caught.value)
    torch.save(generator_file["g_ema"], tmp_path / NAMES[1])
    with pytest.raises(CheckpointError, match=r"a state dict.*with ftm_final\.pth belongs stylegan2-ffhq"):
        convert_file(tmp_path / NAMES[0])
    torch.save(generator_file, tmp_path / NAMES[1])
    assert convert_file(tmp_path / NAMES[0]).format == "megafs"
