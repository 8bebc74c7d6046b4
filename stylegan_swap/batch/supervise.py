"""Hand items to workers and outlive their deaths: each item is delivered exactly once.

Between ``run``, which knows files, and the workers of ``processes`` and ``on_ray``. One thread attends to
each worker, which has one item at a time, so a death has one suspect: it goes to a fresh worker, and an item
that was in the hands of two workers when they died is given up.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Protocol

from stylegan_swap.batch.jobs import Job
from stylegan_swap.batch.journal import Row
from stylegan_swap.errors import BatchError

MAX_ATTEMPTS = 2
# So many workers in a row may die before they are ready.
MAX_FALSE_STARTS = 3


class WorkerDied(Exception):
    """A worker is gone, and what it was doing with it; the text says how it ended."""


class Worker(Protocol):
    """A process or an actor that does one item at a time."""

    def wait_until_ready(self) -> None:
        """Return once it can take items; raises StyleganSwapError if no worker could be built, WorkerDied."""
        ...

    def work(self, job: Job, staged: str, timeout: float | None) -> Row:
        """The row of an item; raises WorkerDied, also after so many seconds."""
        ...

    def stop(self) -> None:
        """End it now, whatever it does; from any thread, and more than once."""
        ...


class JobQueue:
    """Jobs by identity: a worker stays with one, so that each identity is prepared by few workers."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs: dict[tuple[object, ...], deque[Job]] = {}
        self._person_of: dict[int, tuple[object, ...]] = {}
        self._lock = threading.Lock()
        for job in jobs:
            self._jobs.setdefault(job.person, deque()).append(job)

    def __len__(self) -> int:
        return sum(map(len, self._jobs.values()))

    def next(self, worker: int) -> Job | None:
        """The worker's identity if there is more of it, else one nobody has, else a share of the largest."""
        with self._lock:
            if not self._jobs:
                return None
            person = self._person_of.get(worker)
            if person not in self._jobs:
                assigned = {self._person_of[number] for number in self._person_of if number != worker}
                free = (key for key in self._jobs if key not in assigned)
                person = next(free, None) or max(self._jobs, key=lambda key: len(self._jobs[key]))
                self._person_of[worker] = person
            job = self._jobs[person].popleft()
            if not self._jobs[person]:
                del self._jobs[person]
            return job


class Crew:
    """The workers of the moment, one per thread.

    Args:
        start: begins a fresh worker.
    """

    def __init__(self, start: Callable[[], Worker]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._workers: dict[int, Worker] = {}
        self._false_starts = 0
        self._stopped = False

    def fresh(self, number: int) -> Worker:
        """A new worker that is ready, in place of the one of that number.

        Raises:
            BatchError: workers die before they are ready, again and again, or all were stopped.
            StyleganSwapError: no worker can be built.
        """
        while True:
            with self._lock:
                if self._stopped:
                    raise BatchError("the batch was stopped")
                worker = self._workers[number] = self._start()
            try:
                worker.wait_until_ready()
            except WorkerDied as death:
                worker.stop()
                with self._lock:
                    self._false_starts += 1
                    count = self._false_starts
                if count >= MAX_FALSE_STARTS:
                    raise BatchError(
                        f"{count} workers in a row died before they were ready ({death}); use fewer workers "
                        'if memory is short; a script must start its batch below `if __name__ == "__main__":`'
                    ) from None
            else:
                self._false_starts = 0
                return worker

    def stop(self) -> None:
        """End all workers now; no more are begun."""
        with self._lock:
            self._stopped = True
            for worker in self._workers.values():
                worker.stop()


def supervise(
    jobs: Iterable[Job],
    start: Callable[[], Worker],
    workers: int,
    deliver: Callable[[Job, Row, str], None],
    staging: Callable[[Job, int], Path],
    *,
    timeout: float | None = None,
) -> None:
    """Work through all jobs.

    ``start`` begins a fresh worker, of which there are ``workers`` at once. ``deliver`` is called once per
    job with its row and its staged file, before its worker has another; by several threads, one at a time.
    ``staging`` maps job and attempt to a file of its own for the worker to write. An item may take
    ``timeout`` seconds before its worker is ended; None waits for ever.

    Raises:
        StyleganSwapError: workers cannot be built, or die before they are ready, again and again.
    """
    todo, crew = JobQueue(jobs), Crew(start)
    delivering = threading.Lock()
    count = max(1, min(workers, len(todo)))

    def finish(job: Job, worker: Worker | None, number: int) -> Worker | None:
        """Does an item and delivers it; the worker to go on with, None if it died."""
        for attempt in range(MAX_ATTEMPTS):
            worker = worker or crew.fresh(number)
            staged, start_time = str(staging(job, attempt)), time.monotonic()
            try:
                row = worker.work(job, staged, timeout)
            except WorkerDied as death:
                worker.stop()
                worker, row = None, _given_up(job, str(death), time.monotonic() - start_time)
            else:
                break
        with delivering:
            deliver(job, row | {"attempts": attempt + 1}, staged)
        return worker

    def attend(number: int) -> None:
        """The life of a thread: one worker after the other, until nothing is left to do."""
        worker: Worker | None = None
        while (job := todo.next(number)) is not None:
            worker = finish(job, worker, number)
        if worker is not None:
            worker.stop()

    with ThreadPoolExecutor(count) as threads:
        attending = {threads.submit(attend, number) for number in range(count)}
        try:
            while attending:
                # On Windows nobody hears Ctrl-C while waiting without end.
                finished, attending = wait(attending, timeout=1.0, return_when=FIRST_COMPLETED)
                for thread in finished:
                    thread.result()
        finally:
            crew.stop()


def _given_up(job: Job, reason: str, seconds: float) -> Row:
    return {
        "output": job.output,
        "identity": "|".join(job.identity),
        "attribute": job.attribute,
        "status": "error",
        "seconds": f"{seconds:.3f}",
        "error": f"WorkerDied: {MAX_ATTEMPTS} workers died while they worked on this item (the last "
        f"{reason}); given up",
    }
