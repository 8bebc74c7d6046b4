"""Weights wherever they lie, this library's or another project's, ready for a method.

A foreign file is converted in memory, its numbers left in the file until they are copied into the network;
nothing is written, so it is done every time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.detect import convert_files
from stylegan_swap.methods.base.published_files.formats import read_foreign
from stylegan_swap.weights.cache import cached_path
from stylegan_swap.weights.store import (
    MODEL_FILE,
    LoadedWeights,
    find_weights,
    published_weights,
    registered_weights,
)

# Networks that neither make nor read a face → what they are good for.
_OTHER_USES = {
    "identity": (
        "a recogniser, which makes no faces; it measures likeness (`stylegan-swap evaluate --arcface FILE`) "
        "and teaches encoders (`stylegan-swap train invert --set options.arcface=FILE`)"
    ),
    "discriminator": "a discriminator, which makes no faces; training goes on with it (--start)",
}


def open_weights(name_or_path: str | os.PathLike[str]) -> tuple[Path | LoadedWeights, tuple[str, ...]]:
    """The weights behind a name, a folder or a file, this library's or another project's.

    Args:
        name_or_path: what ``find_weights`` knows, or a file or folder that ``convert_files`` reads.

    Returns:
        A path for ``load_weights``, or converted weights; and notes for the user.

    Raises:
        CheckpointError: missing, damaged, unsafe, of no known format, or of no use to a swapper.
    """
    names = {*registered_weights(), *published_weights()}
    if str(name_or_path) not in names and _is_foreign_folder(name_or_path):
        return _converted(Path(name_or_path), {}, str(name_or_path))
    file = find_weights(name_or_path)
    if file.suffix.lower() == ".safetensors":
        return file, ()
    content = read_foreign(file, mapped=True)
    if isinstance(content, Mapping) and {"state_dict", "config"} <= content.keys():
        return file, ()
    return _converted(file, {file: content}, str(name_or_path))


def downloaded_weights(method: str) -> str | None:
    """The name under which weights of a published method were downloaded; None where none were."""
    entries = published_weights().values()
    names = (entry.name for entry in entries if entry.format == method and cached_path(entry).is_file())
    return next(names, None)


def _is_foreign_folder(path: str | os.PathLike[str]) -> bool:
    try:
        return Path(path).is_dir() and not (Path(path) / MODEL_FILE).is_file()
    except (OSError, ValueError):
        # find_weights says what is wrong with it.
        return False


def _converted(
    path: Path, contents: Mapping[Path, Any], called: str
) -> tuple[LoadedWeights, tuple[str, ...]]:
    converted = convert_files([path], mapped=True, contents=contents)
    if not {"generator", "encoder"} & set(converted.parts):
        uses = (text for part, text in _OTHER_USES.items() if part in converted.parts)
        use = next(uses, "neither a generator nor an encoder, of which a swapper could make something")
        raise CheckpointError(f"{converted.source}: is {use}")
    note = (
        f"{called}: converted in memory from {converted.format}, as it will be every time; "
        f"`stylegan-swap convert {called} FOLDER` does it once"
    )
    return converted.weights(), (note, *converted.notes)
