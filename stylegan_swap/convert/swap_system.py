"""What the files of whole swap systems (MegaFS, FSLSD, RAFSwap) share: entries, counts, a strict fit.

Before the road, once: ``megafs``, ``fslsd`` and ``rafswap`` say which entry is which network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cuda_ops.layers import Blur
from stylegan_swap.convert.torch_file import read_file
from stylegan_swap.errors import CheckpointError

_SHOWN = 5


def generator_numbers(generator: Mapping[str, Tensor]) -> dict[str, int]:
    """Size, style width, mapping layers and channels of a generator of the exchange layout, by its shapes.

    Raises:
        KeyError: a tensor is missing.
    """
    return {
        "size": 2 ** (2 + numbered(generator, "to_rgbs.")),
        "style_dim": generator["conv1.conv.modulation.weight"].shape[1],
        "n_mlp": numbered(generator, "style."),
        "max_channels": generator["input.input"].shape[1],
    }


def read_checkpoint(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Read another project's file of several networks, as :func:`read_file` does; it must be a dictionary.

    Raises:
        CheckpointError: it is missing, damaged, would run code, or holds no dictionary.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; check the path")
    # Training state makes these files gigabytes; mapped, only what is used is loaded.
    content = read_file(file, mapped=True)
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{file}: holds {type(content).__name__}, not a dictionary; is it the right file?"
        )
    return content


def entry(content: Mapping[str, Any], key: str, what: str, prefix: str = "") -> dict[str, Tensor]:
    """The tensors under a key of a foreign file, without a prefix that all their names share.

    Raises:
        CheckpointError: the key is missing or holds something else.
    """
    tensors = content.get(key)
    if not isinstance(tensors, Mapping) or not all(isinstance(v, Tensor) for v in tensors.values()):
        found = ", ".join(map(repr, content)) or "no entries"
        raise CheckpointError(
            f"{what}: holds no weights under {key!r} (there are {found}); is it the right file?"
        )
    if prefix and tensors and all(name.startswith(prefix) for name in tensors):
        return without_prefix(tensors, prefix)
    return dict(tensors)


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose names begin with the prefix, without it."""
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def numbered(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many different numbers follow the prefix in the names: the length of a list of modules."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def skeleton(network_class: type[torch.nn.Module], config: Any) -> dict[str, torch.Size]:
    """Names and shapes of a network's state, without the memory for its weights."""
    with torch.device("meta"):
        return {name: value.shape for name, value in network_class(config).state_dict().items()}


def fitted(
    state: Mapping[str, Tensor], wanted: Mapping[str, torch.Size], what: str, loose: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """The state in the order of the network, if it fits.

    Args:
        state: converted weights by our names.
        wanted: names and shapes of the network.
        what: whose weights, for the message.
        loose: prefixes of generators: names that the network lacks are dropped there, and missing filter
            kernels filled in, as the official loaders do.

    Raises:
        CheckpointError: names or shapes do not fit.
    """
    kernel = Blur(factor=2).kernel
    result, problems = {}, []
    for name, shape in wanted.items():
        tensor = state.get(name)
        if tensor is None and name.startswith(loose) and name.endswith(".kernel"):
            tensor = kernel
        if tensor is None:
            problems.append(f"{name} is missing")
        elif tensor.shape != shape:
            problems.append(f"{name} is {list(tensor.shape)} instead of {list(shape)}")
        else:
            result[name] = tensor
    problems += [
        f"{name} is unknown"
        for name in state
        if name not in wanted and not (loose and name.startswith(loose))
    ]
    if problems:
        rest = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointError(
            f"{what}: not of the published layout: {'; '.join(problems[:_SHOWN])}{rest}; "
            "fetch the files again"
        )
    return result
