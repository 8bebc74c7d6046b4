"""Names out of a list that came with a folder of photographs: they stay in that folder.

Such a list may come from strangers; one that a user writes (pairs,
jobs of a batch) may name photos anywhere, and is read without this.
"""

from __future__ import annotations

import re
from pathlib import Path

from stylegan_swap.errors import ImageReadError


def contained(folder: Path, name: str, where: Path) -> Path:
    """The path of a file that a list names. Links in the folder are followed: they are its owner's.

    ``folder``: that the list belongs to; ``name``: with ``/`` or the system's separator between folders;
    ``where``: the list, for the message.

    Raises:
        ImageReadError: the name is empty, absolute, climbs out by ``..``, or has control characters in it.
    """
    parts = re.split(r"[/\\]", name)
    wrong = not name or re.match(r"[/\\]|[A-Za-z]:", name) or ".." in parts or re.search(r"[\0-\x1f]", name)
    if wrong:
        raise ImageReadError(
            f"{where}: {name[:100]!r} does not lie in the folder {folder}; write names relative to it"
        )
    return folder / name
