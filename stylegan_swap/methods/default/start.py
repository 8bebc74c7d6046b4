"""What a swap network takes over from other weights: a smaller network's, or a published generator's."""

from __future__ import annotations

import torch

from inversion.latents import as_latent_avg
from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.default.network import SwapNetwork
from stylegan_swap.nn.blocks.photo_pyramid import begin_at_zero
from stylegan_swap.training.start_weights import StartWeights

# Tensors with one slice per row of the codes, of which a smaller network has fewer: name → axis.
PER_ROW = {"swapper.weight": 1, "swapper.embedding.residual": 1, "encoder.latent_avg": 0}


@torch.no_grad()
def start_from(network: SwapNetwork, start: StartWeights) -> list[str]:
    """Take over the weights that fit; those of a network of half the size start one of the full size.

    Layers are named by resolution; what the smaller network lacks keeps its random start, rows of codes
    included, but adds nothing at first, so that the images are the smaller network's enlarged. A published
    generator starts the generator alone, and its average code the encoder's.

    Args:
        network: to be filled.
        start: networks found in a file.

    Returns:
        Names of the network's tensors that begin anew.

    Raises:
        CheckpointError: nothing in the file belongs to a swap network, or it has other channels.
    """
    state_dict = network.state_dict()
    anew = set(state_dict)
    for part, state in start.parts.items():
        for key, tensor in state.items():
            name = f"{part}.{key}"
            if name not in state_dict:
                continue
            mine = state_dict[name]
            if mine.shape == tensor.shape:
                mine.copy_(tensor)
                anew.discard(name)
            elif name in PER_ROW and mine.ndim == tensor.ndim:
                axis = PER_ROW[name]
                rows = min(mine.shape[axis], tensor.shape[axis])
                mine.narrow(axis, 0, rows).copy_(tensor.narrow(axis, 0, rows))
            else:
                raise CheckpointError(
                    f"{start.source}: {name} is {list(tensor.shape)} there and {list(mine.shape)} in this "
                    "network; give network.base_channels and the other keys of the network it comes from"
                )
    if len(anew) == len(state_dict):
        raise CheckpointError(
            f"{start.source}: holds nothing of a swap network, only {sorted(start.parts)}; "
            "give weights of the stages swap, invert or gan, or a published generator"
        )
    side = start.config.get("size")
    if "attributes" in start.parts and isinstance(side, int) and side < network.config.size:
        begin_at_zero(network, side)
    if "encoder" not in start.parts and start.latent_avg is not None:
        length, width = network.config.n_latent, network.config.style_dim
        state_dict["encoder.latent_avg"].copy_(as_latent_avg(start.latent_avg, length, width))
    return sorted(anew)
