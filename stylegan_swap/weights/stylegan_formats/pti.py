"""Generators tuned by PTI: NVIDIA's generator alone, saved with ``torch.save``, whole or as a state dict.

Road: before it, where weights of other projects are converted. Pivotal tuning (Roich et al. 2021) moves all
weights of a StyleGAN2 generator so that one photograph is met exactly. A whole generator lies in PyTorch's
zip file under the same names as in NVIDIA's pickles, and is read by the same stand-ins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stylegan_swap.weights.readers.restricted_pickle import PickledModule
from stylegan_swap.weights.stylegan_formats.converted import Converted, State, tensors_of
from stylegan_swap.weights.stylegan_formats.nvlabs import generator_from, to_nvlabs
from stylegan_swap.weights.stylegan_formats.nvlabs_modules import FlatNetwork, flatten

NAME = "pti"
SUMMARY = "generator tuned by PTI (.pt): NVIDIA's generator alone, saved whole or as a state dict"


def recognises(content: Any) -> bool:
    """Whether a file's content is of this layout."""
    if isinstance(content, PickledModule):
        return True
    return isinstance(content, Mapping) and "synthesis.b4.const" in content


def convert(content: Any, source: str, *, lr_mlp: float = 0.01) -> Converted:
    """Take the generator out.

    Args:
        content: of the file.
        source: the file, for messages.
        lr_mlp: learning-rate factor of the mapping network, which a state dict does not tell.

    Raises:
        CheckpointError: the generator is incomplete, has labels, or is of another architecture.
    """
    notes: tuple[str, ...] = ()
    if isinstance(content, PickledModule):
        network = flatten(content, source)
    else:
        network = FlatNetwork(tensors_of(content, source, "its content"), {})
        notes = (
            "a state dict does not tell whether layers are limited (conv_clamp, in config.json): "
            "taken as not; networks trained in mixed precision need 256",
        )
    state, config, average = generator_from(network, source)
    if not network.settings:
        config["lr_mlp"] = lr_mlp
    parts: dict[str, State] = {"generator": state}
    return Converted(source, NAME, parts, {"generator": config}, average, notes).checked()


def to_pti(converted: Converted) -> dict[str, Tensor]:
    """The generator's ``state_dict()`` under NVIDIA's names, for ``torch.save``.

    Raises:
        CheckpointError: there is no generator.
    """
    only = {"generator": converted.parts["generator"]} if "generator" in converted.parts else {}
    generator = Converted(converted.source, NAME, only, converted.config, converted.latent_avg)
    return to_nvlabs(generator)["G_ema"]
