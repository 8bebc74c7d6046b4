"""Which tensor of NVIDIA's PyTorch networks is which of ours, in one table for both directions.

Road: before it, where weights of other projects are converted; ``nvlabs`` walks the pickles, ``tflib`` the
older ones. The up-sampling convolutions are stored un-flipped on both sides, so nothing is transposed.

Source: the layouts of NVlabs/stylegan2-ada-pytorch and rosinality/stylegan2-pytorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.stylegan_formats.converted import State


@dataclass(frozen=True)
class Change:
    """How the shape of a tensor changes, and back."""

    to_own: Callable[[Tensor], Tensor]
    to_published: Callable[[Tensor], Tensor]


SAME = Change(lambda x: x, lambda x: x)
BATCH = Change(lambda x: x[None], lambda x: x[0])
SCALAR = Change(lambda x: x.reshape(1), lambda x: x.reshape(()))
RGB = Change(lambda x: x.reshape(1, -1, 1, 1), lambda x: x.reshape(-1))
MAP = Change(lambda x: x[None, None], lambda x: x[0, 0])
# Zero insertion spreads a picture over four times the samples.
FIR_UP = Change(lambda x: x * 4, lambda x: x / 4)

Pair = tuple[str, str, Change]


def generator_pairs(size: int, n_mlp: int) -> Iterator[Pair]:
    """(name here, published name, change) of every tensor of a generator, as in ``G.state_dict()``."""
    for i in range(n_mlp):
        for leaf in ("weight", "bias"):
            yield f"style.{i + 1}.{leaf}", f"mapping.fc{i}.{leaf}", SAME
    yield "input.input", "synthesis.b4.const", BATCH
    yield from _layer("conv1", "synthesis.b4.conv1", 0)
    yield from _to_rgb("to_rgb1", "synthesis.b4.torgb")
    for j in range(size.bit_length() - 3):
        block = f"synthesis.b{8 * 2**j}"
        yield from _layer(f"convs.{2 * j}", f"{block}.conv0", 2 * j + 1)
        yield f"convs.{2 * j}.conv.blur.kernel", f"{block}.conv0.resample_filter", FIR_UP
        yield from _layer(f"convs.{2 * j + 1}", f"{block}.conv1", 2 * j + 2)
        yield from _to_rgb(f"to_rgbs.{j}", f"{block}.torgb")
        yield f"to_rgbs.{j}.upsample.kernel", f"{block}.resample_filter", FIR_UP


def discriminator_pairs(size: int) -> Iterator[Pair]:
    """(name here, published name, change) of every tensor of a discriminator, as in ``D.state_dict()``."""
    yield "convs.0.0.weight", f"b{size}.fromrgb.weight", SAME
    yield "convs.0.1.bias", f"b{size}.fromrgb.bias", SAME
    for k in range(1, size.bit_length() - 2):
        block = f"b{size // 2 ** (k - 1)}"
        yield f"convs.{k}.conv1.0.weight", f"{block}.conv0.weight", SAME
        yield f"convs.{k}.conv1.1.bias", f"{block}.conv0.bias", SAME
        yield f"convs.{k}.conv2.0.kernel", f"{block}.conv1.resample_filter", SAME
        yield f"convs.{k}.conv2.1.weight", f"{block}.conv1.weight", SAME
        yield f"convs.{k}.conv2.2.bias", f"{block}.conv1.bias", SAME
        yield f"convs.{k}.skip.0.kernel", f"{block}.skip.resample_filter", SAME
        yield f"convs.{k}.skip.1.weight", f"{block}.skip.weight", SAME
    for leaf, own_leaf in (("weight", "0.weight"), ("bias", "1.bias")):
        yield f"final_conv.{own_leaf}", f"b4.conv.{leaf}", SAME
        yield f"final_linear.0.{leaf}", f"b4.fc.{leaf}", SAME
        yield f"final_linear.1.{leaf}", f"b4.out.{leaf}", SAME


def unused_filters(pairs: list[Pair]) -> list[str]:
    """Names of filters that their layers carry along without resampling."""
    used = {published for _, published, _ in pairs}
    owners = {name.rpartition(".")[0] for name in used}
    # Blocks, and every convolution of theirs but ToRGB and the linear layers.
    blocks = {owner.rpartition(".")[0] for owner in owners if owner.rpartition(".")[2].startswith("conv")}
    layers = {o for o in owners if o.rpartition(".")[2] in ("conv", "conv0", "conv1", "skip", "fromrgb")}
    if any(name.startswith("b4.") for name in used):
        blocks.discard("b4")
    return sorted(f"{o}.resample_filter" for o in blocks | layers if f"{o}.resample_filter" not in used)


def to_own_names(published: Mapping[str, Tensor], pairs: list[Pair], source: str) -> State:
    """Rename and reshape.

    Raises:
        CheckpointError: a tensor is missing, or of an impossible shape.
    """
    converted: State = {}
    for own_name, name, change in pairs:
        if name not in published:
            raise CheckpointError(
                f"{source}: lacks {name}; only StyleGAN2 networks with output skips are converted"
            )
        try:
            # Copies: a result never shares memory with the file's content.
            converted[own_name] = change.to_own(published[name]).contiguous().clone()
        except (RuntimeError, IndexError) as error:
            raise CheckpointError(
                f"{source}: {name} has the shape {list(published[name].shape)}, which does not fit; "
                "it is of another network"
            ) from error
    return converted


def to_published_names(state: Mapping[str, Tensor], pairs: list[Pair]) -> State:
    """Rename and reshape back, with the filters that their layers carry along."""
    published = {
        published_name: change.to_published(state[name]).contiguous().clone()
        for name, published_name, change in pairs
    }
    fir = next(value for name, value in published.items() if name.endswith("resample_filter"))
    return published | {name: torch.clone(fir) for name in unused_filters(pairs)}


def _layer(prefix: str, published: str, number: int) -> Iterator[Pair]:
    yield f"{prefix}.conv.weight", f"{published}.weight", BATCH
    yield f"{prefix}.conv.modulation.weight", f"{published}.affine.weight", SAME
    yield f"{prefix}.conv.modulation.bias", f"{published}.affine.bias", SAME
    yield f"{prefix}.noise.weight", f"{published}.noise_strength", SCALAR
    yield f"{prefix}.activate.bias", f"{published}.bias", SAME
    yield f"noises.noise_{number}", f"{published}.noise_const", MAP


def _to_rgb(prefix: str, published: str) -> Iterator[Pair]:
    yield f"{prefix}.conv.weight", f"{published}.weight", BATCH
    yield f"{prefix}.conv.modulation.weight", f"{published}.affine.weight", SAME
    yield f"{prefix}.conv.modulation.bias", f"{published}.affine.bias", SAME
    yield f"{prefix}.bias", f"{published}.bias", RGB
