"""Files of other projects given straight to ``Swapper``: what they can do, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner
from weights.foreign import FIR, write_nvlabs

from inversion import IRSE50, BackboneEncoderIntoW, as_latent_avg
from stylegan_swap import Swapper, swap
from stylegan_swap.cli.main import app
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.files.cache import CACHE_VARIABLE
from stylegan_swap.methods.base.published_files.detect import convert_file
from stylegan_swap.methods.fslsd.files import to_fslsd
from stylegan_swap.methods.fslsd.network import FSLSDConfig, FSLSDNetwork
from stylegan_swap.methods.megafs.files import to_megafs
from stylegan_swap.methods.megafs.network import MegaFSConfig, MegaFSNetwork
from stylegan_swap.methods.rafswap.files import to_rafswap
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork
from stylegan_swap.methods.registry import method_names
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.weights.cache import cached_path
from stylegan_swap.weights.store import published_weights
from stylegan_swap.weights.stylegan_formats.nvlabs_names import generator_pairs, to_published_names

CHANNELS = {4: 8, 8: 8, 16: 8, 32: 8, 64: 8}
TRUNK = {"trunk_width": 16, "trunk_units": (1, 2, 1, 1)}


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(64, 512, 2, CHANNELS)


@pytest.fixture(scope="module")
def exchange_file(generator, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("exchange") / "stylegan2-ffhq-config-f.pt"
    torch.save({"g_ema": generator.state_dict(), "latent_avg": torch.full((512,), 0.5)}, file)
    return file


@pytest.fixture(scope="module")
def psp_file(generator, tmp_path_factory) -> Path:
    """pSp's smallest encoder, with its generator; no weight is larger than it has to be."""
    torch.manual_seed(1)
    encoder = BackboneEncoderIntoW(10).state_dict()
    state = {f"encoder.{name}": value for name, value in encoder.items()}
    state |= {f"decoder.{name}": value for name, value in generator.state_dict().items()}
    opts = {"encoder_type": "BackboneEncoderUsingLastLayerIntoW", "start_from_latent_avg": True}
    file = tmp_path_factory.mktemp("psp") / "psp_ffhq_encode.pt"
    torch.save({"state_dict": state, "latent_avg": torch.full((1, 512), 0.25), "opts": opts}, file)
    return file


def system_file(kind: str, folder: Path) -> Path:
    """Files of a tiny swap system under their published names; the path to give."""
    torch.manual_seed(0)
    if kind == "megafs":
        split = {"split": (3, 3, 4), "blocks": (1, 1, 1, 1, 1), "planes": (4, 4, 8, 8, 8)}
        network = MegaFSNetwork(MegaFSConfig(size=64, style_dim=32, n_mlp=2, max_channels=16, **split))
        names = ("ftm_final.pth", "stylegan2-ffhq-config-f.pth")
        contents = to_megafs(network.state_dict())
    elif kind == "fslsd":
        network = FSLSDNetwork(
            FSLSDConfig(size=64, style_dim=32, n_mlp=2, max_channels=16, identity_rows=10, points=68, **TRUNK)
        )
        names, contents = ("CELEBA-HQ-1024.pt", "psp_ffhq_encode.pt"), to_fslsd(network.state_dict())
    else:
        network = RAFSwapNetwork(RAFSwapConfig(size=64, style_dim=32, n_mlp=2, max_channels=16, **TRUNK))
        names, contents = ("rafswap.pth",), (to_rafswap(network.state_dict()),)
    for name, content in zip(names, contents, strict=True):
        torch.save(content, folder / name)
    return folder if kind == "megafs" else folder / names[0]


@pytest.mark.parametrize("kind", ["megafs", "fslsd", "rafswap"])
def test_files_of_swap_systems_swap(kind, tmp_path, astronaut, hopper):
    given = system_file(kind, tmp_path)
    swapper = Swapper.from_pretrained(given, device="cpu")
    assert swapper.method.name == kind
    [note] = [note for note in swapper.notes if "converted in memory" in note]
    assert f"stylegan-swap convert {given} FOLDER" in note
    result = swapper(astronaut, hopper)
    assert note in result.notes
    # The same as by the folder that the note recommends.
    convert_file(given).save(tmp_path / "ours")
    again = Swapper.from_pretrained(tmp_path / "ours", device="cpu")
    assert again.method.fingerprint == swapper.method.fingerprint and again.notes == ()
    assert np.array_equal(np.asarray(result.image), np.asarray(again(astronaut, hopper).image))


def test_swap_takes_a_file_as_method(tmp_path, astronaut, hopper):
    result = swap(astronaut, hopper, method=str(system_file("rafswap", tmp_path)), device="cpu")
    assert result.method == "rafswap" and result.mask.max() > 0


@pytest.mark.parametrize("kind", ["megafs", "fslsd", "rafswap"])
def test_downloaded_files_are_found_by_the_methods_name(kind, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match=r"needs weights.*stylegan-swap download"):
        Swapper.from_pretrained(kind, device="cpu")
    (tmp_path / "files").mkdir()
    system_file(kind, tmp_path / "files")
    names = {entry.file: entry for entry in published_weights().values() if entry.name != "pti-e4e"}
    for file in (tmp_path / "files").iterdir():
        place = cached_path(names[file.name])
        place.parent.mkdir(parents=True)
        file.rename(place)
    assert Swapper.from_pretrained(kind, device="cpu").method.name == kind


def test_a_generator_generates_and_says_what_it_lacks(exchange_file, generator, tmp_path, astronaut, hopper):
    swapper = Swapper.from_pretrained(exchange_file, device="cpu")
    assert swapper.method.name == "latents-only" not in method_names()
    first, again, other = (swapper.generate(seed=seed)[0] for seed in (3, 3, 4))
    assert first.size == (64, 64)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    with torch.no_grad():
        average = generator(torch.full((1, 512), 0.5)).image.clamp(-1, 1)
        z = torch.randn(1, 512, generator=torch.Generator().manual_seed(3))
        w = torch.lerp(torch.full((1, 512), 0.5), generator.mapping(z), 0.7)
        expected = generator(w).image.clamp(-1, 1)
    # Truncation pulls to the average code in the file.
    assert np.abs(pixels(swapper.generate(truncation_psi=0)[0]) - average[0].numpy()).max() < 0.01
    assert np.abs(pixels(first) - expected[0].numpy()).max() < 0.01
    with pytest.raises(UnsupportedOptionError, match=r"a generator alone.*download e4e-ffhq-encode"):
        swapper.invert(astronaut)
    with pytest.raises(UnsupportedOptionError, match=r"hold a generator and nothing.*--start FILE"):
        swapper(astronaut, hopper)
    # The folder of convert is the same, without the note.
    convert_file(exchange_file).save(tmp_path / "ours")
    folder = Swapper.from_pretrained(tmp_path / "ours", device="cpu")
    assert np.array_equal(first, folder.generate(seed=3)[0]) and folder.notes == ()


def pixels(image) -> np.ndarray:
    return np.asarray(image).transpose(2, 0, 1) / 127.5 - 1


@pytest.mark.parametrize("kind", ["nvlabs", "pti", "pti state dict"])
def test_nvidias_and_tuned_generators(kind, generator, tmp_path):
    pairs = list(generator_pairs(64, 2))
    theirs = to_published_names(generator.state_dict(), pairs)
    assert torch.equal(theirs["synthesis.b8.resample_filter"], FIR)
    theirs["mapping.w_avg"] = torch.full((512,), 0.5)
    if kind == "nvlabs":
        file = write_nvlabs(tmp_path / "ffhq.pkl", theirs)
    elif kind == "pti":
        file = write_nvlabs(tmp_path / "model.pt", theirs, whole=True)
    else:
        file = tmp_path / "model.pt"
        torch.save(theirs, file)
    swapper = Swapper.from_pretrained(file, device="cpu")
    with torch.no_grad():
        average = generator(torch.full((1, 512), 0.5)).image.clamp(-1, 1)
    assert np.abs(pixels(swapper.generate(truncation_psi=0)[0]) - average[0].numpy()).max() < 0.01
    assert any("conv_clamp" in note for note in swapper.notes) == (kind == "pti state dict")


def test_an_encoder_with_its_generator_inverts(psp_file, generator, astronaut, hopper):
    swapper = Swapper.from_pretrained(psp_file, device="cpu")
    latents, other = swapper.invert(astronaut), swapper.invert(hopper)
    assert latents.wplus.shape == (1, 10, 512) and not torch.allclose(latents.wplus, other.wplus)
    [image] = swapper.generate(latents)
    with torch.no_grad():
        expected = generator(latents.wplus).image.clamp(-1, 1)
    assert np.abs(pixels(image) - expected[0].numpy()).max() < 0.01
    # The average code of the file is in the codes.
    raw = swapper.method.encoder.latent_avg
    assert torch.equal(raw, as_latent_avg(torch.full((1, 512), 0.25), 10, 512))
    with pytest.raises(UnsupportedOptionError, match=r"an encoder and a generator.*they can invert and gen"):
        swapper.prepare(astronaut)


def test_an_encoder_alone_and_one_of_sketches(psp_file, tmp_path, astronaut):
    content = torch.load(psp_file, weights_only=True)
    state = {n: v for n, v in content["state_dict"].items() if n.startswith("encoder.")}
    torch.save({**content, "state_dict": state}, tmp_path / "encoder.pt")
    swapper = Swapper.from_pretrained(tmp_path / "encoder.pt", device="cpu")
    assert swapper.invert(astronaut).wplus.shape == (1, 18, 512)
    with pytest.raises(UnsupportedOptionError, match="an encoder alone, which cannot generate"):
        swapper.generate()
    state["encoder.input_layer.0.weight"] = torch.zeros(64, 19, 3, 3)
    torch.save({**content, "state_dict": state}, tmp_path / "sketch.pt")
    sketch = Swapper.from_pretrained(tmp_path / "sketch.pt", device="cpu")
    with pytest.raises(UnsupportedOptionError, match="19 channels"):
        sketch.invert(astronaut)


def test_arcface_alone_says_what_it_is_good_for(tmp_path):
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in IRSE50().state_dict().items()}
    file = tmp_path / "model_ir_se50.pth"
    torch.save({name: torch.zeros(shape, dtype=torch.uint8) for name, shape in shapes.items()}, file)
    with pytest.raises(CheckpointError, match=r"a recogniser, which makes no faces.*--arcface") as caught:
        Swapper.from_pretrained(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_folders_that_hold_nothing_or_too_much(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds neither model\.safetensors nor a published network"):
        Swapper.from_pretrained(tmp_path)
    for name in ("a.pt", "b.pt"):
        torch.save({}, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"holds 2 files \(a\.pt, b\.pt\); give the one you mean"):
        Swapper.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"a\.pt: is of no known format: it is an empty dict"):
        Swapper.from_pretrained(tmp_path / "a.pt")


def test_infinite_numbers_are_refused(exchange_file, tmp_path):
    content = torch.load(exchange_file, weights_only=True)
    content["g_ema"]["conv1.activate.bias"] = torch.full((8,), torch.inf)
    torch.save(content, tmp_path / "broken.pt")
    with pytest.raises(
        CheckpointError, match=r"broken\.pt: generator\.conv1\.activate\.bias holds NaN or inf"
    ):
        Swapper.from_pretrained(tmp_path / "broken.pt")


def test_the_commands_take_files(exchange_file, psp_file, tmp_path, astronaut_path, hopper_path):
    def run(*arguments: object):
        return CliRunner().invoke(app, [*map(str, arguments)])

    done = run("generate", "--weights", exchange_file, "-n", 2, "-o", tmp_path / "faces")
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "faces").glob("*.png"))) == 2
    assert "note: " in done.output and "stylegan-swap convert" in done.output
    codes = tmp_path / "codes.safetensors"
    done = run("invert", astronaut_path, "-w", psp_file, "-o", codes, "--preview", tmp_path / "look.png")
    assert done.exit_code == 0, done.output
    assert codes.is_file() and (tmp_path / "look.png").is_file()
    refused = run("swap", hopper_path, astronaut_path, "--method", psp_file, "-o", tmp_path / "out.png")
    assert isinstance(refused.exception, UnsupportedOptionError)
    assert not (tmp_path / "out.png").exists()
    system_file("megafs", tmp_path)
    done = run(
        "swap",
        hopper_path,
        astronaut_path,
        "--method",
        tmp_path / "ftm_final.pth",
        "-o",
        tmp_path / "out.png",
    )
    assert done.exit_code == 0, done.output
    assert "method megafs" in done.output and (tmp_path / "out.png").is_file()
