"""One line about consent, shown once on standard error when pictures of people are first made.

It is remembered in the cache and asks nothing, so no script waits for an answer.
"""

from __future__ import annotations

import contextlib
import os
import sys

from stylegan_swap.errors import StyleganSwapError
from stylegan_swap.files.cache import cache_folder

#: Any value but "" and "0" leaves the notice out, as --quiet does.
QUIET_VARIABLE = "STYLEGAN_SWAP_QUIET"

#: Notice to everybody who makes such pictures.
CONSENT = (
    "swap faces only of people who agreed to it, and tell who sees the result; results are marked as made "
    "with AI"
)

NOTICE = f"notice: {CONSENT} (docs/responsible-use.md; shown once)"

# Commands that make pictures of people.
_COMMANDS = {"swap", "demo", "generate", "edit", "video", "batch", "app"}
_REMEMBERED = "notice-1"


def show_once(command: str | None, *, quiet: bool = False) -> bool:
    """Prints the notice if the command makes pictures and it was never shown before.

    Where the cache cannot be written to, it is shown again next time.

    ``command``: the verb that was called; ``quiet``: whether the user wants none. Returns whether it was
    printed.
    """
    if quiet or command not in _COMMANDS or os.environ.get(QUIET_VARIABLE, "0") not in ("", "0"):
        return False
    # A --help shows help, and nothing is made.
    if "--help" in sys.argv:
        return False
    with contextlib.suppress(OSError, StyleganSwapError):
        folder = cache_folder()
        if (folder / _REMEMBERED).exists():
            return False
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _REMEMBERED).touch()
    print(NOTICE, file=sys.stderr)
    return True
