"""Pickles of NVIDIA's PyTorch repositories, stylegan2-ada-pytorch and stylegan3: ``{"G", "D", "G_ema"}``.

Road: before it, where weights of other projects are converted. Only StyleGAN2 networks without labels and
with output skips become ours; others are refused with a message that says what they are. Noise strengths,
stored noise maps, filters, the average code and the limit of mixed-precision networks (``conv_clamp``) all
come along.

Source: the layouts of NVlabs/stylegan2-ada-pytorch and NVlabs/stylegan3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cuda_ops import setup_filter
from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.readers.restricted_pickle import PickledModule
from stylegan_swap.weights.stylegan_formats.converted import Converted, State, left_out
from stylegan_swap.weights.stylegan_formats.exchange_layout import (
    LARGEST_SIDE,
    TAPS,
    count,
    discriminator_config,
    generator_config,
)
from stylegan_swap.weights.stylegan_formats.nvlabs_modules import FlatNetwork, flatten
from stylegan_swap.weights.stylegan_formats.nvlabs_names import (
    discriminator_pairs,
    generator_pairs,
    to_own_names,
    to_published_names,
)

NAME = "nvlabs"
SUMMARY = 'StyleGAN2 of NVIDIA, PyTorch (.pkl): {"G", "D", "G_ema"} of stylegan2-ada-pytorch and stylegan3'
# A NaN, infinity or number beyond what float32 holds is a damaged file.
_LARGEST_LIMIT = 1e30
_PARTS = {"G_ema": "generator", "G": "training_generator", "D": "discriminator"}


def recognises(content: Any) -> bool:
    """Whether a file's content is of this layout."""
    return isinstance(content, Mapping) and any(
        isinstance(content.get(key), PickledModule) for key in ("G_ema", "G")
    )


def convert(content: Mapping[str, Any], source: str) -> Converted:
    """Take the networks out.

    Args:
        content: of the file.
        source: the file, for messages.

    Raises:
        CheckpointError: a network is incomplete, has labels, or is of another architecture.
    """
    parts: dict[str, State] = {}
    config: dict[str, dict[str, Any]] = {}
    average: Tensor | None = None
    notes: tuple[str, ...] = ()
    names = _PARTS if "G_ema" in content else {"G": "generator", "D": "discriminator"}
    for key, part in names.items():
        module = content.get(key)
        if not isinstance(module, PickledModule):
            continue
        network = flatten(module, source)
        if part == "discriminator":
            parts[part], config[part] = discriminator_from(network, source)
            if any(limit is not None for limit in network.values("conv_clamp")):
                notes += ("the discriminator's limit on layers is left out: ours has none",)
        else:
            parts[part], config[part], own_average = generator_from(network, source)
            average = own_average if average is None else average
    notes += left_out(key for key in content if key not in names and content[key] is not None)
    return Converted(source, NAME, parts, config, average, notes).checked()


def generator_from(network: FlatNetwork, source: str) -> tuple[State, dict[str, Any], Tensor | None]:
    """A generator's state, its configuration and its average code.

    Args:
        network: flattened, or the tensors of a ``state_dict()`` without settings.
        source: the file, for messages.

    Raises:
        CheckpointError: it has labels, is StyleGAN3, or of another architecture.
    """
    published = dict(network.tensors)
    _check_generator(network, source)
    size = _size(published)
    depth = count(published, r"mapping\.fc(\d+)\.weight")
    fir = setup_filter(TAPS, separable=False)
    pairs = list(generator_pairs(size, depth))
    for own_name, name, _ in pairs:
        if name.endswith("resample_filter"):
            published.setdefault(name, fir)
        elif not all(network.values("use_noise")) and own_name.startswith("noises."):
            side = 2 ** ((int(own_name.rpartition("_")[2]) + 5) // 2)
            published.setdefault(name, torch.zeros(side, side))
        elif not all(network.values("use_noise")) and name.endswith("noise_strength"):
            published.setdefault(name, torch.zeros(()))
    _check_filters(published, fir, source)
    state = to_own_names(published, pairs, source)
    limits = {limit for path, layer in network.settings.items() for limit in _limit(path, layer)}
    if len(limits) > 1:
        raise CheckpointError(f"{source}: its layers have different limits {sorted(map(str, limits))}")
    factors = {
        layer["bias_gain"] for path, layer in network.settings.items() if _is_mapping_layer(path, layer)
    }
    if len(factors) > 1:
        raise CheckpointError(f"{source}: its mapping network learns at several rates; ours has one")
    config = generator_config(
        state, source, lr_mlp=next(iter(factors), 0.01), conv_clamp=next(iter(limits), None)
    )
    return state, config, published.get("mapping.w_avg")


def discriminator_from(network: FlatNetwork, source: str) -> tuple[State, dict[str, Any]]:
    """A discriminator's state and its configuration.

    Raises:
        CheckpointError: it has labels, or is of another architecture.
    """
    published = dict(network.tensors)
    if any(network.values("c_dim")) or any(network.values("cmap_dim")):
        raise CheckpointError(
            f"{source}: its discriminator takes labels; only networks without are converted"
        )
    if {"skip", "orig"} & set(network.values("architecture")):
        raise CheckpointError(
            f"{source}: its discriminator is not residual; only residual ones are converted"
        )
    matches = [re.fullmatch(r"b(\d{1,4})\.fromrgb\.weight", name) for name in published]
    sizes = [int(match[1]) for match in matches if match is not None]
    if len(sizes) != 1 or sizes[0] < 8 or sizes[0] & (sizes[0] - 1):
        raise CheckpointError(f"{source}: its discriminator does not say its size; give a complete file")
    fir = setup_filter(TAPS, separable=False)
    pairs = list(discriminator_pairs(sizes[0]))
    for _, name, _ in pairs:
        if name.endswith("resample_filter"):
            published.setdefault(name, fir)
    _check_filters(published, fir, source)
    state = to_own_names(published, pairs, source)
    groups = [size for size in network.values("group_size") if isinstance(size, int)]
    return state, discriminator_config(state, source, group=groups[0] if groups else 4)


def to_nvlabs(converted: Converted) -> dict[str, State]:
    """The ``state_dict()`` of NVIDIA's networks, by "G_ema", "G" and "D".

    They are for ``load_state_dict`` of the official code: a pickle would have to hold its source.

    Raises:
        CheckpointError: there is neither a generator nor a discriminator.
    """
    states: dict[str, State] = {}
    for key, part in _PARTS.items():
        if part not in converted.parts:
            continue
        config = converted.config[part]
        if part == "discriminator":
            pairs = list(discriminator_pairs(int(config["size"])))
        else:
            pairs = list(generator_pairs(int(config["size"]), int(config["n_mlp"])))
        states[key] = to_published_names(converted.parts[part], pairs)
        if part != "discriminator" and converted.latent_avg is not None:
            states[key]["mapping.w_avg"] = converted.latent_avg.reshape(-1, converted.latent_avg.shape[-1])[0]
    if not states:
        raise CheckpointError(f"{converted.source}: holds no generator and no discriminator")
    return states


def _check_generator(network: FlatNetwork, source: str) -> None:
    published = network.tensors
    if any(name.startswith("synthesis.input.") for name in published):
        raise CheckpointError(f"{source}: is a StyleGAN3 generator; this library has StyleGAN2 networks")
    if any(network.values("c_dim")) or any(name.startswith("mapping.embed.") for name in published):
        raise CheckpointError(f"{source}: its generator takes labels; only networks without are converted")
    architectures = set(network.values("architecture")) - {"skip"}
    if architectures or "synthesis.b8.torgb.weight" not in published:
        kind = f"'{sorted(map(str, architectures))[0]}'" if architectures else "another architecture"
        raise CheckpointError(f"{source}: its generator is of {kind}; only output skips are converted")
    activations = {
        layer.get("activation") for path, layer in network.settings.items() if path.startswith("synthesis.b")
    } - {None, "lrelu", "linear"}
    if activations:
        raise CheckpointError(f"{source}: its layers use {activations.pop()}; only lrelu is converted")
    width = {tuple(value.shape) for name, value in published.items() if name.startswith("mapping.fc")}
    if len({n for shape in width for n in shape}) != 1:
        raise CheckpointError(f"{source}: its mapping network has several widths; ours has one for z and w")


def _size(published: Mapping[str, Tensor]) -> int:
    """Side of the image: the blocks b4, b8, ... without a gap."""
    side = 4
    while side < LARGEST_SIDE and f"synthesis.b{2 * side}.conv0.weight" in published:
        side *= 2
    return side


def _check_filters(published: Mapping[str, Tensor], fir: Tensor, source: str) -> None:
    for name, value in published.items():
        if name.endswith("resample_filter") and (
            value.shape != fir.shape or not torch.allclose(value.float(), fir, atol=1e-6)
        ):
            raise CheckpointError(
                f"{source}: {name} is no [1, 3, 3, 1] filter; only networks with it convert"
            )


def _limit(path: str, settings: Mapping[str, Any]) -> list[float | None]:
    is_layer = path.startswith("synthesis.") and path.split(".")[-1] in ("conv0", "conv1", "torgb")
    if not is_layer or "conv_clamp" not in settings:
        return []
    limit = settings["conv_clamp"]
    # A text or a truth value would only fail in the first image.
    return [float(limit) if type(limit) in (int, float) and 0 < limit <= _LARGEST_LIMIT else None]


def _is_mapping_layer(path: str, settings: Mapping[str, Any]) -> bool:
    factor = settings.get("bias_gain")
    return path.startswith("mapping.fc") and isinstance(factor, float | int) and 0 < factor <= _LARGEST_LIMIT
