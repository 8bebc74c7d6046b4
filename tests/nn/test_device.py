"""What "auto" means: the rule for bfloat16, and that what it lets through stays within 0.01."""

from __future__ import annotations

import json

import pytest
import torch

from stylegan_swap.api import Swapper
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.evaluation.bench.generator import random_generator
from stylegan_swap.methods.registry import generator_side
from stylegan_swap.nn import device as device_module
from stylegan_swap.nn.device import choose_dtype, has_fast_bfloat16

CPU = torch.device("cpu")


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(device_module, "has_fast_bfloat16", lambda device: True)


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setattr(device_module, "has_fast_bfloat16", lambda device: False)


def test_auto_on_a_fast_processor(fast):
    for side, expected in ((None, "float32"), (128, "float32"), (256, "bfloat16"), (1024, "bfloat16")):
        assert choose_dtype("auto", CPU, side) == getattr(torch, expected)
        assert choose_dtype("float32", CPU, side) == torch.float32
        assert choose_dtype("auto", torch.device("cuda"), side) == torch.float32
        assert choose_dtype("auto", None, side) == torch.float32


def test_auto_on_other_processors(slow):
    assert choose_dtype("auto", CPU, 1024) == torch.float32
    assert choose_dtype("bfloat16", CPU, 1024) == torch.bfloat16
    with pytest.raises(UnsupportedOptionError, match="unknown dtype 'half'"):
        choose_dtype("half", CPU, 1024)


def test_processors_that_are_not_asked_count_as_slow(monkeypatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not has_fast_bfloat16(CPU)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert has_fast_bfloat16(CPU)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert has_fast_bfloat16(CPU)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert not has_fast_bfloat16(CPU)
    assert not has_fast_bfloat16(torch.device("mps"))


def test_the_side_is_read_from_the_configuration(tiny_checkpoint, tmp_path):
    assert generator_side(tiny_checkpoint / "model.safetensors") == 64
    for text in ("", "[]", json.dumps({"network": {}}), json.dumps({"network": {"size": "256"}})):
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
        assert generator_side(tmp_path / "model.safetensors") is None
    assert generator_side(tmp_path / "nowhere" / "model.safetensors") is None


def test_a_swapper_follows_the_rule(fast, monkeypatch, tiny_checkpoint):
    assert Swapper.from_pretrained(tiny_checkpoint, device="cpu").method.dtype == torch.float32
    monkeypatch.setattr(device_module, "_BFLOAT16_FROM", 64)
    assert Swapper.from_pretrained(tiny_checkpoint, device="cpu").method.dtype == torch.bfloat16
    assert (
        Swapper.from_pretrained(tiny_checkpoint, device="cpu", dtype="float32").method.dtype == torch.float32
    )


@pytest.mark.parametrize("size", [64, pytest.param(256, marks=pytest.mark.exhaustive)])
def test_bfloat16_stays_within_a_hundredth(size):
    """The published blocks up to that size: images scaled to what photographs in [-1, 1] spread (0.5)."""
    network = random_generator(size)
    stream = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        w = network.mapping(torch.randn(1, 512, generator=stream))
        exact = network(w, return_features=False).image
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = network.for_inference()(w, return_features=False).image
    error = (rounded - exact) * (0.5 / exact.std())
    assert 0 < error.square().mean().sqrt() < 0.01
    assert error.abs().max() < 0.1


def test_the_default_weights_in_bfloat16_stay_within_a_hundredth(astronaut, hopper):
    faces = []
    for dtype in ("float32", "bfloat16"):
        swapper = Swapper.from_pretrained("default", device="cpu", dtype=dtype)
        faces.append(swapper(swapper.prepare(hopper), astronaut).faces[0].aligned)
    error = faces[0] - faces[1]
    assert 0 < error.square().mean().sqrt() < 0.01
    assert error.abs().max() < 0.1
