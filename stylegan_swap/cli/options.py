"""Which face a word on the command line means; read by every command that takes ``--face``."""

from __future__ import annotations

from typing import Any


def face_choice(text: str) -> Any:
    """A word, a number, or the path of a reference photo."""
    try:
        return int(text)
    except ValueError:
        return text
