"""MegaFS's published files: both to one network, and back.

``{ftm,injection,lcr}_final.pth`` has the encoder under ``e`` and the swapper under ``s`` (and training state
that is not read), ``stylegan2-ffhq-config-f.pth`` the generator under ``g_ema``. The network here has the
same names behind ``encoder.``, ``swapper.`` and ``generator.``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.formats import Companion, ForeignFile, Format
from stylegan_swap.methods.megafs.network import SWAPS, MegaFSConfig, MegaFSNetwork
from stylegan_swap.weights.stylegan_formats.converted import ConvertedSystem, left_out
from stylegan_swap.weights.stylegan_formats.swap_system import (
    UNFIT,
    entry,
    fitted,
    generator_numbers,
    numbered,
    skeleton,
    without_prefix,
)

# The transfer module first: it is the paper's method, the others are its ablations.
SWAP_FILES = tuple(f"{swap}_final.pth" for swap in SWAPS)
GENERATOR_FILE = "stylegan2-ffhq-config-f.pth"
_PARTS = ("encoder", "swapper", "generator")


def recognises(content: Any) -> bool:
    """Whether a file's content is of this layout: the file with encoder and swapper."""
    if not isinstance(content, Mapping) or not isinstance(content.get("s"), Mapping):
        return False
    encoder = content.get("e")
    return isinstance(encoder, Mapping) and any(str(name).startswith("fpn.backbone.") for name in encoder)


def convert(content: Mapping[str, Any], source: str, generator: ForeignFile) -> ConvertedSystem:
    """Take the three networks out of both files.

    Args:
        content: of the file with encoder and swapper.
        source: that file, for messages.
        generator: the generator's file.

    Raises:
        CheckpointError: an entry is missing, or names or shapes are not MegaFS's.
    """
    parts = {
        "encoder": entry(content, "e", source),
        "swapper": entry(content, "s", source),
        "generator": entry(generator.content, "g_ema", generator.source),
    }
    sources = f"{source} and {generator.source}"
    try:
        config = _config_of(parts)
        network = skeleton(MegaFSNetwork, config)
    except UNFIT as error:
        raise CheckpointError(
            f"{sources}: not of MegaFS's published layout ({error}); fetch both files again"
        ) from error
    state = {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
    notes = left_out([*(content.keys() - {"e", "s"}), *(generator.content.keys() - {"g_ema"})])
    return ConvertedSystem(
        sources, "megafs", fitted(state, network, sources, loose=("generator.",)), config, notes
    )


def to_megafs(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of MegaFS's two files, swap file first, for a state dict of a ``MegaFSNetwork``."""
    e, s, g = (without_prefix(state, f"{part}.") for part in _PARTS)
    return {"e": e, "s": s}, {"g_ema": g}


def written_files(converted: ConvertedSystem) -> dict[str, Any]:
    """Published file name → content for ``torch.save``."""
    assert isinstance(converted.config, MegaFSConfig)
    swap_file, generator_file = to_megafs(converted.state)
    return {f"{converted.config.swap}_final.pth": swap_file, GENERATOR_FILE: generator_file}


def _config_of(parts: Mapping[str, Mapping[str, Tensor]]) -> MegaFSConfig:
    """Read every number off the shapes."""
    encoder, swapper, generator = (parts[part] for part in _PARTS)
    counts = [numbered(encoder, f"mapping{level}.") for level in (1, 2, 3)]
    stages = [f"fpn.backbone.layer{stage}." for stage in range(1, 6)]
    if any(name.startswith("blocks.0.idd_selectors") for name in swapper):
        swap = "ftm"
    else:
        swap = "injection" if swapper else "lcr"
    return MegaFSConfig(
        **generator_numbers(generator),
        swap=swap,
        split=tuple(counts),
        blocks=tuple(numbered(encoder, stage) for stage in stages),
        planes=tuple(len(encoder[f"{stage}0.conv1.weight"]) for stage in stages),
    )


FORMAT = Format(
    "megafs",
    'MegaFS (.pth): {"e", "s"}, with its generator\'s file {"g_ema"} beside it',
    recognises,
    convert,
    back_files=written_files,
    config_class=MegaFSConfig,
    companions=(Companion("rosinality", GENERATOR_FILE, "megafs-generator"),),
    published=SWAP_FILES,
)
