"""One process at a time: a lock of the operating system, which a killed process cannot leave behind."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_BETWEEN_TRIES = 0.2
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextlib.contextmanager
def exclusive(
    path: Path, *, waiting: Callable[[], None], sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Holds the lock of a file, which is created for it and removed after; waits while another has it.

    The system frees the lock of a process that ends, however it ends; the empty file it leaves then is
    taken over by the next.

    Args:
        path: of the lock; its folder must exist.
        waiting: called once if another process has the lock.
        sleep: waits that many seconds.

    Raises:
        OSError: the file cannot be created, or its file system knows no locks.
    """
    handle = _acquire(path, waiting, sleep)
    try:
        yield
    finally:
        # Windows removes no open file; elsewhere it must go while the lock is held, or it might be another's.
        if sys.platform == "win32":
            os.close(handle)
            with contextlib.suppress(OSError):
                path.unlink()
        else:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(handle)


def _acquire(path: Path, waiting: Callable[[], None], sleep: Callable[[float], None]) -> int:
    told = False
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # A lock on a file that its last owner has just removed protects nothing.
            if _try_lock(handle) and _is_at(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if not told and path.exists():
            waiting()
            told = True
        sleep(_BETWEEN_TRIES)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True
