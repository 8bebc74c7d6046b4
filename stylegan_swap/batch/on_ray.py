"""Workers as Ray actors: the same supervision over the machines of a cluster.

The other engine of ``supervise``. On a cluster, photos and the output folder must be on a file system that
all machines see under the same name, and the library must be installed on each. Without an address, Ray is
started on this machine for the time of the batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from stylegan_swap.batch.jobs import Job
from stylegan_swap.batch.journal import Row
from stylegan_swap.batch.processes import Work
from stylegan_swap.batch.supervise import Died, Done, Ready, Refused
from stylegan_swap.errors import BatchError, MissingDependencyError, StyleganSwapError

# Ray's least; only paths and rows pass through its store.
_STORE = 100 * 2**20


class RayWorkers:
    """The engine.

    Args:
        build: makes, in the worker, what does the work.
        workers: how many there will be.
        address: of a running cluster, ``"auto"`` for the one this machine belongs to; None starts one here.
        gpu: whether workers may use GPUs; each gets one, or as large a share as there is for all.

    Raises:
        MissingDependencyError: Ray is not installed.
        BatchError: there is no cluster at that address.
    """

    def __init__(
        self, build: Callable[[], Work], workers: int, address: str | None = None, *, gpu: bool = False
    ) -> None:
        # Ray would report its use to its makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise MissingDependencyError(
                f"the engine 'ray' needs the package ray ({error}): pip install 'stylegan-swap[ray]'"
            ) from error
        self._ray = ray
        self._build = build
        self._ours = not ray.is_initialized()
        if self._ours:
            options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
            if address is None:
                options |= {
                    "num_cpus": workers,
                    "include_dashboard": False,
                    "object_store_memory": _STORE,
                    "_node_ip_address": "127.0.0.1",
                }
            try:
                ray.init(address, **options)
            except Exception as error:
                raise BatchError(
                    f"Ray cannot be started or reached ({' '.join(str(error).split())[:300]}); check the "
                    "address, or use the engine 'processes'"
                ) from error
        there = ray.cluster_resources().get("GPU", 0.0) if gpu else 0.0
        share = 1.0 if there >= workers else int(1000 * there / workers) / 1000
        # Not restarted by Ray: who died and why decides what happens to the item.
        remote: Any = ray.remote(num_cpus=1, num_gpus=share, max_restarts=0, max_task_retries=0)
        self._actor = remote(Actor)
        self._workers: dict[int, Any] = {}
        self._asked: dict[Any, int] = {}
        self._started = 0

    def start(self) -> int:
        """See ``Engine``."""
        self._started += 1
        actor = self._actor.remote()
        self._workers[self._started] = actor
        self._asked[actor.build.remote(self._build)] = self._started
        return self._started

    def give(self, worker: int, job: Job, staged: str) -> None:
        """See ``Engine``."""
        self._asked[self._workers[worker].work.remote(job, staged)] = worker

    def events(self, timeout: float) -> list[Ready | Done | Refused | Died]:
        """See ``Engine``."""
        if not self._asked:
            return []
        answered, _ = self._ray.wait(list(self._asked), num_returns=1, timeout=timeout)
        if answered:
            more, _ = self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
            answered = list(dict.fromkeys([*answered, *more]))
        found: list[Ready | Done | Refused | Died] = []
        for question in answered:
            worker = self._asked.pop(question)
            try:
                answer = self._ray.get(question)
            except self._ray.exceptions.RayError as error:
                self._drop(worker)
                found.append(Died(worker, _reason(error)))
                continue
            if answer is None:
                found.append(Ready(worker))
            elif isinstance(answer, StyleganSwapError):
                found.append(Refused(worker, answer))
            else:
                found.append(Done(worker, answer))
        return found

    def end(self, worker: int) -> None:
        """See ``Engine``."""
        self._ray.kill(self._workers[worker], no_restart=True)

    def stop(self) -> None:
        """See ``Engine``."""
        for worker in list(self._workers):
            self._drop(worker)
        self._asked.clear()
        if self._ours:
            self._ray.shutdown()

    def _drop(self, worker: int) -> None:
        actor = self._workers.pop(worker, None)
        if actor is not None:
            self._ray.kill(actor, no_restart=True)


class Actor:
    """The life of a worker on Ray."""

    def __init__(self) -> None:
        self._work: Work | None = None

    def build(self, build: Callable[[], Work]) -> StyleganSwapError | None:
        """Make what does the work; the error if it cannot be made anywhere."""
        try:
            self._work = build()
        except StyleganSwapError as error:
            return error
        return None

    def work(self, job: Job, staged: str) -> Row:
        """Do one item."""
        assert self._work is not None
        return self._work(job, staged)


def _reason(error: Exception) -> str:
    """Ray's long story in one line."""
    text = " ".join(str(error).split())
    for line in ("Worker exit detail:", "The actor is dead because"):
        if line in text:
            text = text[text.index(line) + len(line) :].strip()
    return f"on Ray: {type(error).__name__}, {text.split('. ')[0][:200]}"
