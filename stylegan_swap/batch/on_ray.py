"""Workers as Ray actors: the same supervision over the machines of a cluster.

On a cluster, photos and the output folder must be on a file system that all machines see under the same name,
and the library must be installed on each. Without an address, Ray is started on this machine for the time of
the batch.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

from stylegan_swap.batch.jobs import Job
from stylegan_swap.batch.journal import Row
from stylegan_swap.batch.processes import Work
from stylegan_swap.batch.supervise import Worker, WorkerDied
from stylegan_swap.errors import BatchError, MissingDependencyError, StyleganSwapError

# Ray's least; only paths and rows pass through its store.
STORE_BYTES = 100 * 2**20


@contextlib.contextmanager
def ray_workers(
    build: Callable[[], Work], workers: int, address: str | None = None, *, gpu: bool = False
) -> Iterator[Callable[[], Worker]]:
    """Connects with Ray, or starts it; what begins a worker there.

    Args:
        build: makes, in the worker, what does the work.
        workers: how many there will be.
        address: of a running cluster, ``"auto"`` for the one this machine belongs to; None starts one here.
        gpu: whether workers may use GPUs; each gets one, or as large a share as there is for all.

    Raises:
        MissingDependencyError: Ray is not installed.
        BatchError: there is no cluster at that address.
    """
    # Ray would report its use to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            f"the engine 'ray' needs the package ray ({error}): pip install 'stylegan-swap[ray]'"
        ) from error
    started_here = not ray.is_initialized()
    if started_here:
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if address is None:
            options |= {
                "num_cpus": workers,
                "include_dashboard": False,
                "object_store_memory": STORE_BYTES,
                "_node_ip_address": "127.0.0.1",
            }
        try:
            ray.init(address, **options)
        except Exception as error:
            raise BatchError(
                f"Ray cannot be started or reached ({' '.join(str(error).split())[:300]}); check the "
                "address, or use the engine 'processes'"
            ) from error
    try:
        available = ray.cluster_resources().get("GPU", 0.0) if gpu else 0.0
        share = 1.0 if available >= workers else int(1000 * available / workers) / 1000
        # Not restarted by Ray: who died and why decides what happens to the item.
        remote: Any = ray.remote(num_cpus=1, num_gpus=share, max_restarts=0, max_task_retries=0)
        yield functools.partial(RayWorker, ray, remote(Actor), build)
    finally:
        if started_here:
            ray.shutdown()


class RayWorker:
    """An actor; see ``Worker``.

    Args:
        ray: the module.
        actor_class: of the actor, as Ray wraps it.
        build: makes, in the actor, what does the work.
    """

    def __init__(self, ray: Any, actor_class: Any, build: Callable[[], Work]) -> None:
        self._ray = ray
        self._actor = actor_class.remote()
        self._refusal = self._actor.build.remote(build)

    def wait_until_ready(self) -> None:
        """See ``Worker``."""
        refusal = self._result_of(self._refusal, None)
        if refusal is not None:
            raise refusal

    def work(self, job: Job, staged: str, timeout: float | None) -> Row:
        """See ``Worker``."""
        row: Row = self._result_of(self._actor.work.remote(job, staged), timeout)
        return row

    def stop(self) -> None:
        """See ``Worker``."""
        self._ray.kill(self._actor, no_restart=True)

    def _result_of(self, reference: Any, timeout: float | None) -> Any:
        try:
            return self._ray.get(reference, timeout=timeout)
        except self._ray.exceptions.GetTimeoutError:
            raise WorkerDied(f"took longer than {timeout:g} s") from None
        except self._ray.exceptions.RayError as error:
            raise WorkerDied(_reason(error)) from error


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
