"""Methods by name: the listing, the decorator, and what is said of a name nobody knows."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.methods import registry
from stylegan_swap.methods.registry import build_method, list_methods, method_entry, register_method


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


def test_the_listing():
    assert list_methods() == sorted(list_methods()) and {"default", "warp"} <= set(list_methods())
    assert method_entry("default").needs_weights and not method_entry("warp").needs_weights
    summaries = [method_entry(name).summary for name in list_methods()]
    assert all(summary and "\n" not in summary for summary in summaries)


def test_listing_imports_no_method():
    code = (
        "import sys; from stylegan_swap.methods.registry import list_methods; list_methods();"
        "print([m for m in sys.modules if m.startswith('stylegan_swap.methods') or m == 'torch'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_lists_the_known_ones():
    for call in (method_entry, lambda name: build_method(name, None, torch.device("cpu"), torch.float32)):
        with pytest.raises(UnsupportedOptionError, match=r"'faceshifter': choose one of .*default.*warp"):
            call("faceshifter")


def test_the_decorator_registers_and_returns_the_class():
    assert register_method("echo", needs_weights=True, summary="says it again")(Echo) is Echo
    assert "echo" in list_methods()
    entry = method_entry("echo")
    assert entry.needs_weights and entry.summary == "says it again"
    assert entry.home == f"{__name__}:Echo"
    built = build_method("echo", None, torch.device("cpu"), torch.bfloat16)
    assert isinstance(built, Echo) and built.arguments == (None, torch.device("cpu"), torch.bfloat16)


def test_a_name_belongs_to_one_class():
    again = register_method("echo", needs_weights=False, summary="a")
    again(Echo)
    again(Echo)  # the same class: a module imported twice
    with pytest.raises(ValueError, match=r"'echo' is registered already, by .*:Echo"):
        again(type("Other", (), {}))
    with pytest.raises(ValueError, match=r"'warp' is registered already, by .*WarpMethod"):
        register_method("warp", needs_weights=False, summary="mine")(Echo)
    assert method_entry("warp").home.endswith("WarpMethod")


def test_warp_takes_no_weights(tmp_path):
    with pytest.raises(UnsupportedOptionError, match="'warp' takes no weights, but"):
        build_method("warp", tmp_path, torch.device("cpu"), torch.float32)
