"""The one-euro filter against the paper's equations, at even and uneven times."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stylegan_swap.video.one_euro import OneEuroFilter, smoothing_factor


def test_numbers_of_the_paper():
    """Two samples by hand: tau = 1 / (2 pi f), alpha = 1 / (1 + tau / T)."""
    one = OneEuroFilter(min_cutoff=1.0, beta=0.5, d_cutoff=2.0)
    assert one(np.array([10.0]), 0.0) == 10.0
    step = 0.1
    speed = 20.0  # (12 - 10) / 0.1
    alpha_speed = 1 / (1 + 1 / (2 * math.pi * 2.0) / step)
    smooth_speed = alpha_speed * speed
    alpha = 1 / (1 + 1 / (2 * math.pi * (1.0 + 0.5 * smooth_speed)) / step)
    assert one(np.array([12.0]), step)[0] == pytest.approx(alpha * 12 + (1 - alpha) * 10, abs=1e-12)


def test_smoothing_factor():
    assert smoothing_factor(0.5, 1 / math.pi) == pytest.approx(0.5)
    assert smoothing_factor(1e9, 1.0) == pytest.approx(1.0)


def test_two_short_steps_are_not_one_long_step():
    """Uneven times count: after a long gap the old value says little."""
    short, long = OneEuroFilter(1.0, 0.0), OneEuroFilter(1.0, 0.0)
    for one in (short, long):
        one(np.zeros(1), 0.0)
    assert short(np.ones(1), 0.01)[0] < 0.07 < 0.85 < long(np.ones(1), 1.0)[0]


def test_rest_is_steadier_and_motion_lags_less():
    draws = np.random.default_rng(0)
    times = np.arange(200) / 30
    noise = draws.standard_normal(200) * 0.01
    rest = OneEuroFilter(1.0, 2.0)
    resting = np.array([rest(np.array([value]), t)[0] for value, t in zip(noise, times, strict=True)])
    assert resting[30:].std() < 0.5 * noise[30:].std()
    lags = []
    for beta in (0.0, 2.0):
        ramp = OneEuroFilter(1.0, beta)
        lags.append(2 * times[-1] - [ramp(np.array([2 * t]), t)[0] for t in times][-1])
    assert lags[0] > 0.25 and lags[1] < 0.1


def test_a_restored_filter_goes_on_exactly():
    draws = np.random.default_rng(1)
    values = draws.standard_normal((20, 3, 2))
    whole = OneEuroFilter(1.0, 1.0)
    expected = [whole(value, n / 25) for n, value in enumerate(values)]
    first, second = OneEuroFilter(1.0, 1.0), OneEuroFilter(1.0, 1.0)
    for n in range(10):
        first(values[n], n / 25)
    second.restore(first.state())
    for n in range(10, 20):
        assert np.array_equal(second(values[n], n / 25), expected[n])


def test_wrong_settings_and_times():
    for wrong in ((0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, 0.0)):
        with pytest.raises(ValueError, match="above 0"):
            OneEuroFilter(*wrong)
    one = OneEuroFilter(1.0, 1.0)
    one(np.zeros(2), 1.0)
    with pytest.raises(ValueError, match="forward"):
        one(np.zeros(2), 1.0)
