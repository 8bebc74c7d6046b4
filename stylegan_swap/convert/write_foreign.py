"""Writes converted networks back as a file of another project.

Road: beside it: for those who go on in the code that a file came from.
"""

from __future__ import annotations

from pathlib import Path

import torch

from stylegan_swap.atomic import replacing
from stylegan_swap.convert.converted import load_converted
from stylegan_swap.convert.detect import FORMATS
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError


def write_foreign(source: Path, target: Path, format_name: str) -> None:
    """Write a file of a foreign format; it appears whole or not at all.

    Args:
        source: a folder that ``Converted.save`` wrote.
        target: the file, for ``torch.load(weights_only=True)``.
        format_name: a key of ``FORMATS`` that can be written.

    Raises:
        CheckpointError: ``source`` does not hold what the format needs, or there is no space.
        UnsupportedOptionError: the format is unknown or only read.
    """
    writable = [name for name, entry in FORMATS.items() if entry.back is not None]
    entry = FORMATS.get(format_name)
    if entry is None or entry.back is None:
        raise UnsupportedOptionError(
            f"{format_name!r} cannot be written: choose one of {', '.join(writable)}"
        )
    content = entry.back(load_converted(source))
    try:
        with replacing(target) as temporary:
            torch.save(content, temporary)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{target}: could not be written ({reason}); free some space or choose another"
        ) from error
