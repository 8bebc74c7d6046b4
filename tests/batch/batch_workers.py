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


class LocalWorker:
    """A worker without a process: the thread that attends to it does the work."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build
        self._work: Any = None

    def wait_until_ready(self) -> None:
        self._work = self._build()

    def work(self, job: Job, staged: str, timeout: float | None) -> Row:
        return self._work(job, staged)

    def stop(self) -> None: ...
