"""A network built around weights that are there already, without drawing its random start first.

Road: before it, once; published systems have hundreds of millions of weights, which would be drawn for
seconds only to be replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from stylegan_swap.weights.store import load_state

Network = TypeVar("Network", bound=nn.Module)


def build_filled(build: Callable[[], Network], state_dict: Mapping[str, Tensor], name: str) -> Network:
    """Build a network on the CPU and fill it, strictly; nothing is allocated for weights that do not fit.

    Args:
        build: makes the network.
        state_dict: name → tensor, all of them; copied, and converted to the network's types.
        name: of the file or network, for the message.

    Raises:
        CheckpointError: as ``weights.load_state``.
    """
    with torch.device("meta"):
        network = build()
    load_state(network, {key: value.to("meta") for key, value in state_dict.items()}, name)
    if _has_constants(network):
        # The caller's random draws stay theirs.
        with torch.random.fork_rng(devices=[]):
            network = build()
    else:
        network = network.to_empty(device="cpu")
    load_state(network, state_dict, name)
    return network


def _has_constants(network: nn.Module) -> bool:
    """Whether it has tensors that no checkpoint holds: they need the numbers they are built with."""
    buffers = {name for name, _ in network.named_buffers()}
    plain = any(isinstance(value, Tensor) for module in network.modules() for value in vars(module).values())
    return plain or bool(buffers - network.state_dict().keys())
