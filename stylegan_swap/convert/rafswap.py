"""RAFSwap's weights: its file to a folder of ours, and back.

Before the road, once. Theirs: one file ``{state_dict, opts, latent_avg}`` with the prefixes ``encoder.``,
``decoder.`` and ``mask.``. Ours: the same names, with ``generator.`` for ``decoder.``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from inversion import as_latent_avg
from stylegan_swap.convert.fslsd import AVERAGE, trunk_units
from stylegan_swap.convert.swap_system import (
    entry,
    fitted,
    generator_numbers,
    numbered,
    read_checkpoint,
    skeleton,
    without_prefix,
)
from stylegan_swap.errors import CheckpointError
from stylegan_swap.models.rafswap import RAFSwapConfig, RAFSwapNetwork
from stylegan_swap.weights import save_weights

# Their prefix → ours.
PREFIXES = {"encoder.": "encoder.", "decoder.": "generator.", "mask.": "mask."}


def convert_rafswap(
    checkpoint: str | os.PathLike[str], folder: str | os.PathLike[str], *, dtype: str = "float32"
) -> Path:
    """Turn RAFSwap's file into a folder that ``swap(method=folder)`` takes.

    Args:
        checkpoint: the file, ``iteration_200.pt`` in the official example.
        folder: created where it does not exist.
        dtype: see ``save_weights``.

    Returns:
        The path of model.safetensors.

    Raises:
        CheckpointError: the file cannot be read or is not RAFSwap's.
    """
    state, config = from_rafswap(read_checkpoint(checkpoint))
    return save_weights(folder, state, config.to_dict(), dtype=dtype)


def from_rafswap(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Tensor], RAFSwapConfig]:
    """The state dict and configuration of a ``RAFSwapNetwork`` for the contents of the file.

    Raises:
        CheckpointError: an entry is missing, or names or shapes are not RAFSwap's.
    """
    theirs = entry(checkpoint, "state_dict", "RAFSwap's checkpoint")
    average = checkpoint.get(AVERAGE)
    if not isinstance(average, Tensor):
        raise CheckpointError(
            f"RAFSwap's checkpoint: holds no {AVERAGE!r}, without which its codes mean nothing; "
            "take the released file"
        )
    try:
        encoder = without_prefix(theirs, "encoder.")
        width = encoder["input_layer.0.weight"].shape[0]
        config = RAFSwapConfig(
            **generator_numbers(without_prefix(theirs, "decoder.")),
            depth=numbered(encoder, "trans."),
            trunk_width=width,
            trunk_units=trunk_units(encoder, width),
        )
        state = {AVERAGE: as_latent_avg(average, config.n_latent, config.style_dim)}
        network = skeleton(RAFSwapNetwork, config)
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"RAFSwap's checkpoint: not of the published layout ({error}); fetch it again"
        ) from error
    known = tuple(PREFIXES)
    # What else a training checkpoint may hold, such as its loss networks, is not the swap's.
    for name, tensor in theirs.items():
        if name.startswith(known):
            prefix, _, rest = name.partition(".")
            state[PREFIXES[prefix + "."] + rest] = tensor
    return fitted(state, network, "RAFSwap's checkpoint", loose=("generator.",)), config


def to_rafswap(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The contents of RAFSwap's file, with empty options, for a state of a ``RAFSwapNetwork``."""
    tensors = {
        theirs + name: tensor
        for theirs, ours in PREFIXES.items()
        for name, tensor in without_prefix(state, ours).items()
    }
    return {"state_dict": tensors, "opts": {}, AVERAGE: state[AVERAGE]}
