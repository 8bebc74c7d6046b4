"""Methods by name: the listing, the decorator, and what is said of a name nobody knows."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from stylegan_swap.cli.main import app
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.files.cache import CACHE_VARIABLE
from stylegan_swap.methods import registry
from stylegan_swap.methods.base.network_method import NetworkMethod
from stylegan_swap.methods.baselines.method import PasteMethod
from stylegan_swap.methods.registry import (
    MethodSpec,
    build_method,
    list_methods,
    method_class,
    method_formats,
    method_names,
    method_spec,
    register_method,
)
from stylegan_swap.swapping.find_method import find_method
from stylegan_swap.weights.cache import cached_path
from stylegan_swap.weights.store import published_weights


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))


class Echo:
    """A method of somebody else's package."""

    @classmethod
    def from_pretrained(cls, weights, *, device, dtype):
        made = cls()
        made.arguments = (weights, device, dtype)
        return made


class Slow(PasteMethod):
    """A method that takes long, and says so."""

    name, seconds_per_face = "slow", 41.6


def test_the_listing():
    rows = {row.name: row for row in list_methods()}
    assert list(rows) == sorted(rows) == method_names() and {"default", "warp", "megafs"} <= set(rows)
    assert rows["warp"].present == "built in" and rows["default"].present == "comes with the library"
    megafs = rows["megafs"]
    assert (megafs.year, megafs.crop, megafs.published) == (2021, "FFHQ", "CC BY-NC 4.0")
    assert megafs.present in ("to download", "downloaded") and "338.6 M" in str(megafs)
    assert [row.name for row in list_methods("cvpr 2022")] == ["fslsd", "rafswap"]
    assert [row.name for row in list_methods("PAIRS cc")] == ["megafs"] and list_methods("nobody") == []
    assert all("\n" not in str(row) for row in rows.values())


def test_a_download_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert {row.name: row.present for row in list_methods()}["rafswap"] == "to download"
    file = cached_path(published_weights()["rafswap"])
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert {row.name: row.present for row in list_methods()}["rafswap"] == "downloaded"


def test_what_a_row_says_is_what_the_class_does():
    """Names, crops and sizes of the listing are those of the modules, which it does not import."""
    for name in [*method_names(), "latents-only"]:
        known, spec = method_class(name), method_spec(name)
        assert known.name == name and known.crop.name == spec.crop
        assert spec.needs_weights == issubclass(known, NetworkMethod)
    for name in method_formats():
        with torch.device("meta"):
            network = method_class(name).network_class()
        assert sum(p.numel() for p in network.parameters()) == method_spec(name).parameters
        assert method_class(name).config_class is method_formats()[name].config_class


def test_listing_imports_no_method():
    code = (
        "import sys; from stylegan_swap.methods.registry import list_methods; list_methods();"
        "print([m for m in sys.modules if m.startswith('stylegan_swap.methods.base') or m == 'torch'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_lists_the_known_ones():
    for call in (method_spec, lambda name: build_method(name, None, torch.device("cpu"), torch.float32)):
        with pytest.raises(UnsupportedOptionError, match=r"'smileswap': choose one of .*default.*warp"):
            call("smileswap")


def test_the_decorator_registers_and_returns_the_class():
    assert register_method("echo", MethodSpec("says it again", year=2030))(Echo) is Echo
    row = next(row for row in list_methods() if row.name == "echo")
    assert row.present == "to train" and row.title == "says it again"
    assert method_spec("echo").home == f"{__name__}:Echo"
    built = build_method("echo", None, torch.device("cpu"), torch.bfloat16)
    assert isinstance(built, Echo) and built.arguments == (None, torch.device("cpu"), torch.bfloat16)
    # The same class again: a module imported twice. Another one, or a name of the library's: refused.
    register_method("echo", MethodSpec("b"))(Echo)
    with pytest.raises(ValueError, match=r"'echo' is registered already, by .*:Echo"):
        register_method("echo", MethodSpec("c"))(type("Other", (), {}))
    with pytest.raises(ValueError, match=r"'warp' is registered already, by .*warp"):
        register_method("warp", MethodSpec("mine"))(Echo)


def test_a_costly_method_says_so():
    register_method("slow", MethodSpec("takes its time", needs_weights=False))(Slow)
    method, notes = find_method("slow", "cpu", "float32")
    assert isinstance(method, Slow) and notes == ["slow takes about 42 s per face on cpu"]
    assert find_method("paste", "cpu", "float32")[1] == []


def test_warp_takes_no_weights(tmp_path):
    with pytest.raises(UnsupportedOptionError, match="'warp' takes no weights, but"):
        build_method("warp", tmp_path, torch.device("cpu"), torch.float32)


def test_the_command_prints_the_table(capsys):
    app(["methods", "--filter", "2021"], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and lines[0].startswith("megafs ") and "CC BY-NC 4.0" in lines[0]
