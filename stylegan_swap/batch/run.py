"""Conduct a batch: what is done already, who does the rest, what appears in the folder.

Between the list (``jobs``) and the workers (``supervise``). Only this process gives results
their names and writes ``results.csv``: first the row, then the name, so that whenever it is stopped, every
picture in the folder has a row with its hash.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stylegan_swap.batch.jobs import WORKING_FOLDER, Job, check_outputs
from stylegan_swap.batch.journal import Journal, Row
from stylegan_swap.batch.processes import ProcessWorker
from stylegan_swap.batch.supervise import Worker, supervise
from stylegan_swap.batch.work import Settings, SwapWorker, digest_of
from stylegan_swap.errors import BatchError, CheckpointError
from stylegan_swap.files.atomic import put_in_place
from stylegan_swap.files.lock import exclusive
from stylegan_swap.weights.cache import sha256_of
from stylegan_swap.weights.store import find_weights


@dataclass(frozen=True)
class Progress:
    """Where a batch stands.

    Attributes:
        total: items in the list.
        skipped: done by an earlier run.
        done: done by this one.
        failed: could not be done.
        row: of the item that was finished last, or None at the start.
    """

    total: int
    skipped: int = 0
    done: int = 0
    failed: int = 0
    row: Row | None = None


@dataclass(frozen=True)
class Summary:
    """What came of a batch.

    Attributes:
        done: items swapped by this run.
        skipped: items an earlier run had done, checked by their hashes.
        failed: output → error of the items that could not be done.
        seconds: of this run.
        results: the table.
    """

    done: int
    skipped: int
    failed: dict[str, str]
    seconds: float
    results: Path


def run_batch(
    jobs: Sequence[Job],
    folder: str | os.PathLike[str],
    *,
    method: str = "default",
    workers: int = 1,
    engine: Literal["processes", "ray"] = "processes",
    ray_address: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    landmarks: str = "dlib",
    quality: int = 95,
    mark: bool = True,
    timeout: float | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Swap every item of a list into a folder.

    An item that fails is noted and the others go on. A worker that dies is replaced and its item given to the
    new one; an item that was in the hands of two workers when they died is given up. Called again with the
    same folder, it skips items whose result is there, unchanged, and made from the same photos, options and
    weights, and tries all others.

    Args:
        jobs: from ``read_jobs``, or made by hand.
        folder: for the results and ``results.csv``; made if it does not exist.
        method: as in ``swap``, like ``device``, ``dtype`` and ``landmarks``.
        workers: processes, or Ray actors. Each holds the method once: about 1 GB with the default weights.
        engine: ``"processes"`` of this machine, or ``"ray"``.
        ray_address: of a running cluster; None starts Ray here.
        device: as in ``swap``.
        dtype: as in ``swap``.
        landmarks: as in ``swap``.
        quality: of JPEG and WebP, 1 to 100.
        mark: say in each file that AI was used, as ``SwapResult.save`` does.
        timeout: seconds an item may take; its worker is then ended as if it had died.
        overwrite: replace files that are in the way though this batch did not write them.
        progress: called at the start and after every item.

    Raises:
        BatchError: the list makes no sense, the folder is in use or cannot be written to, files are in the
            way, or workers do not start.
        StyleganSwapError: the method cannot be had.
        KeyboardInterrupt: after workers were ended and the table was left in order.
    """
    start = time.monotonic()
    if workers < 1:
        raise BatchError(f"workers must be at least 1, got {workers}")
    if engine not in ("processes", "ray"):
        raise BatchError(f"unknown engine {engine!r}: use 'processes' or 'ray'")
    if not 1 <= quality <= 100:
        raise BatchError(f"quality {quality} is out of range; give 1 to 100")
    check_outputs(jobs)
    target = Path(folder)
    # Elsewhere, a worker has one of Ray's CPUs.
    threads = threads_for(workers) if ray_address is None else 1
    settings = Settings(method, device, dtype, landmarks, quality, mark, _weights_hash(method), threads)
    with _reserved(target):
        journal = Journal(target)
        rows, todo = _sort_jobs(jobs, journal, target, settings, overwrite)
        counts = Progress(len(jobs), len(jobs) - len(todo))
        if progress is not None:
            progress(counts)
        failures: dict[str, str] = {}
        staging = target / WORKING_FOLDER / "staged"

        def staged_file(job: Job, attempt: int) -> Path:
            return staging / f"{job.number}-{attempt}{Path(job.output).suffix}"

        def deliver(job: Job, row: Row, staged: str) -> None:
            nonlocal counts
            rows[job.output] = row
            journal.append(row)
            succeeded = row["status"] == "ok"
            if succeeded:
                _publish(Path(staged), target / job.output)
            else:
                failures[job.output] = str(row["error"])
            counts = Progress(
                counts.total, counts.skipped, counts.done + succeeded, counts.failed + (not succeeded), row
            )
            if progress is not None:
                progress(counts)

        if todo:
            build = functools.partial(SwapWorker, settings)
            try:
                _make_folder(staging)
                with _engine(engine, build, workers, ray_address, device) as start_worker:
                    supervise(todo, start_worker, workers, deliver, staged_file, timeout=timeout)
            finally:
                _settle(journal, rows, jobs, target)
    return Summary(counts.done, counts.skipped, failures, time.monotonic() - start, journal.path)


def threads_for(workers: int) -> int:
    """The threads of each of so many workers: this machine's cores shared out, OMP_NUM_THREADS at most."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    share = max(1, cores // workers)
    return min(share, int(limit)) if limit.isdecimal() and int(limit) > 0 else share


def _engine(
    name: str, build: Callable[[], SwapWorker], workers: int, address: str | None, device: str
) -> contextlib.AbstractContextManager[Callable[[], Worker]]:
    """What begins a worker, for as long as the context lasts."""
    if name == "processes":
        return contextlib.nullcontext(functools.partial(ProcessWorker, build))
    from stylegan_swap.batch.on_ray import ray_workers

    return ray_workers(build, workers, address, gpu=device not in ("cpu", "mps"))


def _sort_jobs(
    jobs: Sequence[Job], journal: Journal, target: Path, settings: Settings, overwrite: bool
) -> tuple[dict[str, Row], list[Job]]:
    """The rows that stand, one per output, and the jobs to do."""
    recorded = journal.read()
    todo, foreign_files = [], []
    rows: dict[str, Row] = {output: versions[-1] for output, versions in recorded.items()}
    for job in jobs:
        path = target / job.output
        _stay_inside(path, target)
        if not path.exists():
            todo.append(job)
            continue
        if path.is_dir() or any(_same(path, name) for name in job.inputs):
            raise BatchError(f"{path}: is a folder or one of its own photos; choose another output")
        picture_hash = sha256_of(path)
        row = next((row for row in recorded.get(job.output, []) if row["sha256"] == picture_hash), None)
        if row is None:
            foreign_files.append(path)
        else:
            rows[job.output] = row
        if row is None or row["status"] != "ok" or row["digest"] != _digest(job, settings):
            todo.append(job)
    if foreign_files and not overwrite:
        rest = f" and {len(foreign_files) - 1} more" if len(foreign_files) > 1 else ""
        raise BatchError(
            f"{foreign_files[0]}{rest}: exists already, and is not what this batch wrote; choose another "
            "folder or allow overwriting (--overwrite)"
        )
    _settle(journal, rows, jobs, target)
    return rows, todo


def _settle(journal: Journal, rows: dict[str, Row], jobs: Sequence[Job], target: Path) -> None:
    """One row per output, in the order of the list; rows of other lists follow."""
    position = {job.output: number for number, job in enumerate(jobs)}
    valid = [row for row in rows.values() if row["status"] != "ok" or (target / row["output"]).is_file()]
    journal.write(sorted(valid, key=lambda row: position.get(row["output"], len(position))))


def _digest(job: Job, settings: Settings) -> str:
    """The digest of what the item would be made from now; empty where a photo is gone."""
    try:
        return digest_of(job, settings)
    except CheckpointError:
        return ""


def _weights_hash(method: str) -> str:
    """The hash of the weights' file; methods without one, and weights that are missing, have none."""
    try:
        return sha256_of(find_weights(method))
    except CheckpointError:
        return ""


def _stay_inside(path: Path, target: Path) -> None:
    """A name that is plain may still lead out of the folder, through a link in it."""
    try:
        inside = path.parent.resolve().is_relative_to(target.resolve())
    except (OSError, RuntimeError) as error:
        raise BatchError(f"{path}: is no usable path ({error}); choose another output") from error
    if not inside:
        raise BatchError(f"{path}: a link leads out of the output folder there; choose another output")


def _same(path: Path, other: str) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BatchError(
            f"{folder}: cannot be made ({error.strerror}); free some space or choose another folder"
        ) from error


def _publish(staged: Path, result: Path) -> None:
    try:
        result.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(staged, result)
    except OSError as error:
        raise BatchError(
            f"{result}: could not be written ({error.strerror}); free some space or choose another folder"
        ) from error


@contextlib.contextmanager
def _reserved(target: Path) -> Iterator[None]:
    """The output folder, for this batch alone; what a killed run left of its work is removed."""

    def in_use() -> None:
        raise BatchError(f"{target}: another batch is writing there; wait for it or choose another folder")

    working = target / WORKING_FOLDER
    with contextlib.ExitStack() as stack:
        try:
            working.mkdir(parents=True, exist_ok=True)
            stack.callback(_removed_if_empty, working)
            stack.enter_context(exclusive(working / "lock", waiting=in_use))
        except OSError as error:
            raise BatchError(
                f"{target}: cannot be written to ({error.strerror}); check its permissions and the disk"
            ) from error
        shutil.rmtree(working / "staged", ignore_errors=True)
        stack.callback(shutil.rmtree, working / "staged", ignore_errors=True)
        yield


def _removed_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
