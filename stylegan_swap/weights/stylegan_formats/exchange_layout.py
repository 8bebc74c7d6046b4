"""What the shapes of a state dict in the exchange layout say: size, width, depth and channels.

Road: before it, where weights of other projects are converted. The exchange layout is that of rosinality's
port, which this library's networks use (``models.generator``, ``models.discriminator``); pSp, e4e, MegaFS
and FSLSD ship their generators in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cuda_ops import setup_filter
from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.stylegan_formats.converted import State

TAPS = (1, 3, 3, 1)
_NOISE_SEED = 0
# A damaged file could ask for any size.
_MOST_BLOCKS = 10
LARGEST_SIDE = 4 * 2**_MOST_BLOCKS


def generator_config(
    state: Mapping[str, Tensor], source: str, *, lr_mlp: float = 0.01, conv_clamp: float | None = None
) -> dict[str, Any]:
    """The arguments of ``Generator`` that fit a state dict.

    Args:
        state: names of the exchange layout.
        source: the file, for messages.
        lr_mlp: cannot be seen in the weights; 0.01 in everything published.
        conv_clamp: cannot be seen in the weights either; None outside NVIDIA's mixed-precision networks.

    Raises:
        CheckpointError: the state is not of a generator.
    """
    blocks = count(state, r"to_rgbs\.(\d+)\.conv\.weight")
    depth = count(state, r"style\.(\d+)\.weight", first=1)
    size = _size(blocks, source, "generator")
    channels = {4: shape_of(state, "input.input", 4, source)[1]}
    for j in range(blocks):
        channels[8 * 2**j] = shape_of(state, f"to_rgbs.{j}.conv.weight", 5, source)[2]
    width = shape_of(state, "conv1.conv.modulation.weight", 2, source)[1]
    if min(width, *channels.values()) < 1:
        raise CheckpointError(f"{source}: its generator has layers without channels; fetch it again")
    if shape_of(state, "to_rgb1.conv.weight", 5, source)[1] != 3:
        raise CheckpointError(f"{source}: its generator does not make RGB images; give one that does")
    return {
        "size": size,
        "style_dim": width,
        "n_mlp": depth,
        "channels": {str(r): c for r, c in channels.items()},
        "lr_mlp": lr_mlp,
        "conv_clamp": conv_clamp,
    }


def discriminator_config(state: Mapping[str, Tensor], source: str, *, group: int = 4) -> dict[str, Any]:
    """The arguments of ``Discriminator`` that fit a state dict.

    Args:
        state: names of the exchange layout.
        source: the file, for messages.
        group: samples per minibatch-std group; cannot be seen in the weights.

    Raises:
        CheckpointError: the state is not of a residual discriminator.
    """
    blocks = count(state, r"convs\.(\d+)\.conv1\.0\.weight", first=1)
    size = _size(blocks, source, "discriminator")
    first = shape_of(state, "convs.0.0.weight", 4, source)
    channels = {size: first[0]}
    for k in range(1, blocks + 1):
        channels[size // 2**k] = shape_of(state, f"convs.{k}.conv2.1.weight", 4, source)[0]
    return {
        "size": size,
        "channels": {str(r): c for r, c in sorted(channels.items())},
        "in_channels": first[1],
        "group": group,
    }


def completed_generator(state: State, config: Mapping[str, Any]) -> tuple[State, tuple[str, ...]]:
    """Add what some files leave out: filters, which are known, and noise maps, which are drawn.

    Returns:
        The state and a note for what was drawn.
    """
    completed, missing = dict(state), 0
    blocks = int(config["size"]).bit_length() - 3
    fir = setup_filter(TAPS, gain=4, separable=False)
    for j in range(blocks):
        completed.setdefault(f"convs.{2 * j}.conv.blur.kernel", fir.clone())
        completed.setdefault(f"to_rgbs.{j}.upsample.kernel", fir.clone())
    stream = torch.Generator().manual_seed(_NOISE_SEED)
    for n in range(2 * blocks + 1):
        side = 2 ** ((n + 5) // 2)
        noise = torch.randn(1, 1, side, side, generator=stream)
        if f"noises.noise_{n}" not in completed:
            completed[f"noises.noise_{n}"] = noise
            missing += 1
    notes = (
        (f"the file lacks {missing} noise maps; they were drawn with seed {_NOISE_SEED}",) if missing else ()
    )
    return completed, notes


def count(state: Mapping[str, Any], pattern: str, first: int = 0) -> int:
    """How many names ``pattern`` matches with the numbers first, first + 1, ... in its group."""
    matches = (re.fullmatch(pattern, name) for name in state)
    numbers = {int(match[1]) for match in matches if match is not None and len(match[1]) < 4}
    number = first
    while number in numbers:
        number += 1
    return number - first


def _size(blocks: int, source: str, role: str) -> int:
    """Side of the image of a network with that many blocks beyond 4 pixels."""
    if not 1 <= blocks <= _MOST_BLOCKS:
        raise CheckpointError(
            f"{source}: its {role} has {blocks} blocks beyond 4 pixels, not 1 to {_MOST_BLOCKS}; "
            "give a complete StyleGAN2 network"
        )
    return 4 * 2**blocks


def shape_of(state: Mapping[str, Tensor], name: str, dimensions: int, source: str) -> torch.Size:
    """The shape of a tensor that must be there.

    Raises:
        CheckpointError: it is not, or has another number of dimensions.
    """
    value = state.get(name)
    if value is None:
        raise CheckpointError(f"{source}: lacks {name}; give a complete file")
    if value.ndim != dimensions:
        raise CheckpointError(
            f"{source}: {name} has the shape {list(value.shape)}, not {dimensions} dimensions; "
            "it is of another network"
        )
    return value.shape
