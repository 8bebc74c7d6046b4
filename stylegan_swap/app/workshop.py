"""Shared by all tabs of the page: one network, one private folder, one set of limits."""

from __future__ import annotations

import functools
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from stylegan_swap.app.actions import Dial, dials_of
from stylegan_swap.app.clip import ClipJobs
from stylegan_swap.editing.photo import stored_directions
from stylegan_swap.errors import StyleganSwapError
from stylegan_swap.methods.base.protocol import HasLatents

if TYPE_CHECKING:
    from stylegan_swap.swapping.swapper import PhotoSwapper


#: Names of the queues: swaps share one, so that clips do not hold up photos for long and the other way round.
NETWORK, CLIPS, LOOKING = "network", "clips", "looking"


@dataclass(frozen=True)
class Workshop:
    """Shared state of the tabs; only the running clips belong to single visitors.

    Attributes:
        swapper: the one network.
        folder: where files go.
        parallel: photos that are worked on at the same time.
        clip_seconds: the longest clip.
        jobs: running clips by visitor.
    """

    swapper: PhotoSwapper
    folder: PageFolder
    parallel: int = 1
    clip_seconds: float = 60.0
    jobs: ClipJobs = field(default_factory=ClipJobs)

    @functools.cached_property
    def generates(self) -> bool:
        """Whether the method has a generator."""
        return isinstance(self.swapper.method, HasLatents)

    @functools.cached_property
    def dials(self) -> list[Dial]:
        """Sliders for editing; none where the method or its directions do not allow it."""
        if not self.generates:
            return []
        try:
            return dials_of(stored_directions(self.swapper.method))
        except StyleganSwapError:
            return []

    def offers(self, option: str) -> bool:
        """Whether the method understands a dial of ``swap``."""
        return any(option == declared.name for declared in self.swapper.method.options)


#: Variable with gradio's folder of uploads; gradio reads it at every upload.
_CACHE_VARIABLE = "GRADIO_TEMP_DIR"
# Suffix of the folder with unfinished segments of swap_video.
_UNFINISHED = ".parts"


class PageFolder:
    """A folder that only this user can read, and that gradio uses as its cache; a context manager.

    Attributes:
        root: the folder.
    """

    def __init__(self) -> None:
        # mkdtemp's mode is 0700: other users of this computer must not see uploaded photos.
        self.root = Path(tempfile.mkdtemp(prefix="stylegan-swap-app-")).resolve()
        self._earlier_cache = os.environ.get(_CACHE_VARIABLE)
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
            if self._earlier_cache is None:
                del os.environ[_CACHE_VARIABLE]
            else:
                os.environ[_CACHE_VARIABLE] = self._earlier_cache
        shutil.rmtree(self.root, ignore_errors=True)

    def fresh(self) -> Path:
        """A new empty folder for one result; its name cannot be guessed, so neither can its address."""
        folder = self.root / "results" / secrets.token_hex(16)
        folder.mkdir(parents=True)
        return folder

    def sweep(self, age: float, timestamp: float) -> int:
        """Delete files that are older than an age, and folders left empty.

        ``age``: seconds since a file was last changed; ``timestamp``: the time, in seconds since 1970.
        Returns how many files were deleted.
        """
        deleted = 0
        for parent, _, names in os.walk(self.root, topdown=False):
            if any(part.endswith(_UNFINISHED) for part in Path(parent).parts):
                # An unfinished clip needs its first segments to the end, and removes them itself.
                continue
            for name in names:
                deleted += _removed(Path(parent, name), age, timestamp, Path.unlink)
            if Path(parent) not in (self.root, self.root / "results"):
                _removed(Path(parent), age, timestamp, Path.rmdir)
        return deleted

    def plain(self, text: str) -> str:
        """A message with the bare names of files instead of their paths in this folder."""
        return re.sub(re.escape(str(self.root)) + r"[/\\](?:[^/\\\s:]+[/\\])*", "", text)


def _removed(path: Path, age: float, timestamp: float, remove: Callable[[Path], None]) -> bool:
    try:
        # ctime: a file that is uploaded again under the same name counts as new.
        if timestamp - path.lstat().st_ctime <= age:
            return False
        remove(path)
    except OSError:
        # Somebody else deleted it, or a folder holds files still.
        return False
    return True
