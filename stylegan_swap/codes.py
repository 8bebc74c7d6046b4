"""W+ codes on disk: what ``stylegan-swap invert`` writes and ``generate`` reads, as safetensors."""

from __future__ import annotations

from pathlib import Path

from inversion import Latents
from stylegan_swap.atomic import replacing
from stylegan_swap.errors import CheckpointError, ImageWriteError


def save_codes(path: Path, latents: Latents) -> None:
    """Write codes, completely or not at all.

    Args:
        path: a file ending in .safetensors; replaced if it exists.
        latents: ``wplus`` ``[batch, L, D]`` and, where the encoder has one, ``structure``.

    Raises:
        ImageWriteError: the folder is missing or read-only, or the disk is full.
    """
    from safetensors.torch import save

    tensors = {"wplus": latents.wplus.float().cpu().contiguous()}
    if latents.structure is not None:
        tensors["structure"] = latents.structure.float().cpu().contiguous()
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors))
    except OSError as error:
        raise ImageWriteError(
            f"{path}: the codes could not be written ({error.strerror}): choose another folder"
        ) from error


def load_codes(path: Path) -> Latents:
    """Read codes.

    Raises:
        CheckpointError: the file is missing, damaged, or holds no W+ codes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        return Latents(tensors["wplus"], tensors.get("structure"))
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}): check the path"
        ) from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: holds no W+ codes ({error}): give a file written by 'stylegan-swap invert'"
        ) from error
