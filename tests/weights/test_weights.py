"""Weights come back as they were saved; whatever is damaged, unsafe or does not fit is refused by name."""

import argparse
import hashlib
import json
import os
import pickle
import resource
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from stylegan_swap._version import __version__
from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights import store as weights
from stylegan_swap.weights.store import find_weights, load_state, load_weights, save_weights

CONFIG = {"size": 32, "channels": [8, 16], "name": "tiny"}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    save_weights(
        tmp_path / "net", {"a.weight": torch.randn(4, 3), "a.bias": torch.zeros(4)}, CONFIG, dtype="float32"
    )
    return tmp_path / "net"


def refused(call, *words):
    with pytest.raises(CheckpointError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


# ---- saving and loading


def test_round_trip(saved):
    for source in (saved, str(saved), saved / "model.safetensors"):
        state, config = load_weights(source)
        assert config == CONFIG and sorted(state) == ["a.bias", "a.weight"]
    torch.manual_seed(0)
    assert torch.equal(state["a.weight"], torch.randn(4, 3))
    assert sorted(os.listdir(saved)) == ["config.json", "model.safetensors"]
    with safe_open(saved / "model.safetensors", "pt") as file:
        assert file.metadata()["library_version"] == __version__
    assert json.loads((saved / "config.json").read_text())["library_version"] == __version__


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", None])
def test_types(tmp_path, dtype):
    state = {"w": torch.tensor([1.0, 1 / 3], dtype=torch.float64), "n": torch.tensor([2**40])}
    save_weights(tmp_path, state, {}, dtype=dtype)
    loaded, _ = load_weights(tmp_path)
    expected = torch.float64 if dtype is None else getattr(torch, dtype)
    assert loaded["w"].dtype == expected and torch.equal(loaded["w"], state["w"].to(expected))
    assert loaded["n"].dtype == torch.int64 and loaded["n"].item() == 2**40
    assert state["w"].dtype == torch.float64


def test_half_precision_is_the_default_and_halves_the_file(tmp_path):
    state = {"w": torch.ones(10_000)}
    half = save_weights(tmp_path / "half", state, {}).stat().st_size
    full = save_weights(tmp_path / "full", state, {}, dtype="float32").stat().st_size
    assert 20_000 <= half < 20_300 and full - half >= 19_900


def test_shared_transposed_and_trained_tensors(tmp_path):
    base = nn.Parameter(torch.arange(12.0).reshape(3, 4))
    image_like = torch.arange(16.0).reshape(1, 2, 2, 4).to(memory_format=torch.channels_last)
    state = {"one": base, "two": base, "turned": base.t(), "part": base[1:], "last": image_like}
    state["sparse"] = torch.eye(3).to_sparse()
    save_weights(tmp_path, state, {}, dtype="float32")
    loaded, _ = load_weights(tmp_path)
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor.to_dense()) and loaded[name].is_contiguous()


def test_others_may_read_the_files(tmp_path):
    before = os.umask(0o022)
    try:
        file = save_weights(tmp_path, {"w": torch.ones(1)}, {})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (file, tmp_path / "config.json")} == {0o644}


def test_nothing_broken_is_saved(tmp_path):
    folder = tmp_path / "net"
    refused(lambda: save_weights(folder, {"w": torch.tensor([float("nan")])}, {}), "w would hold NaN")
    refused(lambda: save_weights(folder, {"w": torch.tensor([1e6])}, {}), "float16", "65504")
    refused(lambda: save_weights(folder, {"w": torch.ones(1)}, {"x": object()}), "JSON")
    refused(lambda: save_weights(folder, {"w": torch.ones(1)}, {"x": float("nan")}), "JSON")
    refused(lambda: save_weights(folder, {"w": torch.ones(1)}, {}, dtype="int8"), "int8", "bfloat16")
    assert not folder.exists()
    save_weights(folder, {"w": torch.tensor([1e6])}, {}, dtype="bfloat16")


def test_a_full_disk_keeps_the_old_weights(saved):
    before = {name: (saved / name).read_bytes() for name in os.listdir(saved)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        refused(lambda: save_weights(saved, {"w": torch.ones(50_000)}, {"new": True}), "could not be saved")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {name: (saved / name).read_bytes() for name in os.listdir(saved)} == before


# ---- bad files


def test_missing_files(tmp_path, saved):
    refused(
        lambda: load_weights(tmp_path / "absent.safetensors"),
        "absent.safetensors",
        "no such weights",
        "default",
    )
    refused(lambda: load_weights("defualt"), "nearest: default")
    refused(lambda: load_weights(tmp_path), "holds no model.safetensors")
    refused(lambda: load_weights("a\0b"), "no such weights")
    refused(lambda: load_weights("x" * 5000), "path")
    (saved / "config.json").unlink()
    refused(lambda: load_weights(saved), "config.json", "missing")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    "content, word",
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b"\n  <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"random words", "fetch it again"),
    ],
)
def test_impostors(saved, suffix, content, word):
    path = saved / f"other{suffix}"
    path.write_bytes(content)
    refused(lambda: load_weights(path), path.name, word)


@pytest.mark.parametrize("kept", [4, 60, -1, -8])
def test_truncated_safetensors(saved, kept):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused(lambda: load_weights(saved), "model.safetensors", "truncated or damaged")


def test_a_header_that_begins_like_a_web_page(tmp_path):
    # A safetensors file begins with the length of its header, and 60 is '<'.
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'.ljust(60)
    data = torch.ones(2).numpy().tobytes()
    (tmp_path / "model.safetensors").write_bytes((60).to_bytes(8, "little") + header + data)
    (tmp_path / "config.json").write_text('{"format": 1, "network": {}}')
    assert load_weights(tmp_path)[0]["w"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "content, word",
    [
        ("{", "JSON"),
        ("[1]", "lacks"),
        ('{"size": 32}', "lacks"),
        ('{"format": 99, "library_version": "9.9", "network": {}}', "newer version 9.9"),
    ],
)
def test_bad_configs(saved, content, word):
    (saved / "config.json").write_text(content)
    refused(lambda: load_weights(saved), "config.json", word)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(tmp_path, saved, value):
    save_file({"fine": torch.ones(1), "bad": torch.tensor([1, value])}, saved / "model.safetensors")
    refused(lambda: load_weights(saved), "bad holds NaN or infinity")


def test_other_suffixes(saved):
    (saved / "net.onnx").write_bytes(b"\x08\x07")
    refused(lambda: load_weights(saved / "net.onnx"), ".onnx", ".safetensors")


# ---- PyTorch's own files


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch, legacy):
    # Even where the environment asks torch to trust everything.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    trace, path = tmp_path / "it_ran", tmp_path / "bomb.pt"
    content = {"state_dict": {"w": Bomb(trace)}, "config": {}}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    refused(lambda: load_weights(path), "bomb.pt", "posix.system", "nothing in it was executed")
    path.write_bytes(pickle.dumps(Bomb(trace)))
    refused(lambda: load_weights(path), "bomb.pt")
    path.rename(tmp_path / "bomb.pkl")
    refused(lambda: load_weights(tmp_path / "bomb.pkl"), ".pkl")
    assert not trace.exists()
    # The bomb is live: trusted, it would have run.
    pickle.loads(pickle.dumps(Bomb(trace)))  # noqa: S301
    assert trace.exists()


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_our_own_layout_in_a_pt_file(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    torch.save({"state_dict": {"w": torch.arange(3.0)}, "config": CONFIG}, path)
    state, config = load_weights(path)
    assert state["w"].tolist() == [0, 1, 2] and config == CONFIG
    path.write_bytes(path.read_bytes()[:-200])
    refused(lambda: load_weights(path), path.name, "truncated or damaged")


def test_a_pt_file_cut_anywhere(tmp_path):
    path = tmp_path / "net.pt"
    torch.save(
        {"state_dict": {"w": torch.arange(3.0)}, "config": {}}, path, _use_new_zipfile_serialization=False
    )
    good = path.read_bytes()
    for length in range(len(good) - 1):
        path.write_bytes(good[:length])
        refused(lambda: load_weights(path), "net.pt")


@pytest.mark.parametrize(
    "content",
    [
        {"g_ema": {"w": torch.ones(1)}, "latent_avg": torch.ones(1)},
        {"state_dict": {"w": torch.ones(1)}},
        {"state_dict": {"w": [1, 2]}, "config": {}},
        [1, 2],
    ],
)
def test_foreign_layouts(tmp_path, content):
    torch.save(content, tmp_path / "stylegan2-ffhq.pt")
    refused(lambda: load_weights(tmp_path / "stylegan2-ffhq.pt"), "stylegan-swap convert")


def test_an_old_research_checkpoint(tmp_path):
    """The command line it carries along becomes an inert record; a class of the project is refused."""
    content = {"state_dict": {"w": torch.ones(1)}, "config": {}, "opts": argparse.Namespace(lr=1)}
    torch.save(content, tmp_path / "old.pt")
    assert load_weights(tmp_path / "old.pt")[0]["w"].tolist() == [1]
    torch.save({**content, "opts": argparse.ArgumentParser}, tmp_path / "old.pt")
    refused(lambda: load_weights(tmp_path / "old.pt"), "argparse.ArgumentParser")


# ---- fitting


def test_load_state_converts_and_fills():
    module = nn.Linear(3, 2)
    load_state(module, {"weight": torch.full((2, 3), 0.5, dtype=torch.float16), "bias": torch.ones(2)}, "net")
    assert module.weight.dtype == torch.float32 and torch.equal(module.weight, torch.full((2, 3), 0.5))


def test_load_state_names_everything_and_changes_nothing():
    module = nn.Sequential(*[nn.Linear(2, 2) for _ in range(4)])
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = {f"{i}.wieght": torch.zeros(2, 2) for i in range(4)}
    state |= {f"{i}.bias": torch.zeros(3) for i in range(2)} | {
        "2.bias": torch.zeros(2),
        "extra": torch.zeros(1),
    }
    message = refused(
        lambda: load_state(module, state, "default"),
        "default: the weights do not fit Sequential",
        "5 missing (0.weight, 1.weight, 2.weight, 3.weight, 3.bias)",
        "5 unexpected (0.wieght (nearest: 0.weight)",
        "2 of another shape (0.bias: file [3], network [2]",
    )
    assert "extra (nearest" not in message
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize(
    "change, word",
    [
        ({"extra": torch.zeros(1)}, "1 unexpected (extra)"),
        ({"bias": torch.zeros(3)}, "file [3], network [2]"),
    ],
)
def test_one_misfit_is_enough(change, word):
    module = nn.Linear(3, 2)
    before = module.weight.detach().clone()
    state = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)} | change
    refused(lambda: load_state(module, state, "net"), word)
    assert torch.equal(module.weight, before)


def test_long_lists_are_cut():
    message = refused(lambda: load_state(nn.LSTM(2, 2, num_layers=3), {}, "net"), "12 missing", "…")
    assert message.count("weight_") + message.count("bias_") == 5


# ---- the registry


def test_the_registry_of_this_checkout():
    entries = weights.registered_weights()
    assert entries["default"].file == "default/model.safetensors" and entries["default"].licence
    folder = weights.shipped_folder()
    for entry in entries.values():
        assert len(entry.sha256) == 64 and find_weights(entry.name) == folder / entry.file
    assert weights.default_weights_available()


def test_deleted_default_weights(without_default_weights):
    assert not weights.default_weights_available()
    refused(lambda: find_weights("default"), "default", "missing", "install", "warp")
    assert find_weights("landmark_net").is_file()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package folder with nothing in it, as the lookup sees it; returns it."""
    package = tmp_path / "site" / "stylegan_swap"
    package.mkdir(parents=True)
    monkeypatch.setattr(weights.importlib.resources, "files", lambda name: package)
    return package


def registry(folder, sha256="", file="default/model.safetensors"):
    folder.mkdir(exist_ok=True)
    text = f'[default]\nfile = "{file}"\nlicence = "Apache-2.0"\nsha256 = "{sha256}"\n'
    (folder / "registry.toml").write_text(text)


def test_wheel_before_checkout(installed):
    refused(weights.shipped_folder, "install")
    beside = installed.parent / "checkpoints"
    registry(beside)
    assert weights.shipped_folder() == beside
    registry(installed / "checkpoints")
    assert weights.shipped_folder() == installed / "checkpoints"


def test_a_shipped_file_is_found_and_verified(installed):
    folder = installed / "checkpoints"
    registry(folder)
    assert not weights.default_weights_available()
    file = save_weights(folder / "default", {"w": torch.ones(2)}, CONFIG)
    assert weights.default_weights_available() and find_weights("default") == file
    assert load_weights("default")[1] == CONFIG
    registry(folder, sha256=hashlib.sha256(file.read_bytes()).hexdigest().upper())
    assert find_weights("default") == file
    registry(folder, sha256="0" * 64)
    refused(lambda: find_weights("default"), "sha256", "0" * 64)


@pytest.mark.parametrize(
    "text, word",
    [
        ("[default", "cannot be read"),
        ('[default]\nfile = "x"\n', "incomplete"),
        ('[default]\nfile = "x"\nlicence = ""\nsha256 = ""\nlicense = ""\n', "license"),
        ('[default]\nfile = "../../x"\nlicence = ""\nsha256 = ""\n', "outside"),
        ('[default]\nfile = "/etc/passwd"\nlicence = ""\nsha256 = ""\n', "outside"),
        ("default = 3\n", "wrong"),
    ],
)
def test_bad_registries(installed, text, word):
    registry(installed / "checkpoints")
    (installed / "checkpoints" / "registry.toml").write_text(text)
    refused(weights.registered_weights, "registry.toml", word)


def test_the_module_does_not_import_torch():
    code = "import sys, stylegan_swap.weights.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
