"""Steps in threads: order, errors, and an end that leaves no thread behind."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from stylegan_swap.video.overlapping import in_background


def test_order_and_end():
    doubled = (2 * n for n in in_background(iter(range(50)), depth=2))
    assert list(in_background(doubled, depth=1)) == list(range(0, 100, 2))


def test_an_error_reaches_the_consumer_after_what_came_before():
    def source():
        yield 1
        raise ValueError("broken")

    steps = in_background(in_background(source()))
    assert next(steps) == 1
    with pytest.raises(ValueError, match="broken"):
        next(steps)


def test_a_fast_producer_waits():
    made = []

    def source():
        for n in range(100):
            made.append(n)
            yield n

    with contextlib.closing(in_background(source(), depth=3)) as steps:
        assert next(steps) == 0
        time.sleep(0.3)
        assert len(made) <= 6


def test_stopping_early_closes_every_step():
    closed = []

    def source(name, below):
        try:
            yield from below
        finally:
            closed.append((name, threading.current_thread().name))

    before = threading.active_count()
    inner = in_background(source("inner", iter(range(10**6))), name="first")
    outer = in_background(source("outer", inner), name="second")
    assert next(outer) == 0
    outer.close()
    assert threading.active_count() == before
    assert {name for name, _ in closed} == {"inner", "outer"}
    assert dict(closed)["outer"] == "second"
