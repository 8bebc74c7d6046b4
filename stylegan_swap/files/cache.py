"""The user's cache folder: where downloaded weights, compiled kernels and consents lie."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from stylegan_swap.errors import CheckpointError

#: Names the folder of the cache, in place of the platform's.
CACHE_VARIABLE = "STYLEGAN_SWAP_CACHE"


def cache_folder(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """The folder of the cache: STYLEGAN_SWAP_CACHE, or the platform's own place; it need not exist.

    Linux: $XDG_CACHE_HOME or ~/.cache; macOS: ~/Library/Caches; Windows: %LOCALAPPDATA%.

    Raises:
        CheckpointError: there is no home folder, and the variable is not set.
    """
    try:
        if chosen := environ.get(CACHE_VARIABLE):
            return Path(chosen).expanduser().absolute()
        if platform == "win32":
            local = environ.get("LOCALAPPDATA")
            return (Path(local) if local else Path.home() / "AppData" / "Local") / "stylegan_swap" / "Cache"
        if platform == "darwin":
            return Path.home() / "Library" / "Caches" / "stylegan_swap"
        # The XDG specification: a relative path is invalid and to be ignored.
        xdg = Path(environ.get("XDG_CACHE_HOME", ""))
        return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "stylegan_swap"
    except RuntimeError as error:
        raise CheckpointError(f"the cache has no place ({error}); set {CACHE_VARIABLE} to a folder") from None
