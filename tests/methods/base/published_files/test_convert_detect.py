"""What a file is: the table of formats, and what is said of files that are in none of them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from weights.foreign import nvidia_modules

from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.files.cache import CACHE_VARIABLE
from stylegan_swap.methods.base.published_files.detect import convert_file, convert_files
from stylegan_swap.methods.base.published_files.formats import (
    STYLEGAN_FORMATS,
    Companion,
    Format,
    known_formats,
)
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.weights.cache import cached_path
from stylegan_swap.weights.readers.torch_file import read_file
from stylegan_swap.weights.store import published_weights, save_weights
from stylegan_swap.weights.stylegan_formats.converted import Converted, load_converted


def write(tmp_path: Path, content: object, name: str = "file.pt") -> Path:
    torch.save(content, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (torch.ones(1, 18, 512), r"a single tensor \[1, 18, 512\]"),
        (
            {"conv1.weight": torch.ones(2), "bn1.weight": torch.ones(1)},
            "a state dict of 2 tensors with conv1.w",
        ),
        (
            {"epoch": 3, "model": {"a.weight": torch.ones(1)}},
            r"a dict with epoch, model \(1 entries from a\.weight",
        ),
        ({"pytorch-lightning_version": "2", "state_dict": {}}, "checkpoint of PyTorch Lightning"),
        ([torch.ones(1)], "a list"),
        ({}, "an empty dict"),
        ({f"key{n}": n for n in range(9)}, "a dict with key0, key1, key2, key3, key4, …"),
    ],
)
def test_an_unknown_file_is_described(content: object, looks: str, tmp_path: Path):
    file = write(tmp_path, content)
    with pytest.raises(CheckpointError, match=looks) as caught:
        convert_file(file)
    message = str(caught.value)
    assert str(file) in message
    assert "\n" not in message
    assert all(name in message for name in known_formats())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "neither a PyTorch file nor a pickle"),
        (b"PK\x03\x04" + b"\0" * 99, "truncated or damaged"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02", "truncated or damaged"),
    ],
)
def test_files_that_are_no_weights(data: bytes, message: str, tmp_path: Path):
    file = tmp_path / "file.pt"
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        convert_file(file)
    assert str(file) in str(caught.value)


def test_truncated_files(tmp_path: Path):
    whole = write(tmp_path, {"g_ema": {"a": torch.ones(500)}}).read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        convert_file(tmp_path / "half.pt")
    (tmp_path / "half.pkl").write_bytes(pickle.dumps({"G": list(range(500))})[:200])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        convert_file(tmp_path / "half.pkl")


def test_missing_own_and_misnamed_files(tmp_path: Path):
    with pytest.raises(CheckpointError, match="there is no such file"):
        convert_file(tmp_path / "no.pt")
    with pytest.raises(CheckpointError, match="nor a published network"):
        convert_file(tmp_path)
    own = save_weights(tmp_path / "own", {"a": torch.ones(1)}, {})
    for path in (own, own.parent):
        with pytest.raises(CheckpointError, match=r"needs? no converting"):
            convert_file(path)
    with pytest.raises(UnsupportedOptionError, match="choose one of rosinality"):
        convert_file(write(tmp_path, {}), "stylegan9")
    with pytest.raises(CheckpointError, match="of no 'arcface' format"):
        convert_file(write(tmp_path, {"g_ema": {"convs.0.conv.weight": torch.ones(1)}}), "arcface")


def test_a_downloaded_name_is_its_file(tmp_path: Path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match="stylegan-swap download stylegan2-ffhq-256"):
        convert_file("stylegan2-ffhq-256")
    place = cached_path(published_weights()["stylegan2-ffhq-256"])
    place.parent.mkdir(parents=True)
    torch.save({"g_ema": Generator(8, 4, 1, channels={4: 3, 8: 2}).state_dict()}, place)
    assert convert_file("stylegan2-ffhq-256").config["generator"]["size"] == 8


def test_a_sparse_tensor(tmp_path: Path):
    with pytest.raises(CheckpointError, match="sparse"):
        convert_file(write(tmp_path, {"g_ema": {"a": torch.eye(3).to_sparse()}}))


def test_a_new_format_is_a_line_in_the_table(tmp_path: Path, monkeypatch):
    network = Generator(8, 4, 1, channels={4: 3, 8: 2})

    def made(content, source):
        config = {"size": 8, "style_dim": 4, "n_mlp": 1, "channels": {"4": 3, "8": 2}}
        return Converted(source, "mine", {"generator": content["mine"]}, {"generator": config}).checked()

    entry = Format("mine", "my own", lambda content: "mine" in content, made)
    monkeypatch.setitem(STYLEGAN_FORMATS, "mine", entry)
    converted = convert_file(write(tmp_path, {"mine": network.state_dict()}))
    assert converted.format == "mine"
    assert converted.build("generator")(torch.ones(1, 4)).image.shape == (1, 3, 8, 8)


def test_a_format_of_several_files_with_a_reader_of_its_own(tmp_path: Path, monkeypatch):
    """As DeepFaceLab's: arrays of NumPy, one file per network, told apart by what they hold."""

    def made(content, source, *others):
        state = {f"{n}": torch.from_numpy(file.content) for n, file in enumerate(others)}
        return Converted(source, "pair", {"encoder": {"0": torch.from_numpy(content)}, "inter": state}, {})

    files = {"encoder.npy": 1, "inter.npy": 2, "decoder.npy": 3}
    for name, length in files.items():
        np.save(tmp_path / name, np.zeros(length, np.float32))

    def shaped(length):
        return lambda content: isinstance(content, np.ndarray) and len(content) == length

    for name, length in (("inter", 2), ("decoder", 3)):
        monkeypatch.setitem(STYLEGAN_FORMATS, name, Format(name, "a part", shaped(length), made))
    companions = tuple(Companion(name, f"{name}.npy", "none") for name in ("inter", "decoder"))
    pair = Format(
        "pair", "arrays", shaped(1), made, companions=companions, readers={".npy": lambda file: np.load(file)}
    )
    monkeypatch.setitem(STYLEGAN_FORMATS, "pair", pair)
    paths = [tmp_path / name for name in files]
    for given in (paths[:1], paths, paths[::-1], [paths[2], paths[0]]):
        converted = convert_files(given)
        assert [len(part) for part in converted.parts["inter"].values()] == [2, 3]
    paths[1].unlink()
    with pytest.raises(CheckpointError, match=r"one of 3 files of pair; inter\.npy is not beside it"):
        convert_files(paths[:1])
    np.save(paths[1], np.zeros(3, np.float32))
    with pytest.raises(CheckpointError, match=r"inter\.npy: is decoder, but with encoder\.npy"):
        convert_files(paths[:1])


def test_other_values_in_torch_files(tmp_path: Path):
    """NVIDIA's dicts and NumPy's numbers and arrays, as whole modules in PyTorch's file carry them along."""
    with nvidia_modules() as nvidia:
        numbers = {"a": np.float64(0.5), "b": np.arange(6, dtype=np.float32).reshape(2, 3).T}
        file = write(tmp_path, nvidia.easy_dict(path="x.zip", **numbers))
    found = read_file(file)
    assert (found["path"], found["a"]) == ("x.zip", 0.5)
    assert torch.equal(found["b"].tensor, torch.arange(6.0).reshape(2, 3).t())


@pytest.mark.parametrize(
    "change", [{"size": 1 << 40}, {"n_mlp": 1 << 40}, {"size": 32768, "channels": {"4": 3}}]
)
def test_impossible_descriptions(change: dict, tmp_path: Path):
    config = {"size": 8, "style_dim": 4, "n_mlp": 1, "channels": {"4": 3, "8": 2}} | change
    state = {f"generator.{n}": v for n, v in Generator(8, 4, 1, {4: 3, 8: 2}).state_dict().items()}
    save_weights(tmp_path / "odd", state, {"converted_from": "rosinality", "generator": config})
    with pytest.raises(CheckpointError, match="generator"):
        load_converted(tmp_path / "odd")


def test_a_network_of_impossible_size(tmp_path: Path):
    network = Generator(8, 4, 1, channels={4: 3, 8: 2}).state_dict()
    block = {f"to_rgbs.{j}.conv.weight": torch.ones(1, 3, 2, 1, 1) for j in range(30)}
    with pytest.raises(CheckpointError, match="30 blocks"):
        convert_file(write(tmp_path, {"g_ema": network | block}))


def test_only_conversions_are_loaded(tmp_path: Path):
    save_weights(tmp_path / "own", {"generator.a": torch.ones(1)}, {"size": 8})
    with pytest.raises(CheckpointError, match="no converted networks"):
        load_converted(tmp_path / "own")
    save_weights(tmp_path / "odd", {"judge.a": torch.ones(1)}, {"converted_from": "rosinality"})
    with pytest.raises(CheckpointError, match="does not say what judge is"):
        load_converted(tmp_path / "odd")
    save_weights(tmp_path / "bad", {}, {"converted_from": "rosinality", "generator": {"size": 7}})
    with pytest.raises(CheckpointError, match="no generator can be built"):
        load_converted(tmp_path / "bad")


def test_numbers_can_be_halved(tmp_path: Path):
    network = Generator(8, 4, 1, channels={4: 3, 8: 2})
    converted = convert_file(write(tmp_path, {"g_ema": network.state_dict()}))
    halved = load_converted(converted.save(tmp_path / "half", dtype="float16").parent)
    assert halved.parts["generator"]["input.input"].dtype == torch.float16
    torch.testing.assert_close(
        halved.build("generator").input.input, network.input.input, atol=1e-3, rtol=1e-3
    )
    with pytest.raises(CheckpointError, match="holds no encoder, only generator"):
        converted.build("encoder")
