"""W+ codes on disk: what ``stylegan-swap invert`` writes and ``generate`` reads, as safetensors.

Tensors: ``wplus``; ``structure`` where the encoder has one; after projection ``noise.0`` … in layer order;
after pivotal tuning the generator's parameters as ``tuned.NAME``. No picture of the person is kept.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from inversion import Inversion, Latents
from stylegan_swap.errors import CheckpointError, ImageWriteError
from stylegan_swap.files.atomic import replacing


def save_codes(path: Path, latents: Latents) -> None:
    """Write codes, completely or not at all.

    Args:
        path: a file ending in .safetensors; replaced if it exists.
        latents: ``wplus`` ``[batch, L, D]`` and, where the encoder has one, ``structure``; of an
            ``Inversion`` noise maps and tuned weights as well.

    Raises:
        ImageWriteError: the folder is missing or read-only, or the disk is full.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {"wplus": latents.wplus}
    if latents.structure is not None:
        tensors["structure"] = latents.structure
    if isinstance(latents, Inversion):
        tensors |= {f"noise.{number}": noise_map for number, noise_map in enumerate(latents.noise or ())}
        tensors |= {f"tuned.{name}": value for name, value in (latents.tuned or {}).items()}
    tensors = {name: value.float().cpu().contiguous() for name, value in tensors.items()}
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors))
    except OSError as error:
        raise ImageWriteError(
            f"{path}: the codes could not be written ({error.strerror}): choose another folder"
        ) from error


def load_codes(path: Path) -> Latents:
    """Read codes; those with noise maps or tuned weights come back as ``Inversion``.

    Raises:
        CheckpointError: the file is missing, damaged, or holds no W+ codes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        wplus, structure = tensors["wplus"], tensors.get("structure")
        count = sum(name.startswith("noise.") for name in tensors)
        noise = tuple(tensors[f"noise.{number}"] for number in range(count)) or None
        tuned = {k.removeprefix("tuned."): v for k, v in tensors.items() if k.startswith("tuned.")} or None
        if noise is None and tuned is None:
            return Latents(wplus, structure)
        return Inversion(wplus, structure, noise, tuned)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}): check the path"
        ) from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: holds no W+ codes ({error}): give a file written by 'stylegan-swap invert'"
        ) from error
