"""Supervision without processes: an engine of which every event is known."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from stylegan_swap.batch.jobs import Job
from stylegan_swap.batch.supervise import Died, Done, Queue, Ready, Refused, supervise
from stylegan_swap.errors import BatchError, CheckpointError


def jobs(*people: str) -> list[Job]:
    return [Job(number, (person,), "b", f"{number}.png") for number, person in enumerate(people)]


class Scripted:
    """Workers that answer in a seeded order and die as ``dies(job, attempt, worker)`` says."""

    def __init__(self, dies=lambda *_: False, seed: int = 0, stillborn: int = 0, most: int = 99) -> None:
        self.dies, self.random, self.stillborn, self.most = dies, random.Random(seed), stillborn, most
        self.alive: set[int] = set()
        self.given: list[tuple[int, int]] = []
        self.pending: list = []
        self.attempts: Counter = Counter()
        self.hung: dict[int, Job] = {}
        self.numbers = 0

    def start(self) -> int:
        self.numbers += 1
        if self.numbers <= self.stillborn:
            self.pending.append(Died(self.numbers, "ended with exit code 1"))
        else:
            self.alive.add(self.numbers)
            self.pending.append(Ready(self.numbers))
        assert len(self.alive) <= self.most
        return self.numbers

    def give(self, worker: int, job: Job, staged: str) -> None:
        assert worker in self.alive
        self.given.append((worker, job.number))
        self.attempts[job.number] += 1
        fate = self.dies(job, self.attempts[job.number], worker)
        if fate == "hangs":
            self.hung[worker] = job
        elif fate:
            self.alive.discard(worker)
            self.pending.append(Died(worker, "was killed by SIGKILL"))
        else:
            self.pending.append(Done(worker, {"output": job.output, "status": "ok", "worker": worker}))

    def events(self, timeout: float) -> list:
        self.random.shuffle(self.pending)
        count = self.random.randint(1, max(1, len(self.pending)))
        found, self.pending = self.pending[:count], self.pending[count:]
        return found

    def end(self, worker: int) -> None:
        del self.hung[worker]
        self.alive.discard(worker)
        self.pending.append(Died(worker, "was killed by SIGKILL"))

    def stop(self) -> None: ...


def run(todo, engine, workers=2, **options):
    rows = []
    supervise(
        todo,
        engine,
        workers,
        lambda job, row, staged: rows.append((job.number, row, staged)),
        lambda job, attempt: Path(f"staged/{job.number}-{attempt}.png"),
        **options,
    )
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_each_item_is_delivered_once_whoever_dies(seed):
    """Random deaths of any worker on any item, up to both attempts."""
    fates = random.Random(seed)
    doomed = {number: fates.choice([0, 0, 0, 1, 2]) for number in range(40)}
    engine = Scripted(lambda job, attempt, _: attempt <= doomed[job.number], seed, most=3)
    rows = run(jobs(*[fates.choice("abcd") for _ in range(40)]), engine, workers=3)
    assert sorted(number for number, *_ in rows) == list(range(40))
    for number, row, staged in rows:
        assert row["attempts"] == min(doomed[number] + 1, 2)
        assert row["status"] == ("error" if doomed[number] == 2 else "ok")
        if row["status"] == "ok":
            assert staged == f"staged/{number}-{doomed[number]}.png"
        else:
            assert row["error"].startswith("WorkerDied: 2 workers died") and "SIGKILL" in row["error"]
    assert engine.attempts == Counter({number: min(deaths + 1, 2) for number, deaths in doomed.items()})


def test_what_a_dead_worker_held_goes_to_a_fresh_one():
    engine = Scripted(lambda job, attempt, _: job.number == 3 and attempt == 1)
    run(jobs(*"aaaaaaaa"), engine, workers=2)
    first, second = (worker for worker, number in engine.given if number == 3)
    assert second > 2 >= first
    assert next(number for worker, number in engine.given if worker == second) == 3


def test_no_more_workers_than_items():
    engine = Scripted()
    run(jobs("a", "b"), engine, workers=8)
    assert engine.numbers == 2


def test_an_item_that_hangs_is_ended_and_given_up():
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    engine = Scripted(lambda job, *_: "hangs" if job.number == 1 else False)
    rows = {number: row for number, row, _ in run(jobs("a", "b"), engine, timeout=20.0, clock=clock)}
    assert rows[0]["status"] == "ok"
    assert "2 workers died" in rows[1]["error"] and "took longer than 20 s" in rows[1]["error"]
    assert engine.attempts == {0: 1, 1: 2}


def test_workers_that_never_start_end_the_batch():
    with pytest.raises(BatchError, match=r"3 workers in a row died before they were ready.*exit code 1"):
        run(jobs("a", "b"), Scripted(stillborn=99))
    # Two false starts are forgiven.
    assert len(run(jobs("a", "b", "c"), Scripted(stillborn=2))) == 3


def test_a_refusal_is_the_batchs_error():
    engine = Scripted()
    engine.start = lambda: engine.pending.append(Refused(1, CheckpointError("no such weights"))) or 1
    with pytest.raises(CheckpointError, match="no such weights"):
        run(jobs("a"), engine)


def test_a_worker_stays_with_an_identity():
    queue = Queue(jobs(*"abcabcabc"))
    taken = {worker: [queue.next(worker).identity[0] for _ in range(3)] for worker in (1, 2)}
    assert taken == {1: ["a"] * 3, 2: ["b"] * 3}
    # Then whom nobody has, then a share of the most frequent.
    assert queue.next(1).identity == queue.next(2).identity == ("c",)
    assert len(queue) == 1
    queue.forget(2)
    assert queue.next(1).identity == ("c",) and queue.next(2) is None and queue.next(1) is None


def test_identities_are_prepared_by_few_workers():
    """40 items of 8 people in alternation on 4 workers: hardly anybody is prepared twice."""
    engine = Scripted(seed=1)
    todo = jobs(*("abcdefgh" * 5))
    run(todo, engine, workers=4)
    prepared = {(worker, todo[number].identity) for worker, number in engine.given}
    assert len(prepared) <= 8 + 3
