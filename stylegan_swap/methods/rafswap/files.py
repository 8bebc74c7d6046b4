"""RAFSwap's weights: its file to a network of ours, and back.

Road: before it, where weights of other projects are converted. Theirs: one file
``{state_dict, opts, latent_avg}`` with the prefixes ``encoder.``, ``decoder.`` and ``mask.``. Ours: the same
names, with ``generator.`` for ``decoder.``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from inversion import as_latent_avg
from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork
from stylegan_swap.weights.stylegan_formats.converted import left_out
from stylegan_swap.weights.stylegan_formats.psp import is_rafswap
from stylegan_swap.weights.stylegan_formats.swap_system import (
    AVERAGE,
    UNFIT,
    ConvertedSystem,
    average_of,
    entry,
    fitted,
    generator_numbers,
    numbered,
    skeleton,
    trunk_units,
    without_prefix,
)

NAME = "rafswap"
SUMMARY = 'RAFSwap (.pt): {"state_dict": {"encoder.*", "decoder.*", "mask.*"}, "latent_avg", "opts"}'
# The name in the official example; the published file's own is not known.
FILE = "iteration_200.pt"
# Their prefix → ours.
PREFIXES = {"encoder.": "encoder.", "decoder.": "generator.", "mask.": "mask."}


def recognises(content: Any) -> bool:
    """Whether a file's content is of this layout."""
    state = content.get("state_dict") if isinstance(content, Mapping) else None
    return isinstance(state, Mapping) and "encoder.input_layer.0.weight" in state and is_rafswap(state)


def convert(content: Mapping[str, Any], source: str) -> ConvertedSystem:
    """Take the three networks out.

    Args:
        content: of the file.
        source: the file, for messages.

    Raises:
        CheckpointError: an entry is missing, or names or shapes are not RAFSwap's.
    """
    theirs = entry(content, "state_dict", source)
    average = average_of(content, source)
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
    except UNFIT as error:
        raise CheckpointError(
            f"{source}: not of RAFSwap's published layout ({error}); fetch it again"
        ) from error
    # What else a training checkpoint may hold, such as its loss networks, is not the swap's.
    others = {name.split(".")[0] for name in theirs if not name.startswith(tuple(PREFIXES))}
    for prefix, ours in PREFIXES.items():
        state |= {ours + name: tensor for name, tensor in without_prefix(theirs, prefix).items()}
    notes = left_out([*(content.keys() - {"state_dict", AVERAGE}), *others])
    made = fitted(state, network, source, loose=("generator.",))
    return ConvertedSystem(source, NAME, made, config, notes)


def to_rafswap(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The contents of RAFSwap's file, with empty options, for a state of a ``RAFSwapNetwork``."""
    tensors = {
        theirs + name: tensor
        for theirs, ours in PREFIXES.items()
        for name, tensor in without_prefix(state, ours).items()
    }
    return {"state_dict": tensors, "opts": {}, AVERAGE: state[AVERAGE]}


def written_files(converted: ConvertedSystem) -> dict[str, Any]:
    """Published file name → content for ``torch.save``."""
    return {FILE: to_rafswap(converted.state)}
