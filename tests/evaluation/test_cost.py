"""Cost: operations and parameters that can be counted by hand, memory and time of known size."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

from stylegan_swap.evaluation.cost import (
    cost_of_method,
    count_parameters,
    measure_cost,
    modules_of,
    peak_memory,
)
from stylegan_swap.methods.registry import build_method


def test_a_convolution_is_counted_by_hand():
    layer = nn.Conv2d(3, 8, 3, padding=1)
    x = torch.zeros(2, 3, 16, 16)
    found = measure_cost(lambda: layer(x), [layer], repeats=2)
    assert found.parameters == 8 * 3 * 9 + 8
    # A multiply-add is two operations.
    assert found.flops == 2 * (2 * 16 * 16) * 8 * 3 * 9
    assert found.device == "cpu"


def test_seconds_are_a_median_of_warm_calls():
    naps = iter([0.2, 0.01, 0.01, 0.15, 0.0, 0.0])
    found = measure_cost(lambda: time.sleep(next(naps)), repeats=3, warmup=1)
    assert 0.01 <= found.seconds < 0.1
    with pytest.raises(ValueError, match="at least 1"):
        measure_cost(lambda: None, repeats=0)


def undisturbed(call):
    """Memory that earlier tests give back during a call hides what it takes: the median of five."""
    return float(np.median([peak_memory(call) for _ in range(5)]))


def test_memory_is_what_the_call_adds_at_its_peak():
    def needs(mebibytes):
        def call():
            block = np.ones(mebibytes * 2**17)  # float64
            return float(block[::512].sum())

        return undisturbed(call)

    # The larger one first: an earlier peak must not hide a later one.
    large, small = needs(200), needs(50)
    assert large == pytest.approx(200, rel=0.15)
    assert small == pytest.approx(50, rel=0.3)
    assert peak_memory(lambda: None) < 5


def test_warm_memory_counts_too():
    """Small blocks stay with the process after a call; the next one needs them none the less."""

    def call():
        return [np.ones(2**13) for _ in range(800)]  # 50 MiB in blocks of 64 KiB

    call()
    assert undisturbed(call) == pytest.approx(50, rel=0.4)


def test_shared_tensors_count_once():
    layer = nn.Linear(4, 4)
    assert count_parameters([layer, nn.Sequential(layer), nn.Linear(2, 1)]) == 20 + 3
    assert count_parameters([]) == 0


def test_a_method_on_a_pair(astronaut, astronaut_face, hopper, hopper_face):
    from stylegan_swap.faces.geometry.align import ffhq_alignment
    from stylegan_swap.faces.tensors import from_pixels

    crops = [
        from_pixels(ffhq_alignment(face.landmarks, 128).crop(photo))
        for photo, face in ((hopper, hopper_face), (astronaut, astronaut_face))
    ]
    method = build_method("warp", None, torch.device("cpu"), torch.float32)
    first, each = cost_of_method(method, *crops, repeats=2)
    assert 0 < first.seconds < 5
    assert 0 < each.seconds < 5
    assert (first.parameters, each.parameters, each.flops) == (0, 0, 0)


def test_a_method_with_a_network(tiny_checkpoint):
    method = build_method("default", tiny_checkpoint, torch.device("cpu"), torch.float32)
    assert modules_of(method)
    x = torch.zeros(1, 3, 64, 64)
    _, each = cost_of_method(method, x, x, repeats=1)
    assert each.parameters == count_parameters(modules_of(method)) > 10_000
    assert each.flops > 1_000_000
