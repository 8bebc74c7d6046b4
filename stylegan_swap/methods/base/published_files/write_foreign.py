"""Writes converted networks back as the files of another project, for those who go on in its code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.files.atomic import replacing
from stylegan_swap.methods.base.published_files.formats import Format, known_formats
from stylegan_swap.weights.stylegan_formats.converted import load_converted, load_system


def writable_format(format_name: str) -> Format:
    """The format, if it can be written.

    Raises:
        UnsupportedOptionError: it is unknown or only read.
    """
    layout = known_formats().get(format_name)
    if layout is None or (layout.back is None and layout.back_files is None):
        writable = [
            name
            for name, known_layout in known_formats().items()
            if known_layout.back or known_layout.back_files
        ]
        reason = "" if layout is None else ", its own code would have to lie in the file"
        raise UnsupportedOptionError(
            f"{format_name!r} cannot be written{reason}: choose one of {', '.join(writable)}"
        )
    return layout


def write_foreign(source: Path, target: Path, format_name: str) -> list[Path]:
    """Write a foreign format; each file appears whole or not at all.

    Args:
        source: a folder of ``stylegan-swap convert``, or of a swap system that was trained here.
        target: the file, for ``torch.load(weights_only=True)``; a folder for formats whose files have their
            own names (MegaFS, FSLSD, RAFSwap).
        format_name: a name of ``known_formats`` that can be written.

    Returns:
        The files.

    Raises:
        CheckpointError: ``source`` does not hold what the format needs, or there is no space.
        UnsupportedOptionError: the format is unknown or only read.
    """
    layout = writable_format(format_name)
    if layout.back_files is None:
        assert layout.back is not None
        contents: Mapping[Path, Any] = {target: layout.back(load_converted(source))}
    else:
        files = layout.back_files(load_system(source, format_name, layout.config_class))
        contents = {target / name: content for name, content in files.items()}
    for file, content in contents.items():
        try:
            file.parent.mkdir(parents=layout.back_files is not None, exist_ok=True)
            with replacing(file) as temporary:
                torch.save(content, temporary)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{file}: could not be written ({reason}); free some space or choose another"
            ) from error
    return list(contents)
