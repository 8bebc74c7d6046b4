"""The endless stream of training items, from any position, spread over processes.

``stage`` makes its loader here. Item i depends on (seed, i) alone, so the position in the stream is all a
checkpoint has to know of the data.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from stylegan_swap.training.config import RunSettings


class Stretch(Sampler[list[int]]):
    """The item numbers of each step of one process.

    A step takes ``batch`` · ``processes`` items; process r has the r-th part of them, so that all processes
    together have what one process with a larger batch would have.

    Args:
        first: number of the first item, over all processes.
        last: the stream ends with the first step that reaches it.
        batch: items per step and process.
        rank: number of this process.
        processes: how many there are.
    """

    def __init__(self, first: int, last: int, batch: int, rank: int = 0, processes: int = 1) -> None:
        self.first, self.batch = first, batch
        self.rank, self.processes = rank, processes
        self.steps = max(0, -(-(last - first) // (batch * processes)))

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.steps):
            start = self.first + (step * self.processes + self.rank) * self.batch
            yield list(range(start, start + self.batch))


def endless_loader(
    dataset: Dataset[Any], run: RunSettings, *, first: int, rank: int, processes: int, pinned: bool
) -> DataLoader[Any]:
    """Batches of the stream from item ``first`` to the end of the run.

    Args:
        dataset: item i of the stream.
        run: batch, length and workers.
        first: images seen so far, over all processes.
        rank: number of this process.
        processes: how many there are.
        pinned: for copies to a GPU that do not wait.
    """
    return DataLoader(
        dataset,
        batch_sampler=Stretch(first, run.images, run.batch, rank, processes),
        num_workers=run.workers,
        worker_init_fn=_start_worker,
        persistent_workers=run.workers > 0,
        pin_memory=pinned,
    )


def _start_worker(_: int) -> None:
    """One thread per worker; Ctrl-C is for the training process, which ends its workers itself."""
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # Small linear systems gain nothing from BLAS threads, which spin while they wait and starve training.
    threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
