"""Let the steps of a clip's road run at the same time, each in a thread, with little waiting in between.

Decoding, tracking, the network and encoding each use other parts of a machine; a step that is ahead waits
once its short queue is full, so memory does not grow with the clip.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

# How long a thread that waits looks away from the request to stop, in seconds.
_LOOK_UP = 0.1
_END = object()


def in_background(source: Iterator[T], *, depth: int = 4, name: str = "step") -> Generator[T, None, None]:
    """Draw from an iterator in a thread of its own.

    Args:
        source: generator or iterator; it is closed in that thread, also when the consumer stops early.
        depth: how many items may wait.
        name: of the thread.

    Yields:
        The items in order. What the source raises is raised here.
    """
    results: queue.Queue[Any] = queue.Queue(depth)
    stop = threading.Event()
    failure: list[BaseException] = []

    def put(item: Any) -> bool:
        while not stop.is_set():
            try:
                results.put(item, timeout=_LOOK_UP)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in source:
                if not put(item):
                    break
        except BaseException as error:  # noqa: BLE001 - carried to the consumer, which raises it
            failure.append(error)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                try:
                    close()
                except BaseException as error:  # noqa: BLE001 - as above
                    failure.append(error)
            put(_END)

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while (item := results.get()) is not _END:
            yield item
        if failure:
            raise failure[0]
    finally:
        stop.set()
        thread.join()
