"""Workers as processes of this machine, each started afresh: CUDA and torch's threads do not survive a fork.

A worker that is killed shows at its pipe and its exit code; one whose parent is killed ends at the next word
it wants to hear or say.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from stylegan_swap.batch.jobs import Job
from stylegan_swap.batch.journal import Row
from stylegan_swap.batch.supervise import WorkerDied
from stylegan_swap.errors import StyleganSwapError

Work: TypeAlias = Callable[[Job, str], Row]
# So often a worker that says nothing is asked whether it lives.
HEARTBEAT_SECONDS = 1.0
# So long the system may take to end a worker.
GRACE_SECONDS = 5.0


class ProcessWorker:
    """A process; see ``Worker``.

    Args:
        build: makes, in the process, what does the work; must be importable there.
    """

    def __init__(self, build: Callable[[], Work]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, remote = context.Pipe()
        self._process = context.Process(target=serve, args=(remote, build), daemon=True)
        self._process.start()
        # Otherwise the end of the worker would not be the end of the pipe.
        remote.close()

    def wait_until_ready(self) -> None:
        """See ``Worker``."""
        refusal = self._receive(None)
        if refusal is not None:
            raise refusal

    def work(self, job: Job, staged: str, timeout: float | None) -> Row:
        """See ``Worker``."""
        # A worker that is dead already cannot be told: the answer says so.
        with contextlib.suppress(OSError):
            self._pipe.send((job, staged))
        row: Row = self._receive(timeout)
        return row

    def stop(self) -> None:
        """See ``Worker``."""
        self._process.kill()
        self._process.join(GRACE_SECONDS)

    def _receive(self, timeout: float | None) -> Any:
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        try:
            while not self._pipe.poll(min(HEARTBEAT_SECONDS, max(0.0, deadline - time.monotonic()))):
                if time.monotonic() >= deadline:
                    raise WorkerDied(f"took longer than {timeout:g} s")
                # A process that the program forked meanwhile may hold a dead worker's pipe open. What the
                # worker said before it died still counts.
                if not self._process.is_alive() and not self._pipe.poll():
                    raise EOFError
            return self._pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self._process.join(GRACE_SECONDS)
            self.stop()
            raise WorkerDied(_exit_reason(self._process.exitcode)) from None


def serve(pipe: Connection, build: Callable[[], Work]) -> None:
    """The life of a worker process.

    ``pipe``: items come in, answers go out: first None or why nothing could be built, then rows; ``build``:
    makes what does the work.
    """
    # Ctrl-C reaches the whole group; the one who conducts ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        try:
            work = build()
        except StyleganSwapError as error:
            pipe.send(error)
            return
        pipe.send(None)
        while True:
            pipe.send(work(*pipe.recv()))
    except (EOFError, OSError):
        # The one who conducts is gone, and with it everybody who wants an answer.
        os._exit(1)


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}"
