"""RAFSwap's published file: to a network, and back.

One file ``{state_dict, opts, latent_avg}`` with the prefixes ``encoder.``, ``decoder.`` and ``mask.``; the
network here has the same names, with ``generator.`` for ``decoder.``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from inversion import as_latent_avg
from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.formats import Format
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork
from stylegan_swap.weights.stylegan_formats.converted import ConvertedSystem, left_out
from stylegan_swap.weights.stylegan_formats.psp import is_rafswap
from stylegan_swap.weights.stylegan_formats.swap_system import (
    AVERAGE,
    UNFIT,
    average_of,
    entry,
    fitted,
    generator_numbers,
    numbered,
    skeleton,
    trunk_units,
    without_prefix,
)

# The name in the official example; the published file's own is not known.
FILE = "iteration_200.pt"
# Published prefix → prefix in the network here.
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
    published = entry(content, "state_dict", source)
    average = average_of(content, source)
    try:
        encoder = without_prefix(published, "encoder.")
        width = encoder["input_layer.0.weight"].shape[0]
        config = RAFSwapConfig(
            **generator_numbers(without_prefix(published, "decoder.")),
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
    foreign_parts = {name.split(".")[0] for name in published if not name.startswith(tuple(PREFIXES))}
    for prefix, own_prefix in PREFIXES.items():
        state |= {own_prefix + name: tensor for name, tensor in without_prefix(published, prefix).items()}
    notes = left_out([*(content.keys() - {"state_dict", AVERAGE}), *foreign_parts])
    state = fitted(state, network, source, loose=("generator.",))
    return ConvertedSystem(source, "rafswap", state, config, notes)


def to_rafswap(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The contents of RAFSwap's file, with empty options, for a state of a ``RAFSwapNetwork``."""
    tensors = {
        prefix + name: tensor
        for prefix, own_prefix in PREFIXES.items()
        for name, tensor in without_prefix(state, own_prefix).items()
    }
    return {"state_dict": tensors, "opts": {}, AVERAGE: state[AVERAGE]}


def written_files(converted: ConvertedSystem) -> dict[str, Any]:
    """Published file name → content for ``torch.save``."""
    return {FILE: to_rafswap(converted.state)}


FORMAT = Format(
    "rafswap",
    'RAFSwap (.pt): {"state_dict": {"encoder.*", "decoder.*", "mask.*"}, "latent_avg", "opts"}',
    recognises,
    convert,
    back_files=written_files,
    config_class=RAFSwapConfig,
    published=(FILE,),
)
