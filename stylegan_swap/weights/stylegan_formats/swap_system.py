"""What the layouts of whole swap systems share: entries of a file, counts by shapes, a strict fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cuda_ops.layers import Blur
from stylegan_swap.errors import CheckpointError

_SHOWN = 5
AVERAGE = "latent_avg"
# What reading a network's numbers off its shapes, and building it from them, raises where they are odd.
UNFIT = (KeyError, IndexError, ValueError, TypeError, RuntimeError, OverflowError)


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


def entry(content: Mapping[str, Any], key: str, source: str, prefix: str = "") -> dict[str, Tensor]:
    """The tensors under a key of a foreign file, without a prefix that all their names share.

    Raises:
        CheckpointError: the key is missing or holds something else.
    """
    tensors = content.get(key)
    if not isinstance(tensors, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors.items()
    ):
        keys = ", ".join(map(repr, content))[:200] or "no entries"
        raise CheckpointError(
            f"{source}: holds no weights under {key!r} (there are {keys}); is it the right file?"
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
    state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], source: str, loose: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """The state in the order of the network, if it fits.

    Args:
        state: converted weights by this library's names.
        shapes: names and shapes of the network.
        source: the files, for the message.
        loose: prefixes of generators: names that the network lacks are dropped there, and missing filter
            kernels filled in, as the official loaders do.

    Raises:
        CheckpointError: names or shapes do not fit.
    """
    kernel = Blur(factor=2).kernel
    result, problems = {}, []
    for name, shape in shapes.items():
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
        if name not in shapes and not (loose and name.startswith(loose))
    ]
    if problems:
        rest = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointError(
            f"{source}: not of the published layout: {'; '.join(problems[:_SHOWN])}{rest}; "
            "fetch the files again"
        )
    return result


def trunk_units(trunk: Mapping[str, Tensor], width: int) -> tuple[int, ...]:
    """Units per stage of an IR-SE trunk: a stage is what has the same channels."""
    outputs = [trunk[f"body.{unit}.res_layer.1.weight"].shape[0] for unit in range(numbered(trunk, "body."))]
    return tuple(outputs.count(width * 2**stage) for stage in range(4))


def average_of(content: Mapping[str, Any], source: str) -> Tensor:
    """The average code of a file, which its encoder's codes are offsets to.

    Raises:
        CheckpointError: there is none.
    """
    average = content.get(AVERAGE)
    if not isinstance(average, Tensor):
        raise CheckpointError(
            f"{source}: holds no {AVERAGE!r}, without which its codes mean nothing; take the released file"
        )
    return average
