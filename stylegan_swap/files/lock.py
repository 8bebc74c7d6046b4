"""One process at a time: a lock of the operating system, which a killed process cannot leave behind."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None], poll_seconds: float = 0.2) -> Iterator[None]:
    """Holds the lock of a file, which is created for it and removed after; waits while another has it.

    The system frees the lock of a process that ends, however it ends; the empty file it leaves then is
    taken over by the next.

    Args:
        path: of the lock; its folder must exist.
        waiting: called once if another process has the lock; what it raises ends the waiting.
        poll_seconds: between two tries.

    Raises:
        OSError: the file cannot be created, or its file system knows no locks.
    """
    # Without the fallback to a file that is merely there, which a kill would leave behind.
    lock = FileLock(path, poll_interval=poll_seconds, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        # Windows removes no open file; elsewhere it must go while the lock is held, or it might be another's.
        # Whoever waits for a file that is gone notices so and begins with the next one.
        if sys.platform == "win32":
            lock.release()
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()
