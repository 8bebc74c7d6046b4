"""The exchange format: recorded outputs through the converter, shapes that tell the sizes, round trips."""

from __future__ import annotations

import argparse
from pathlib import Path

import golden
import pytest
import torch
from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.detect import convert_file
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.nn.stylegan2.generator import Generator, channels_for
from stylegan_swap.training.start_weights import read_start
from stylegan_swap.weights.stylegan_formats import rosinality
from stylegan_swap.weights.stylegan_formats.converted import Converted, load_converted

CHANNELS = {4: 6, 8: 5, 16: 4}


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(16, style_dim=8, n_mlp=3, channels=CHANNELS)


@pytest.fixture
def discriminator() -> Discriminator:
    torch.manual_seed(1)
    return Discriminator(16, channels=CHANNELS)


def same(have: dict[str, Tensor], want: dict[str, Tensor]) -> None:
    assert set(have) == set(want)
    assert all(torch.equal(have[name], value) for name, value in want.items())


@golden.mark
def test_official_generator(tmp_path: Path):
    known = golden.case("rosinality_generator_64")
    config = known.config
    whole = Generator(config["size"], 64, config["n_mlp"], channel_multiplier=1, lr_mlp=1.0).state_dict()
    state = whole | known.state()
    file = tmp_path / "550000.pt"
    torch.save({"g_ema": state, "latent_avg": torch.ones(64)}, file)
    converted = convert_file(file)
    assert converted.config["generator"]["channels"] == {str(r): c for r, c in channels_for(64, 1).items()}
    # This case was recorded with another factor than the published one, which no file tells.
    converted.config["generator"]["lr_mlp"] = config["lr_mlp"]
    saved = load_converted(converted.save(tmp_path / "ours").parent)
    for one in (converted, saved):
        network = one.build("generator")
        with torch.no_grad():
            w = network.mapping(known.input("z"))
            known.check("w", w)
            known.check("img", network(w).image)
            known.check("img_wplus", network(known.input("wplus")).image)
            mixed = network.style_mix(w, network.mapping(known.input("z2")), 4)
            known.check("img_mix_idx4", network(mixed).image)
    back = rosinality.to_rosinality(saved)
    same(back["g_ema"], state)
    assert torch.equal(back["latent_avg"], torch.ones(64))


@golden.mark
def test_official_mapping(tmp_path: Path):
    known = golden.case("rosinality_mapping")
    config = known.config
    whole = Generator(config["size"], config["style_dim"], config["n_mlp"], channel_multiplier=1).state_dict()
    torch.save({"g_ema": whole | known.state()}, tmp_path / "small.pt")
    network = convert_file(tmp_path / "small.pt").build("generator")
    with torch.no_grad():
        known.check("style_3", network.mapping(known.input("z")))


@golden.mark
def test_official_discriminator(generator, tmp_path: Path):
    known = golden.case("rosinality_discriminator_64")
    judge = known.fill(Discriminator(**known.config)).state_dict()
    torch.save({"g_ema": generator.state_dict(), "d": judge}, tmp_path / "train.pt")
    saved = load_converted(convert_file(tmp_path / "train.pt").save(tmp_path / "ours").parent)
    images = known.input("img8") * torch.arange(1.0, 9.0)[:, None, None, None]
    with torch.no_grad():
        known.check("logits8", saved.build("discriminator")(images))
    same(rosinality.to_rosinality(saved)["d"], judge)


def test_training_checkpoint_round_trip(generator, discriminator, tmp_path: Path):
    content = {
        "g": {name: value + 1 for name, value in generator.state_dict().items()},
        "d": discriminator.state_dict(),
        "g_ema": generator.state_dict(),
        "latent_avg": torch.arange(8.0),
        "g_optim": {"state": {}, "param_groups": []},
        "args": argparse.Namespace(size=16, lr=0.002),
        "ada_aug_p": 0.1,
    }
    file = tmp_path / "010000.pt"
    torch.save(content, file)
    converted = convert_file(file)
    assert converted.format == "rosinality"
    assert converted.notes == ("left out: ada_aug_p, args, g_optim",)
    folder = converted.save(tmp_path / "ours").parent
    back = rosinality.to_rosinality(load_converted(folder))
    assert set(back) == {"g", "d", "g_ema", "latent_avg"}
    for key in ("g", "d", "g_ema"):
        same(back[key], content[key])
    assert torch.equal(back["latent_avg"], content["latent_avg"])
    # Training starts from it.
    start = read_start(folder)
    start.fill(Generator(16, 8, 3, CHANNELS), "generator")
    start.fill(Discriminator(16, CHANNELS), "discriminator")


def test_older_pytorch_format(generator, tmp_path: Path):
    file = tmp_path / "old.pt"
    torch.save({"g_ema": generator.state_dict()}, file, _use_new_zipfile_serialization=False)
    same(convert_file(file).parts["generator"], generator.state_dict())


def test_training_generator_alone(generator, tmp_path: Path):
    file = tmp_path / "g.pt"
    torch.save({"g": {f"module.{n}": v for n, v in generator.state_dict().items()}}, file)
    same(convert_file(file).parts["generator"], generator.state_dict())


def test_missing_filters_and_noise_are_filled_in(generator, tmp_path: Path):
    full = generator.state_dict()
    file = tmp_path / "old.pt"
    torch.save({"g_ema": {n: v for n, v in full.items() if "noises" not in n and "kernel" not in n}}, file)
    first, second = convert_file(file), convert_file(file)
    assert first.notes == ("the file lacks 5 noise maps; they were drawn with seed 0",)
    same(first.parts["generator"], second.parts["generator"])
    assert set(first.parts["generator"]) == set(full)
    kernels = [name for name in full if name.endswith("kernel")]
    assert kernels
    assert all(torch.equal(first.parts["generator"][name], full[name]) for name in kernels)


@pytest.mark.parametrize(("size", "multiplier"), [(1024, 2), (512, 2), (256, 2), (256, 1)])
def test_published_sizes_are_seen_in_the_shapes(size: int, multiplier: int):
    with torch.device("meta"):
        state = Generator(size, channel_multiplier=multiplier).state_dict()
        judge = Discriminator(size, channel_multiplier=multiplier).state_dict()
    converted = rosinality.convert({"g_ema": state, "d": judge}, "file.pt")
    table = {str(r): c for r, c in channels_for(size, multiplier).items()}
    assert converted.config == {
        "generator": {
            "size": size,
            "style_dim": 512,
            "n_mlp": 8,
            "channels": table,
            "lr_mlp": 0.01,
            "conv_clamp": None,
        },
        "discriminator": {"size": size, "channels": table, "in_channels": 3, "group": 4},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"convs.1.conv.weight": None}, r"1 missing \(convs\.1\.conv\.weight\)"),
        ({"convs.9.conv.weight": torch.ones(1)}, r"1 unexpected \(convs\.9"),
        ({"convs.1.conv.weight": torch.ones(1, 5, 7, 3, 3)}, "file .1, 5, 7, 3, 3., network .1, 5, 5, 3, 3."),
        ({"input.input": None}, r"lacks input\.input"),
        ({"to_rgb1.conv.weight": torch.ones(1, 1, 6, 1, 1)}, "RGB"),
        ({"to_rgbs.0.conv.weight": torch.ones(3)}, "5 dimensions"),
    ],
)
def test_incomplete_files(change: dict, message: str, generator, tmp_path: Path):
    state = {n: v for n, v in (generator.state_dict() | change).items() if v is not None}
    file = tmp_path / "broken.pt"
    torch.save({"g_ema": state}, file)
    with pytest.raises(CheckpointError, match=message) as caught:
        convert_file(file)
    assert str(file) in str(caught.value)


def test_nothing_to_write_back(discriminator):
    state = discriminator.state_dict()
    with pytest.raises(CheckpointError, match="no generator"):
        rosinality.to_rosinality(Converted("a folder", "rosinality", {"discriminator": state}, {}))
