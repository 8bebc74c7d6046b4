"""Workers as processes of this machine, each started afresh: CUDA and torch's threads do not survive a fork.

One of the two engines of ``supervise``. A worker that is killed shows at its pipe and its exit code; one
whose parent is killed ends at the next word it wants to hear or say.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, TypeAlias

from stylegan_swap.batch.jobs import Job
from stylegan_swap.batch.journal import Row
from stylegan_swap.batch.supervise import Died, Done, Ready, Refused
from stylegan_swap.errors import StyleganSwapError

Work: TypeAlias = Callable[[Job, str], Row]
_GRACE = 5.0


class Processes:
    """The engine.

    Args:
        build: makes, in the worker, what does the work; must be importable there.
    """

    def __init__(self, build: Callable[[], Work]) -> None:
        self._build = build
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, tuple[Any, Connection]] = {}
        self._started = 0

    def start(self) -> int:
        """See ``Engine``."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, self._build), daemon=True)
        process.start()
        # Otherwise the end of the worker would not be the end of the pipe.
        theirs.close()
        self._started += 1
        self._workers[self._started] = (process, ours)
        return self._started

    def give(self, worker: int, job: Job, staged: str) -> None:
        """See ``Engine``."""
        # A worker that is dead already cannot be told: the next events say so.
        with contextlib.suppress(OSError):
            self._workers[worker][1].send((job, staged))

    def events(self, timeout: float) -> list[Ready | Done | Refused | Died]:
        """See ``Engine``."""
        watched: dict[Any, int] = {}
        for number, (process, pipe) in self._workers.items():
            watched |= {process.sentinel: number, pipe: number}
        found: list[Ready | Done | Refused | Died] = []
        heard = {watched[thing] for thing in wait(list(watched), timeout)}
        # A process that the program forked meanwhile may hold a dead worker's pipes open: they stay silent.
        heard |= {number for number, (process, _) in self._workers.items() if not process.is_alive()}
        for number in sorted(heard):
            process, pipe = self._workers[number]
            alive = process.is_alive()
            # What it said before it died still counts.
            try:
                while pipe.poll():
                    kind, content = pipe.recv()
                    found.append(_EVENTS[kind](number, *content))
            except (EOFError, OSError, pickle.UnpicklingError):
                process.join(_GRACE)
                alive = process.is_alive()
                if alive:
                    process.kill()
                    process.join()
                    alive = False
            if not alive:
                process.join()
                pipe.close()
                del self._workers[number]
                found.append(Died(number, _exit_reason(process.exitcode)))
        return found

    def end(self, worker: int) -> None:
        """See ``Engine``."""
        self._workers[worker][0].kill()

    def stop(self) -> None:
        """See ``Engine``."""
        for process, _ in self._workers.values():
            process.terminate()
        for process, pipe in self._workers.values():
            process.join(_GRACE)
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()
        self._workers.clear()


def serve(pipe: Connection, build: Callable[[], Work]) -> None:
    """The life of a worker process.

    Args:
        pipe: items come in, answers go out.
        build: makes what does the work.
    """
    # Ctrl-C reaches the whole group; the one who conducts ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        try:
            work = build()
        except StyleganSwapError as error:
            pipe.send(("refused", (error,)))
            return
        pipe.send(("ready", ()))
        while True:
            job, staged = pipe.recv()
            pipe.send(("done", (work(job, staged),)))
    except (EOFError, OSError):
        # The one who conducts is gone, and with it everybody who wants an answer.
        os._exit(1)


_EVENTS: dict[str, Callable[..., Ready | Done | Refused | Died]] = {
    "ready": Ready,
    "done": Done,
    "refused": Refused,
}


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}"
