"""NaN and infinity, wherever they come from: an error that names the stage, never a black picture."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch

from inversion import Inversion, Latents
from stylegan_swap import Swapper
from stylegan_swap.cli import main as cli
from stylegan_swap.editing.codes import save_codes
from stylegan_swap.errors import NonFiniteError

BROKEN = (float("nan"), float("inf"))


@pytest.fixture
def tiny(tiny_checkpoint) -> Swapper:
    """Fresh, because its weights are spoilt."""
    return Swapper.from_pretrained(tiny_checkpoint, device="cpu", dtype="float32")


def spoil(tiny: Swapper, name: str, value: float) -> None:
    with torch.no_grad():
        tiny.method.network.get_parameter(name).view(-1)[0] = value


@pytest.mark.parametrize("value", BROKEN)
def test_each_stage_is_named(tiny, hopper, astronaut, value):
    """Weights are checked when they are loaded; these break later, as a value too large for float16 does."""
    person = tiny.prepare(hopper)
    spoil(tiny, "generator.to_rgbs.3.conv.weight", value)
    with pytest.raises(NonFiniteError, match="default: the generator gave NaN or infinity: its weights"):
        tiny(person, astronaut)
    with pytest.raises(NonFiniteError, match="the generator"):
        tiny.generate(n=1)
    broken = dataclasses.replace(person.prepared, embedding=person.prepared.embedding * value)
    with pytest.raises(NonFiniteError, match="the swapper"):
        tiny(dataclasses.replace(person, prepared=broken), astronaut)
    for parameter in tiny.method.network.encoder.parameters():
        parameter.data.fill_(value)
    for call in (tiny.prepare, tiny.invert):
        with pytest.raises(NonFiniteError, match=r"the (encoder|recogniser)"):
            call(astronaut)  # who wears no glasses: of Hopper the codes are left out anyway


def test_half_precision_is_the_remedy_where_it_is_the_cause(tiny, hopper, astronaut):
    person = tiny.prepare(hopper)
    tiny.method.dtype = torch.float16
    spoil(tiny, "generator.to_rgbs.3.conv.weight", float("inf"))
    with pytest.raises(NonFiniteError, match=r"float16 is too narrow.*--dtype float32"):
        tiny(person, astronaut)


def test_a_method_that_checks_nothing_is_stopped_at_the_paste(hopper, astronaut, monkeypatch):
    swapper = Swapper.from_pretrained("paste")
    swap_aligned = type(swapper.method).swap_aligned

    def broken(self, *arguments, **options):
        result = swap_aligned(self, *arguments, **options)
        image = result.image.clone()
        image[..., 40, 40] = float("nan")
        return result._replace(image=image)

    monkeypatch.setattr(type(swapper.method), "swap_aligned", broken)
    with pytest.raises(NonFiniteError, match="holds NaN or infinity"):
        swapper(hopper, astronaut)


@pytest.mark.parametrize("value", BROKEN)
def test_codes_that_are_no_numbers(tiny, value):
    wplus = torch.zeros(1, tiny.method.generator.n_latent, tiny.method.generator.style_dim)
    wplus[0, 1, 2] = value
    for codes in (Latents(wplus), Inversion(wplus)):
        with pytest.raises(NonFiniteError, match="NaN or infinity"):
            tiny.generate(codes)


def test_no_picture_is_written(tiny, tiny_checkpoint, tmp_path, monkeypatch, capfd):
    wplus = torch.full((1, tiny.method.generator.n_latent, tiny.method.generator.style_dim), float("nan"))
    save_codes(tmp_path / "codes.safetensors", Latents(wplus))
    words = ["generate", "--codes", tmp_path / "codes.safetensors", "-w", tiny_checkpoint, "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["stylegan-swap", *map(str, words), "-o", str(tmp_path / "out.png")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    error = capfd.readouterr().err.splitlines()
    assert end.value.code == 1 and len(error) == 1 and "NaN or infinity" in error[0]
    assert not (tmp_path / "out.png").exists()


def test_arrays_with_nan_are_no_photos(tiny):
    from stylegan_swap.errors import ImageReadError

    with pytest.raises(ImageReadError, match="NaN"):
        tiny.prepare(np.full((64, 64, 3), np.nan, np.float32))
