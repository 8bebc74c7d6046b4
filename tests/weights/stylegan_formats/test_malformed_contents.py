"""Contents that are nearly right: whatever is wrong in them ends in an error of ours, never in another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from inversion import IRSE50, BackboneEncoderIntoW, as_latent_avg
from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.formats import ForeignFile, known_formats
from stylegan_swap.methods.fslsd.files import to_fslsd
from stylegan_swap.methods.fslsd.network import FSLSDConfig, FSLSDNetwork
from stylegan_swap.methods.megafs.files import to_megafs
from stylegan_swap.methods.megafs.network import MegaFSConfig, MegaFSNetwork
from stylegan_swap.methods.rafswap.files import to_rafswap
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.weights.readers.pickled_arrays import PickledArray
from stylegan_swap.weights.readers.restricted_pickle import PickledModule, PickledNetwork
from stylegan_swap.weights.stylegan_formats.nvlabs_names import generator_pairs, to_published_names

TRUNK = {"trunk_width": 16, "trunk_units": (1, 1, 1, 1)}
# A skeleton of the large ones takes a tenth of a second.
ROUNDS = {"arcface": 12, "psp": 20, "fslsd": 30}


def generator_state() -> dict[str, torch.Tensor]:
    return Generator(16, 8, 2, {4: 4, 8: 4, 16: 4}).state_dict()


def exchange() -> tuple[Any, ...]:
    judge = Discriminator(16, {4: 4, 8: 4, 16: 4}).state_dict()
    return ({"g_ema": generator_state(), "d": judge, "latent_avg": torch.zeros(8), "args": None},)


def nvidia() -> tuple[Any, ...]:
    def module(tensors: dict[str, torch.Tensor]) -> PickledModule:
        own = {name: value for name, value in tensors.items() if "." not in name}
        below: dict[str, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            first, dot, rest = name.partition(".")
            if dot:
                below.setdefault(first, {})[rest] = value
        parts = {name: module(inner) for name, inner in below.items()}
        state = {"_parameters": own, "_buffers": {}, "_modules": parts, "conv_clamp": 256, "bias_gain": 0.01}
        return PickledModule("Generator", state)

    theirs = to_published_names(generator_state(), list(generator_pairs(16, 2)))
    return ({"G_ema": module({**theirs, "mapping.w_avg": torch.zeros(8)})},)


def tensorflow() -> tuple[Any, ...]:
    def array(*shape: int) -> PickledArray:
        made = PickledArray()
        made.tensor = torch.zeros(shape)
        return made

    def network(**variables: PickledArray) -> PickledNetwork:
        made = PickledNetwork()
        made |= {"version": 4, "variables": [(n.replace("__", "/"), v) for n, v in variables.items()]}
        made["static_kwargs"] = {"mapping_lrmul": 0.01, "mbstd_group_size": 4, "label_size": 0}
        return made

    layer = {"synthesis__4x4__Conv__mod_weight": array(4, 8), "synthesis__noise0": array(1, 1, 4, 4)}
    generator = network(**layer, synthesis__4x4__Const__const=array(1, 4, 4, 4), dlatent_avg=array(8))
    judge = network(**{"4x4__Conv__weight": array(3, 3, 5, 4)})
    return ((generator, judge, generator),)


def encoder() -> tuple[Any, ...]:
    with torch.device("meta"):
        states = {"encoder": BackboneEncoderIntoW(6).state_dict(), "decoder": generator_state()}
    state = {f"{part}.{name}": value for part, own in states.items() for name, value in own.items()}
    opts = {"encoder_type": "BackboneEncoderUsingLastLayerIntoW", "start_from_latent_avg": True}
    return ({"state_dict": state, "latent_avg": torch.zeros(1, 512), "opts": opts},)


def recogniser() -> tuple[Any, ...]:
    with torch.device("meta"):
        return (dict(IRSE50().state_dict()),)


def megafs() -> tuple[Any, ...]:
    split = {"split": (2, 3, 3), "blocks": (1, 1, 1, 1, 1), "planes": (2, 2, 2, 2, 2)}
    return to_megafs(
        MegaFSNetwork(MegaFSConfig(size=32, style_dim=16, n_mlp=1, max_channels=8, **split)).state_dict()
    )


def fslsd() -> tuple[Any, ...]:
    return to_fslsd(
        FSLSDNetwork(
            FSLSDConfig(size=32, style_dim=16, n_mlp=1, max_channels=8, identity_rows=4, points=3, **TRUNK)
        ).state_dict()
    )


def rafswap() -> tuple[Any, ...]:
    return (
        to_rafswap(
            RAFSwapNetwork(
                RAFSwapConfig(size=32, style_dim=16, n_mlp=1, max_channels=8, **TRUNK)
            ).state_dict()
        ),
    )


CONTENTS = {
    "rosinality": exchange,
    "nvlabs": nvidia,
    "tflib": tensorflow,
    "psp": encoder,
    "arcface": recogniser,
    "megafs": megafs,
    "fslsd": fslsd,
    "rafswap": rafswap,
}
WRONG = (
    *(None, "a text", 3, -1, 1e400, True, [], {}, (), [[]], {"a": 1}, b"bytes"),
    *(torch.zeros(()), torch.zeros(0), torch.zeros(0, 1 << 40), torch.zeros(1, 2, 3), torch.zeros(2, 0, 4)),
    torch.zeros(1, dtype=torch.bool),
)


def places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a content that can be replaced."""
    if isinstance(value, PickledModule):
        value = value.state
    if isinstance(value, PickledArray):
        yield value, "tensor"
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            yield from places(inner, depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield value, index
            yield from places(inner, depth + 1)
    elif isinstance(value, tuple):
        for inner in value:
            yield from places(inner, depth + 1)


def spoil(content: Any, draw: random.Random) -> None:
    """Replace, remove or rename one thing."""
    container, key = draw.choice(list(places(content)))
    if isinstance(container, PickledArray):
        container.tensor = draw.choice([value for value in WRONG if isinstance(value, torch.Tensor)])
        return
    kind = draw.random()
    if kind < 0.6 or isinstance(container, list):
        container[key] = draw.choice(WRONG)
    elif kind < 0.8:
        del container[key]
    else:
        container[draw.choice(["to_rgbs.99999.x", "convs.7.conv.weight", 5, "", "b99999.fromrgb.weight"])] = (
            container.pop(key)
        )


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_only_errors_of_ours(name: str):
    formats = known_formats()
    entry = formats[name]
    torch.manual_seed(0)
    refused, rounds = 0, ROUNDS.get(name, 60)
    for number in range(rounds):
        contents = CONTENTS[name]() if number % 4 == 0 else contents  # noqa: F821
        spoil(contents, random.Random(number))
        first, *further = contents
        fit = zip(entry.companions, further, strict=True)
        fitting = [formats[part.format].recognises(content) for part, content in fit]
        if not entry.recognises(first) or not all(fitting):
            continue
        try:
            entry.convert(first, "a.pth", *(ForeignFile(content, "b.pth") for content in further))
        except CheckpointError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 3000
    assert refused > rounds // 10


@pytest.mark.parametrize(
    "average", [torch.zeros(()), torch.zeros(0), torch.zeros(0, 8), torch.zeros(3, 8), torch.zeros(7)]
)
def test_averages_that_are_none(average: torch.Tensor):
    with pytest.raises(ValueError, match="latent_avg has shape"):
        as_latent_avg(average, 6, 8)
