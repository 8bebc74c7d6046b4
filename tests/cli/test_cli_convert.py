"""``stylegan-swap convert``: into this library's format and back, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from stylegan_swap.api import Swapper
from stylegan_swap.cli.main import app, main
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.methods.megafs.files import to_megafs
from stylegan_swap.methods.megafs.network import MegaFSConfig, MegaFSNetwork
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.weights.store import load_weights
from stylegan_swap.weights.stylegan_formats.converted import load_converted


@pytest.fixture
def published(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = Generator(8, 4, 2, channels={4: 3, 8: 2}).state_dict()
    file = tmp_path / "stylegan2.pt"
    torch.save({"g_ema": state, "latent_avg": torch.arange(4.0), "step": 3}, file)
    return file


def run(*arguments: object):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def test_there_and_back(published: Path, tmp_path: Path):
    done = run(published, tmp_path / "ours")
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'ours'}  (rosinality: generator)" in done.output
    assert "note: left out: step" in done.output
    back = run(tmp_path / "ours", tmp_path / "back.pt", "--to", "rosinality")
    assert back.exit_code == 0, back.output
    old, new = (torch.load(file, weights_only=True) for file in (published, tmp_path / "back.pt"))
    assert set(new) == {"g_ema", "latent_avg"}
    assert new["g_ema"].keys() == old["g_ema"].keys()
    assert all(torch.equal(new["g_ema"][name], value) for name, value in old["g_ema"].items())
    assert torch.equal(new["latent_avg"], old["latent_avg"])


def test_a_converted_generator_is_no_swap_network(published: Path, tmp_path: Path, astronaut):
    assert run(published, tmp_path / "ours").exit_code == 0
    swapper = Swapper.from_pretrained(tmp_path / "ours", device="cpu")
    assert swapper.generate()[0].size == (8, 8)
    with pytest.raises(
        UnsupportedOptionError, match=r"\(rosinality\) hold a generator and nothing that swaps"
    ):
        swapper.prepare(astronaut)


def test_systems_of_two_files(tmp_path: Path):
    config = MegaFSConfig(
        size=32,
        style_dim=16,
        n_mlp=1,
        max_channels=8,
        split=(2, 3, 3),
        blocks=(1, 1, 1, 1, 1),
        planes=(2, 2, 2, 2, 2),
    )
    contents = to_megafs(MegaFSNetwork(config).state_dict())
    files = [tmp_path / "injected.pth", tmp_path / "g.pth"]
    for file, content in zip(files, contents, strict=True):
        torch.save(content, file)
    done = run(*files, tmp_path / "ours")
    assert done.exit_code == 0, done.output
    assert "(megafs: encoder, swapper, generator)" in done.output
    back = run(tmp_path / "ours", tmp_path / "back", "--to", "megafs")
    assert back.exit_code == 0, back.output
    written = ["ftm_final.pth", "stylegan2-ffhq-config-f.pth"]
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == written
    # A folder with the published names is enough.
    assert run(tmp_path / "back", tmp_path / "again").exit_code == 0
    once, twice = load_weights(tmp_path / "ours"), load_weights(tmp_path / "again")
    assert once[1] == twice[1] and once[0].keys() == twice[0].keys()
    assert all(torch.equal(once[0][name], value) for name, value in twice[0].items())
    for wrong in (("OUT.pt", "--to", "megafs"), ("back", "--to", "megafs")):
        refused = run(tmp_path / "ours", tmp_path / wrong[0], *wrong[1:])
        assert refused.exit_code == 2, refused.output
    alone = run(files[0], tmp_path / "alone")
    assert "stylegan2-ffhq-config-f.pth is not beside it" in str(alone.exception)
    odd = tmp_path / "odd.pth"
    torch.save(contents[1], odd)
    mixed = run(files[1], odd, tmp_path / "mixed")
    assert "make no system together (g.pth is rosinality, odd.pth is rosinality)" in str(mixed.exception)


def test_types_and_overwriting(published: Path, tmp_path: Path):
    folder = tmp_path / "ours"
    assert run(published, folder, "--from", "rosinality", "--dtype", "bfloat16").exit_code == 0
    assert load_converted(folder).parts["generator"]["input.input"].dtype == torch.bfloat16
    refused = run(published, folder)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.output
    assert run(published, folder, "--overwrite").exit_code == 0
    assert load_converted(folder).parts["generator"]["input.input"].dtype == torch.float32


def test_wrong_usage(published: Path, tmp_path: Path):
    for name, *options in (
        ("OUT.pt",),
        ("OUT.safetensors",),
        ("OUT", "--to", "rosinality"),
        ("OUT.pt", "--to", "rosinality", "--from", "psp"),
        ("OUT.pt", "--to", "rosinality", "--dtype", "float16"),
    ):
        done = run(published, tmp_path / name, *options)
        assert done.exit_code == 2, done.output
        assert not list(tmp_path.glob("OUT*"))


def test_formats_that_do_not_go_together(published: Path, tmp_path: Path):
    assert run(published, tmp_path / "ours").exit_code == 0
    for name, error in (("tflib", UnsupportedOptionError), ("arcface", CheckpointError)):
        done = run(tmp_path / "ours", tmp_path / "back.pt", "--to", name)
        assert isinstance(done.exception, error)
    assert not (tmp_path / "back.pt").exists()


def test_an_error_is_one_line(tmp_path: Path, monkeypatch, capsys):
    file = tmp_path / "evil.pkl"
    file.write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    monkeypatch.setattr("sys.argv", ["stylegan-swap", "convert", str(file), str(tmp_path / "out")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "os.system" in line
    assert "nothing in it was executed" in line
    assert not (tmp_path / "out").exists()
