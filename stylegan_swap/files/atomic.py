"""A file appears whole or not at all: the last step of everything the library writes.

Results, weights and reports go through :func:`replacing`, so a full disk, an error or Ctrl-C
never leaves half a file, and never harms the one that was there before.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lends an empty temporary file beside `path`; on success it takes the place of `path`.

    A new file gets the mode the umask asks for, a replaced one keeps its mode. A link is
    followed: the file it points to is replaced, the link stays.

    Args:
        path: the file to write; its folder must exist.

    Yields:
        The temporary path (same folder, hidden, same suffix), to be written and closed by the caller.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(8)}.part{target.suffix}")
    # Not mkstemp: its mode 0600 would make every result unreadable for others. The random name
    # is not derived from the target's, which may already be as long as the file system allows.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        put_in_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, target: Path) -> None:
    """Gives a finished file its name, once the disk has all of it; both lie in one folder.

    Raises:
        OSError: the disk is full or the folder cannot be written to; `target` is as it was.
    """
    _sync(temporary)
    os.replace(temporary, target)
    # The name must survive a power cut as well; some file systems cannot sync a folder.
    with contextlib.suppress(OSError):
        _sync(target.parent)


def _sync(path: Path) -> None:
    """Waits until the disk has the file; raises OSError where it could not be stored."""
    # Windows can only flush a handle that was opened for writing; a folder opens only for reading.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
