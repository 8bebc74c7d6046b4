"""Directions on disk in this library's own format: one safetensors file, with what is known in its metadata.

Before the road; ``published`` reads the files of others. The numbers are float16: a direction's error is then
a two-thousandth of its length.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_swap.editing.direction import Direction
from stylegan_swap.errors import CheckpointError, ImageWriteError
from stylegan_swap.files.atomic import replacing
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.weights.store import refuse_impostors

DIRECTIONS_FILE = "directions.safetensors"
_FORMAT = "stylegan_swap.directions"
_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def generator_fingerprint(generator: Generator) -> str:
    """Size and hash of a generator's weights: directions mean something in the space of one network only."""
    digest = hashlib.sha256()
    for name, parameter in sorted(generator.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().float().cpu().contiguous().numpy().tobytes())
    return f"{generator.size}:{generator.n_latent}x{generator.style_dim}:{digest.hexdigest()[:16]}"


def save_directions(path: Path, directions: Mapping[str, Direction]) -> None:
    """Write directions, completely or not at all.

    Args:
        path: a file ending in .safetensors; replaced if it exists.
        directions: by name: letters, digits, - and _.

    Raises:
        ImageWriteError: there are none, a name is not allowed, or the file cannot be written.
    """
    from safetensors.torch import save

    if not directions:
        raise ImageWriteError(f"{path}: there are no directions to write")
    tensors: dict[str, Tensor] = {}
    about: dict[str, dict[str, Any]] = {}
    for name, direction in directions.items():
        if not _NAME.fullmatch(name):
            raise ImageWriteError(
                f"{path}: a direction cannot be called {name!r}; use letters, digits, - and _"
            )
        # Unit length keeps the numbers inside float16, whatever the file they came from.
        length = float(direction.vector.double().norm())
        tensors[name] = (direction.vector.double() / length).half().cpu().contiguous()
        if direction.mean is not None:
            tensors[f"{name}.mean"] = direction.mean.float().cpu().contiguous().clone()
        about[name] = {
            "scale": direction.scale,
            "length": length,
            "unit": direction.unit,
            "rows": direction.rows,
            "kind": direction.kind,
            "source": direction.source,
            "network": direction.network,
            "measured": dict(direction.measured),
        }
    metadata = {"format": _FORMAT, "version": str(_VERSION), "directions": json.dumps(about, allow_nan=False)}
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors, metadata=metadata))
    except OSError as error:
        raise ImageWriteError(
            f"{path}: the directions could not be written ({error.strerror}): choose another folder"
        ) from error


def load_own_directions(path: Path) -> dict[str, Direction]:
    """Read what :func:`save_directions` wrote.

    Raises:
        CheckpointError: missing, damaged, of a newer version, or no file of directions.
    """
    from safetensors import SafetensorError, safe_open

    refuse_impostors(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: is truncated or damaged ({error}); fetch it again") from error
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path}: holds no directions; give a file that `stylegan-swap directions` wrote"
        )
    try:
        if int(metadata["version"]) > _VERSION:
            raise CheckpointError(f"{path}: written by a newer version; upgrade stylegan-swap")
        about = json.loads(metadata["directions"])
        return {name: _direction(name, facts, tensors) for name, facts in about.items()}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its description is damaged ({' '.join(str(error).split())[:200]}); fetch it again"
        ) from error


def check_network(directions: Mapping[str, Direction], generator: Generator, path: Path | str) -> None:
    """Compare the fingerprints that directions carry with a generator's; those without one pass.

    Raises:
        CheckpointError: they were made for another network; says how to make them anew.
    """
    fingerprint = generator_fingerprint(generator)
    foreign = [direction for direction in directions.values() if direction.network not in ("", fingerprint)]
    if foreign:
        raise CheckpointError(
            f"{path}: {foreign[0].name} was made for the network {foreign[0].network}, this is "
            f"{fingerprint}; in other weights the same numbers mean something else: fit them again with "
            "`stylegan-swap directions fit PHOTOS --weights WEIGHTS --output FILE`"
        )


def _direction(name: str, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Direction:
    rows = facts["rows"]
    return Direction(
        name,
        tensors[name].to(torch.float32) * float(facts["length"]),
        float(facts["scale"]),
        str(facts["unit"]),
        None if rows is None else (int(rows[0]), int(rows[1])),
        tensors.get(f"{name}.mean"),
        str(facts["kind"]),
        str(facts["source"]),
        str(facts["network"]),
        {str(key): float(value) for key, value in facts["measured"].items()},
    )
