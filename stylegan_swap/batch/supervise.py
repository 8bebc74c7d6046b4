"""Hand items to workers and outlive their deaths: each item is delivered exactly once.

Between ``run``, which knows files, and an engine, which knows how a worker is started and heard. A worker has
one item at a time, so a death has one suspect: it goes to a fresh worker, and an item that was in the hands
of two workers when they died is given up. Everything happens in one thread, in the order of the events.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from stylegan_swap.batch.jobs import Job
from stylegan_swap.batch.journal import Row
from stylegan_swap.errors import BatchError, StyleganSwapError

MOST_ATTEMPTS = 2
# So many workers in a row may die before they are ready.
_FALSE_STARTS = 3
_PATIENCE = 1.0


class Ready(NamedTuple):
    """A worker can take an item."""

    worker: int


class Done(NamedTuple):
    """A worker has answered."""

    worker: int
    row: Row


class Refused(NamedTuple):
    """A worker cannot be built, nor could any other."""

    worker: int
    error: StyleganSwapError


class Died(NamedTuple):
    """A worker is gone."""

    worker: int
    reason: str


class Engine(Protocol):
    """How workers are started, given items and heard."""

    def start(self) -> int:
        """Begin a fresh worker; its number."""
        ...

    def give(self, worker: int, job: Job, staged: str) -> None:
        """Give a ready worker an item; if it is dead, that will be an event."""
        ...

    def events(self, timeout: float) -> list[Ready | Done | Refused | Died]:
        """What has happened; waits up to ``timeout`` seconds for something to."""
        ...

    def end(self, worker: int) -> None:
        """Kill a worker; its death will be an event."""
        ...

    def stop(self) -> None:
        """End all workers now, whatever they do."""
        ...


class Queue:
    """Jobs by identity: a worker stays with one, so that each identity is prepared by few workers."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._groups: dict[tuple[object, ...], deque[Job]] = {}
        self._with: dict[int, tuple[object, ...]] = {}
        for job in jobs:
            self._groups.setdefault(job.person, deque()).append(job)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def next(self, worker: int) -> Job | None:
        """The worker's identity if there is more of it, else one nobody has, else a share of the largest."""
        mine = self._with.get(worker)
        if mine not in self._groups:
            taken = {self._with[other] for other in self._with if other != worker}
            free = [key for key in self._groups if key not in taken]
            candidates = free[:1] or sorted(self._groups, key=lambda key: -len(self._groups[key]))[:1]
            if not candidates:
                self._with.pop(worker, None)
                return None
            mine = candidates[0]
            self._with[worker] = mine
        assert mine is not None
        job = self._groups[mine].popleft()
        if not self._groups[mine]:
            del self._groups[mine]
        return job

    def forget(self, worker: int) -> None:
        """The worker is gone; its identity is free."""
        self._with.pop(worker, None)


def supervise(
    jobs: Iterable[Job],
    engine: Engine,
    workers: int,
    deliver: Callable[[Job, Row, str], None],
    staging: Callable[[Job, int], Path],
    *,
    timeout: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Work through all jobs.

    Args:
        jobs: what to do.
        engine: starts workers; stopping it is the caller's.
        workers: how many at once.
        deliver: called once per job with its row and its staged file.
        staging: job and attempt → a file of its own for the worker to write.
        timeout: seconds an item may take before its worker is ended; None waits for ever.
        clock: seconds.

    Raises:
        StyleganSwapError: workers cannot be built, or die before they are ready, again and again.
    """
    queue = Queue(jobs)
    deaths: dict[int, int] = {}
    again: deque[Job] = deque()
    held: dict[int, tuple[Job, str, float]] = {}
    starting: set[int] = set()
    idle: set[int] = set()
    overdue: set[int] = set()
    false_starts = 0

    def hand_out(worker: int, fresh: bool) -> None:
        # What a dead worker held goes to a fresh one, which shares nothing with the dead.
        job = again.popleft() if fresh and again else queue.next(worker)
        if job is None:
            idle.add(worker)
            return
        staged = str(staging(job, deaths.get(job.number, 0)))
        held[worker] = (job, staged, clock())
        engine.give(worker, job, staged)

    while queue or again or held:
        # Idle workers stand by for nothing but the queue, so items to redo always get a start of their own.
        wanted = min(workers - len(held) - len(starting), len(queue) + len(again) - len(starting))
        for _ in range(wanted):
            starting.add(engine.start())
        for event in engine.events(_PATIENCE):
            worker = event.worker
            if isinstance(event, Refused):
                raise event.error
            if isinstance(event, Ready):
                starting.discard(worker)
                false_starts = 0
                hand_out(worker, fresh=True)
            elif isinstance(event, Done):
                job, staged, _ = held.pop(worker)
                deliver(job, event.row | {"attempts": deaths.get(job.number, 0) + 1}, staged)
                hand_out(worker, fresh=False)
            elif worker in held:
                job, _, begun = held.pop(worker)
                queue.forget(worker)
                deaths[job.number] = deaths.get(job.number, 0) + 1
                reason = f"took longer than {timeout:g} s" if worker in overdue else event.reason
                if deaths[job.number] < MOST_ATTEMPTS:
                    again.append(job)
                else:
                    deliver(job, _given_up(job, deaths[job.number], reason, clock() - begun), "")
            elif worker in starting:
                starting.discard(worker)
                false_starts += 1
                if false_starts >= _FALSE_STARTS:
                    raise BatchError(
                        f"{false_starts} workers in a row died before they were ready ({event.reason}); use "
                        "fewer workers if memory is short; a script must start its batch below `if __name__ "
                        '== "__main__":`'
                    )
            else:
                idle.discard(worker)
                queue.forget(worker)
        if timeout is not None:
            for worker, (_, _, begun) in held.items():
                if clock() - begun > timeout and worker not in overdue:
                    overdue.add(worker)
                    engine.end(worker)


def _given_up(job: Job, deaths: int, reason: str, seconds: float) -> Row:
    return {
        "output": job.output,
        "identity": "|".join(job.identity),
        "attribute": job.attribute,
        "status": "error",
        "seconds": f"{seconds:.3f}",
        "attempts": deaths,
        "error": f"WorkerDied: {deaths} workers died while they worked on this item (the last {reason}); "
        "given up",
    }
