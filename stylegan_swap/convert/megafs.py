"""MegaFS's weights: its two files to one folder of ours, and back.

Before the road, once. Theirs: ``{ftm,injection,lcr}_final.pth`` with the encoder under ``e`` and the
swapper under ``s`` (and training state that is not read), and ``stylegan2-ffhq-config-f.pth`` with the
generator under ``g_ema``. Ours: the same names behind ``encoder.``, ``swapper.`` and ``generator.``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

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
from stylegan_swap.models.megafs import MegaFSConfig, MegaFSNetwork
from stylegan_swap.weights import save_weights

PARTS = ("encoder", "swapper", "generator")


def convert_megafs(
    swap_file: str | os.PathLike[str],
    generator_file: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    dtype: str = "float32",
) -> Path:
    """Turn MegaFS's two files into a folder that ``swap(method=folder)`` takes.

    Args:
        swap_file: ``ftm_final.pth``, ``injection_final.pth`` or ``lcr_final.pth``.
        generator_file: ``stylegan2-ffhq-config-f.pth``.
        folder: created where it does not exist.
        dtype: see ``save_weights``.

    Returns:
        The path of model.safetensors.

    Raises:
        CheckpointError: a file cannot be read, is no file of MegaFS's, or the two do not go together.
    """
    state, config = from_megafs(read_checkpoint(swap_file), read_checkpoint(generator_file))
    return save_weights(folder, state, config.to_dict(), dtype=dtype)


def from_megafs(
    swap_file: Mapping[str, Any], generator_file: Mapping[str, Any]
) -> tuple[dict[str, Tensor], MegaFSConfig]:
    """The state dict and configuration of a ``MegaFSNetwork`` for the contents of both files.

    Raises:
        CheckpointError: an entry is missing, or names or shapes are not MegaFS's.
    """
    parts = {
        "encoder": entry(swap_file, "e", "MegaFS's {ftm,injection,lcr}_final.pth"),
        "swapper": entry(swap_file, "s", "MegaFS's {ftm,injection,lcr}_final.pth"),
        "generator": entry(generator_file, "g_ema", "MegaFS's stylegan2-ffhq-config-f.pth"),
    }
    try:
        config = _config_of(parts)
        network = skeleton(MegaFSNetwork, config)
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"MegaFS's weights: not of its published layout ({error}); fetch both files again"
        ) from error
    state = {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
    return fitted(state, network, "MegaFS's weights", loose=("generator.",)), config


def to_megafs(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of MegaFS's two files, swap file first, for a state dict of a ``MegaFSNetwork``."""
    e, s, g = (without_prefix(state, f"{part}.") for part in PARTS)
    return {"e": e, "s": s}, {"g_ema": g}


def _config_of(parts: Mapping[str, Mapping[str, Tensor]]) -> MegaFSConfig:
    """Read every number off the shapes."""
    encoder, swapper, generator = (parts[part] for part in PARTS)
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
