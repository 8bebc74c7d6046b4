"""Supervision without processes: workers of which every death is known."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from stylegan_swap.batch.jobs import Job
from stylegan_swap.batch.supervise import JobQueue, WorkerDied, supervise
from stylegan_swap.errors import BatchError, CheckpointError


def jobs(*people: str) -> list[Job]:
    return [Job(number, (person,), "b", f"{number}.png") for number, person in enumerate(people)]


class Scripted:
    """Starts workers that die as ``dies(job, attempt)`` says; the first ``stillborn`` are never ready."""

    def __init__(self, dies=lambda *_: False, stillborn: int = 0, refusal: Exception | None = None) -> None:
        self.dies, self.stillborn, self.refusal = dies, stillborn, refusal
        self.lock = threading.Lock()
        self.given: list[tuple[int, int]] = []
        self.attempts: Counter = Counter()
        self.started, self.alive, self.most_alive = 0, 0, 0

    def __call__(self) -> ScriptedWorker:
        with self.lock:
            self.started += 1
            self.alive += 1
            self.most_alive = max(self.most_alive, self.alive)
            return ScriptedWorker(self, self.started)


class ScriptedWorker:
    def __init__(self, crew: Scripted, number: int) -> None:
        self.crew, self.number, self.alive = crew, number, True

    def wait_until_ready(self) -> None:
        if self.crew.refusal:
            raise self.crew.refusal
        if self.number <= self.crew.stillborn:
            raise WorkerDied("ended with exit code 1")

    def work(self, job: Job, staged: str, timeout: float | None) -> dict:
        assert self.alive
        with self.crew.lock:
            self.crew.given.append((self.number, job.number))
            self.crew.attempts[job.number] += 1
            attempt = self.crew.attempts[job.number]
        time.sleep(0.001)
        if self.crew.dies(job, attempt):
            raise WorkerDied("was killed by SIGKILL")
        return {"output": job.output, "status": "ok", "worker": self.number}

    def stop(self) -> None:
        with self.crew.lock:
            self.crew.alive -= self.alive
            self.alive = False


def run(todo, crew, workers=2, **options):
    rows, alone = [], threading.Lock()

    def deliver(job, row, staged):
        assert alone.acquire(blocking=False)
        rows.append((job.number, row, staged))
        time.sleep(0.001)
        alone.release()

    def staging(job, attempt):
        return Path(f"staged/{job.number}-{attempt}.png")

    supervise(todo, crew, workers, deliver, staging, **options)
    assert crew.alive == 0
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_each_item_is_delivered_once_whoever_dies(seed):
    """Random deaths of any worker on any item, up to both attempts."""
    fates = random.Random(seed)
    doomed = {number: fates.choice([0, 0, 0, 1, 2]) for number in range(40)}
    crew = Scripted(lambda job, attempt: attempt <= doomed[job.number])
    rows = run(jobs(*[fates.choice("abcd") for _ in range(40)]), crew, workers=3)
    assert sorted(number for number, *_ in rows) == list(range(40)) and crew.most_alive <= 3
    for number, row, staged in rows:
        assert row["attempts"] == min(doomed[number] + 1, 2)
        assert row["status"] == ("error" if doomed[number] == 2 else "ok")
        if row["status"] == "ok":
            assert staged == f"staged/{number}-{doomed[number]}.png"
        else:
            assert row["error"].startswith("WorkerDied: 2 workers died") and "SIGKILL" in row["error"]
    assert crew.attempts == Counter({number: min(deaths + 1, 2) for number, deaths in doomed.items()})


def test_what_a_dead_worker_held_goes_to_a_fresh_one():
    crew = Scripted(lambda job, attempt: job.number == 3 and attempt == 1)
    run(jobs(*"aaaaaaaa"), crew, workers=2)
    first, second = (worker for worker, number in crew.given if number == 3)
    assert second > 2 >= first
    assert next(number for worker, number in crew.given if worker == second) == 3


def test_no_more_workers_than_items():
    crew = Scripted()
    run(jobs("a", "b"), crew, workers=8)
    assert 1 <= crew.started <= 2


def test_workers_that_never_start_end_the_batch():
    with pytest.raises(BatchError, match=r"3 workers in a row died before they were ready.*exit code 1"):
        run(jobs("a", "b"), Scripted(stillborn=99))
    # Two false starts are forgiven.
    assert len(run(jobs("a", "b", "c"), Scripted(stillborn=2))) == 3


def test_a_refusal_is_the_batchs_error():
    with pytest.raises(CheckpointError, match="no such weights"):
        run(jobs("a"), Scripted(refusal=CheckpointError("no such weights")))


def test_a_worker_stays_with_an_identity():
    queue = JobQueue(jobs(*"abcabcabc"))
    taken = {worker: [queue.next(worker).identity[0] for _ in range(3)] for worker in (1, 2)}
    assert taken == {1: ["a"] * 3, 2: ["b"] * 3}
    # Then whom nobody has, then a share of the most frequent.
    assert queue.next(1).identity == queue.next(2).identity == ("c",)
    assert len(queue) == 1
    assert queue.next(1).identity == ("c",) and queue.next(2) is None and queue.next(1) is None


def test_identities_are_prepared_by_few_workers():
    """40 items of 8 people in alternation on 4 workers: hardly anybody is prepared twice."""
    crew = Scripted()
    todo = jobs(*("abcdefgh" * 5))
    run(todo, crew, workers=4)
    prepared = {(worker, todo[number].identity) for worker, number in crew.given}
    assert len(prepared) <= 8 + 3
