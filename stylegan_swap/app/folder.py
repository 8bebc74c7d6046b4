"""The page's private folder: uploads, results and nothing else, gone when the page closes.

Under ``photo`` and its siblings, which write into it, and ``server``, which makes it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

#: Where gradio keeps uploads; it is asked anew with every one.
_CACHE_VARIABLE = "GRADIO_TEMP_DIR"
# Where swap_video keeps the segments of OUTPUT.
_UNFINISHED = ".parts"


class PageFolder:
    """A folder that only this user can read, and that gradio uses as its cache; a context manager.

    Attributes:
        root: the folder.
    """

    def __init__(self) -> None:
        # mkdtemp's mode is 0700: other users of this computer must not see uploaded photos.
        self.root = Path(tempfile.mkdtemp(prefix="stylegan-swap-app-")).resolve()
        self._before = os.environ.get(_CACHE_VARIABLE)
        os.environ[_CACHE_VARIABLE] = str(self.root)

    def __enter__(self) -> PageFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete everything."""
        if os.environ.get(_CACHE_VARIABLE) == str(self.root):
            if self._before is None:
                del os.environ[_CACHE_VARIABLE]
            else:
                os.environ[_CACHE_VARIABLE] = self._before
        shutil.rmtree(self.root, ignore_errors=True)

    def fresh(self) -> Path:
        """A new empty folder for one result; its name cannot be guessed, so neither can its address."""
        folder = self.root / "results" / secrets.token_hex(16)
        folder.mkdir(parents=True)
        return folder

    def sweep(self, age: float, now: float) -> int:
        """Delete files that are older than an age, and folders left empty.

        Args:
            age: seconds since a file was last changed.
            now: the time, in seconds since 1970.

        Returns:
            How many files were deleted.
        """
        deleted = 0
        for parent, _, names in os.walk(self.root, topdown=False):
            if any(part.endswith(_UNFINISHED) for part in Path(parent).parts):
                # A clip on its way needs its first segments to the end, and removes them itself.
                continue
            for name in names:
                deleted += _removed(Path(parent, name), age, now, Path.unlink)
            if Path(parent) not in (self.root, self.root / "results"):
                _removed(Path(parent), age, now, Path.rmdir)
        return deleted

    def plain(self, text: str) -> str:
        """A message with the bare names of files instead of their paths in this folder."""
        return re.sub(re.escape(str(self.root)) + r"[/\\](?:[^/\\\s:]+[/\\])*", "", text)


def _removed(path: Path, age: float, now: float, remove: Callable[[Path], None]) -> bool:
    try:
        # ctime: a file that is uploaded again under the same name counts as new.
        if now - path.lstat().st_ctime <= age:
            return False
        remove(path)
    except OSError:
        # Somebody else deleted it, or a folder holds files still.
        return False
    return True
