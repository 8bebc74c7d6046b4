"""Tells which project a file of directions comes from, and reads it. Nothing in a file is executed.

Before the road: codes → **directions** → codes. .npy and .npz are read as plain numbers, .pt by the
restricted reader of ``convert``, .safetensors is this library's own.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from stylegan_swap.editing.direction import Direction
from stylegan_swap.editing.direction_file import load_own_directions
from stylegan_swap.editing.ganspace import is_ganspace, read_ganspace
from stylegan_swap.editing.interfacegan import is_boundary, read_boundary
from stylegan_swap.editing.sefa import is_factor, read_factor
from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.readers.numpy_file import read_npy, read_npz
from stylegan_swap.weights.readers.torch_file import read_file

# InterFaceGAN's names: stylegan_ffhq_age_w_boundary.npy, stylegan_celebahq_smile_c_eyeglasses_w_boundary.npy.
_BOUNDARY = re.compile(r"(?:pggan|stylegan2?)_[a-z0-9]+_(?P<name>.+?)(?:_(?:w|z))?_boundary")


def load_directions(path: str | Path) -> dict[str, Direction]:
    """Read directions from any of the field's files.

    Args:
        path: InterFaceGAN's .npy (``[1, D]``), e4e's .pt (``[1, D]`` or ``[1, L, D]``), GANSpace's .npz or
            e4e's ``ffhq_pca.pt``, rosinality's ``factor.pt``, or this library's .safetensors.

    Returns:
        By name. A file with one tensor gives one direction with the name of the file.

    Raises:
        CheckpointError: missing, damaged, unsafe, or none of these layouts.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file of directions; check the path")
    suffix = file.suffix.lower()
    content: Any
    if suffix == ".safetensors":
        return load_own_directions(file)
    if suffix == ".npy":
        content = torch.from_numpy(read_npy(file))
    elif suffix == ".npz":
        content = read_npz(file)
    else:
        content = read_file(file)
    source = str(file)
    if is_boundary(content):
        name = _name(file)
        return {name: _named(read_boundary(content, name, source), file)}
    if is_ganspace(content):
        return {name: _named(d, file) for name, d in read_ganspace(content, source).items()}
    if is_factor(content):
        return {name: _named(d, file) for name, d in read_factor(content, source).items()}
    kinds = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else type(content).__name__
    raise CheckpointError(
        f"{file}: holds no directions of a known layout ({kinds[:200]}); InterFaceGAN's, GANSpace's, SeFa's "
        "and this library's are read"
    )


def _name(file: Path) -> str:
    match = _BOUNDARY.fullmatch(file.stem)
    name = match["name"] if match else file.stem
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name) or "direction"


def _named(direction: Direction, file: Path) -> Direction:
    """With the file's name alone as its source: what is stored must not hold somebody's folders."""
    return replace(direction, source=file.name)
