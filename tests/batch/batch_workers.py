"""Workers for the tests of ``batch``: what an item does is written on its attribute's name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stylegan_swap.batch.jobs import Job
from stylegan_swap.batch.journal import Row
from stylegan_swap.batch.work import Settings, digest_of
from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.cache import sha256_of


class Scripted:
    """Writes the identity's name into the result, or fails, hangs or dies as its attribute says."""

    def __init__(self, settings: Settings) -> None:
        if settings.method == "refused":
            raise CheckpointError("no such weights: check the name")
        if settings.method == "dying":
            os._exit(3)
        self._settings = settings

    def __call__(self, job: Job, staged: str) -> Row:
        row: Row = {"output": job.output, "identity": job.identity[0], "attribute": job.attribute}
        row |= {"worker": os.getpid(), "seconds": "0.001"}
        what = Path(job.attribute).name
        marker = Path(job.attribute + ".met")
        if what.startswith("killed-once") and not marker.exists():
            marker.touch()
            Path(staged).write_text("half a pict")
            os.kill(os.getpid(), signal.SIGKILL)
        if what.startswith("deadly") and not Path(job.attribute + ".cure").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if what.startswith("hanging"):
            time.sleep(600)
        if what.startswith("interrupt"):
            os.kill(os.getppid(), signal.SIGINT)
            time.sleep(600)
        if what.startswith("bad"):
            return row | {"status": "error", "error": "ImageReadError: it is bad"}
        Path(staged).write_text(f"{job.identity[0]} {job.options}")
        row |= {"status": "ok", "faces": 1, "distance": "0.5000", "notes": ""}
        return row | {"sha256": sha256_of(Path(staged)), "digest": digest_of(job, self._settings)}


class Here:
    """An engine without processes: items are worked on when they are given."""

    def __init__(self, build: Callable[[], Any]) -> None:
        from stylegan_swap.batch.supervise import Done, Ready

        self._ready, self._done = Ready, Done
        self._build, self._work = build, {}
        self._events: list[Any] = []

    def start(self) -> int:
        number = len(self._work) + 1
        self._work[number] = self._build()
        self._events.append(self._ready(number))
        return number

    def give(self, worker: int, job: Job, staged: str) -> None:
        self._events.append(self._done(worker, self._work[worker](job, staged)))

    def events(self, timeout: float) -> list[Any]:
        found, self._events = self._events, []
        return found

    def end(self, worker: int) -> None:
        raise AssertionError("nothing hangs here")

    def stop(self) -> None:
        self._work.clear()
