"""MegaFS's files to ours and back, in the official names."""

from __future__ import annotations

import golden
import pytest
import torch

from stylegan_swap.convert.megafs import convert_megafs, from_megafs, to_megafs
from stylegan_swap.convert.swap_system import read_checkpoint, skeleton
from stylegan_swap.errors import CheckpointError
from stylegan_swap.models.megafs import MegaFSConfig, MegaFSNetwork
from stylegan_swap.weights import load_state, load_weights

TINY = {"size": 64, "style_dim": 32, "n_mlp": 2, "max_channels": 16, "split": (3, 3, 4)}
TINY |= {"blocks": (1, 2, 1, 1, 1), "planes": (4, 4, 8, 8, 8)}


def network_of(swap="ftm") -> MegaFSNetwork:
    torch.manual_seed(0)
    return MegaFSNetwork(MegaFSConfig(**TINY, swap=swap))


@pytest.mark.parametrize("swap", ["ftm", "injection", "lcr"])
def test_there_and_back(swap):
    network = network_of(swap)
    theirs = to_megafs(network.state_dict())
    state, config = from_megafs(*theirs)
    assert config == network.config
    assert list(state) == list(network.state_dict())
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    again = to_megafs(state)
    for file, other in zip(theirs, again, strict=True):
        for key in file:
            assert file[key].keys() == other[key].keys()


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
    convert_megafs(tmp_path / "ftm_final.pth", tmp_path / "f.pth", tmp_path / "ours")
    state, config = load_weights(tmp_path / "ours")
    rebuilt = MegaFSNetwork(MegaFSConfig.from_dict(config))
    load_state(rebuilt, state, "ours")
    for name, value in network.state_dict().items():
        assert torch.equal(rebuilt.state_dict()[name], value), name


@golden.mark
@pytest.mark.parametrize(("size", "swap"), [(1024, "ftm"), (256, "injection"), (1024, "lcr")])
def test_the_names_are_the_official_ones(size, swap):
    rows = {1024: 18, 256: 14}[size]
    cases = {"encoder": f"megafs_hierfe_{size}", "swapper": f"megafs_swapper_{swap}_{rows}"}
    cases["generator"] = f"megafs_generator_{size}"
    parts = {part: golden.case(name).manifest["state"] for part, name in cases.items()}
    with torch.device("meta"):
        e, s, g = ({name: torch.empty(shape) for name, shape in table.items()} for table in parts.values())
    state, config = from_megafs({"e": e, "s": s}, {"g_ema": g})
    assert config == MegaFSConfig(size=size, swap=swap, split=MegaFSConfig(size=size).rows)
    assert {name: value.shape for name, value in state.items()} == skeleton(MegaFSNetwork, config)


def test_other_files_are_refused(tmp_path):
    swap_file, generator_file = to_megafs(network_of().state_dict())
    with pytest.raises(CheckpointError, match=r"no weights under 'e' \(there are 'state_dict'\)"):
        from_megafs({"state_dict": {}}, generator_file)
    with pytest.raises(CheckpointError, match="no weights under 'g_ema'"):
        from_megafs(swap_file, swap_file)
    with pytest.raises(CheckpointError, match="not of its published layout"):
        from_megafs({"e": {}, "s": {}}, generator_file)
    broken = {**swap_file["e"]}
    del broken["fpn.output4.0.bias"]
    with pytest.raises(CheckpointError, match=r"encoder\.fpn\.output4\.0\.bias is missing"):
        from_megafs({"e": broken, "s": swap_file["s"]}, generator_file)
    odd = {"e": swap_file["e"], "s": {**swap_file["s"], "weight": torch.zeros(1, 5, 32)}}
    with pytest.raises(CheckpointError, match=r"swapper\.weight is \[1, 5, 32\] instead of \[1, 6, 32\]"):
        from_megafs(odd, generator_file)
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "none.pth")
    (tmp_path / "bad.pth").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(CheckpointError, match=r"bad\.pth: .*fetch it again"):
        read_checkpoint(tmp_path / "bad.pth")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds list"):
        read_checkpoint(tmp_path / "list.pth")


class Payload:
    def __reduce__(self):
        return (print, ("ran",))


def test_no_code_runs(tmp_path, capsys):
    torch.save({"e": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="nothing in it was executed"):
        read_checkpoint(tmp_path / "evil.pth")
    assert "ran" not in capsys.readouterr().out
