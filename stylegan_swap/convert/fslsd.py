"""FSLSD's weights: its file and pSp's to one folder of ours, and back.

Before the road, once. Theirs: ``CELEBA-HQ-1024.pt``, five networks whose names all begin with ``module.``,
and ``psp_ffhq_encode.pt``, whose encoder makes the codes. Ours: the same names behind the prefixes of
``models.fslsd``, the row-affine edit ("bald") inside the swapper, and pSp's average code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from inversion import as_latent_avg
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
from stylegan_swap.models.fslsd import FSLSDConfig, FSLSDNetwork
from stylegan_swap.weights import save_weights

# Their entry → our prefix.
PARTS = {
    "encoder_lmk": "landmark_encoder.",
    "encoder_target": "target_encoder.",
    "decoder": "decoder.",
    "generator": "generator.",
    "bald_model": "swapper.edit.",
}
MODULE = "module."
AVERAGE = "latent_avg"


def convert_fslsd(
    checkpoint: str | os.PathLike[str],
    psp_file: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    dtype: str = "float32",
) -> Path:
    """Turn FSLSD's file and pSp's into a folder that ``FSLSDMethod.from_pretrained`` takes.

    Args:
        checkpoint: ``CELEBA-HQ-1024.pt``.
        psp_file: ``psp_ffhq_encode.pt``.
        folder: created where it does not exist.
        dtype: see ``save_weights``.

    Returns:
        The path of model.safetensors.

    Raises:
        CheckpointError: a file cannot be read, is not the one expected, or the two do not go together.
    """
    state, config = from_fslsd(read_checkpoint(checkpoint), read_checkpoint(psp_file))
    return save_weights(folder, state, config.to_dict(), dtype=dtype)


def from_fslsd(
    checkpoint: Mapping[str, Any], psp_file: Mapping[str, Any]
) -> tuple[dict[str, Tensor], FSLSDConfig]:
    """The state dict and configuration of an ``FSLSDNetwork`` for the contents of both files.

    Raises:
        CheckpointError: an entry is missing, or names or shapes are not the published ones.
    """
    parts = {key: entry(checkpoint, key, "FSLSD's CELEBA-HQ-1024.pt", MODULE) for key in PARTS}
    encoder = without_prefix(entry(psp_file, "state_dict", "pSp's psp_ffhq_encode.pt"), "encoder.")
    average = psp_file.get(AVERAGE)
    if not isinstance(average, Tensor):
        raise CheckpointError(
            f"pSp's psp_ffhq_encode.pt: holds no {AVERAGE!r}, without which its codes mean nothing; "
            "take the released file"
        )
    try:
        config = FSLSDConfig(**_numbers(parts))
        state = {AVERAGE: as_latent_avg(average, config.n_latent, config.style_dim)}
        network = skeleton(FSLSDNetwork, config)
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"FSLSD's weights: not of the published layout ({error}); fetch both files again"
        ) from error
    state |= {f"encoder.{name}": tensor for name, tensor in encoder.items()}
    for key, prefix in PARTS.items():
        state |= {prefix + name: tensor for name, tensor in parts[key].items()}
    return fitted(state, network, "FSLSD's weights", loose=("generator.",)), config


def to_fslsd(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of FSLSD's file and of pSp's (encoder and average) for a state of an ``FSLSDNetwork``."""
    checkpoint = {
        key: {MODULE + name: tensor for name, tensor in without_prefix(state, prefix).items()}
        for key, prefix in PARTS.items()
    }
    encoder = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    return checkpoint, {"state_dict": encoder, AVERAGE: state[AVERAGE]}


def _numbers(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Any]:
    """Read every number off the shapes but the rows and the edit's strength, which the script fixes."""
    landmarks = parts["encoder_lmk"]
    width, maps = landmarks["input_layer.0.weight"].shape[:2]
    numbers: dict[str, Any] = generator_numbers(parts["generator"])
    numbers |= {"points": maps // 2, "trunk_width": width, "trunk_units": trunk_units(landmarks, width)}
    rows = 2 * (numbers["size"].bit_length() - 1) - 2
    return numbers | {"identity_rows": min(FSLSDConfig.identity_rows, rows)}


def trunk_units(trunk: Mapping[str, Tensor], width: int) -> tuple[int, ...]:
    """Units per stage of an IR-SE trunk: a stage is what has the same channels."""
    outputs = [trunk[f"body.{unit}.res_layer.1.weight"].shape[0] for unit in range(numbered(trunk, "body."))]
    return tuple(outputs.count(width * 2**stage) for stage in range(4))
