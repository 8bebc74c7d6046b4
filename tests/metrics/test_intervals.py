"""Bootstrap over people: known spreads, clusters, seeds."""

from __future__ import annotations

import numpy as np
import pytest

from stylegan_swap.metrics.intervals import bootstrap_over_people


def test_one_value_each_is_the_usual_interval():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = bootstrap_over_people(values, range(400))
    half = 1.96 * values.std() / 20
    assert found.estimate == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.05)
    assert found.high == pytest.approx(values.mean() + half, abs=0.05)
    assert (found.level, found.people) == (0.95, 400)


def test_copies_of_a_person_tell_nothing_new():
    """Ten swaps of each of 30 people that come out alike are 30 values, not 300."""
    of_people = np.random.default_rng(1).normal(0, 1, 30)
    once = bootstrap_over_people(of_people, range(30))
    often = bootstrap_over_people(np.repeat(of_people, 10), np.repeat(np.arange(30), 10).tolist())
    assert often.low == pytest.approx(once.low, abs=1e-12)
    assert often.high == pytest.approx(once.high, abs=1e-12)


def test_it_covers_what_it_says():
    random = np.random.default_rng(2)
    hits = 0
    for seed in range(60):
        person = random.normal(0, 1, 40)
        values = np.repeat(person, 3) + random.normal(0, 0.5, 120)
        found = bootstrap_over_people(values, np.repeat(np.arange(40), 3).tolist(), resamples=200, seed=seed)
        hits += found.low <= 0 <= found.high
    assert 50 <= hits <= 60


def test_it_is_seeded_and_takes_other_statistics():
    values, people = [1.0, 2.0, 3.0, 10.0], ["a", "a", "b", "c"]
    first = bootstrap_over_people(values, people, statistic=np.median)
    assert first == bootstrap_over_people(values, people, statistic=np.median)
    assert first.estimate == 2.5
    assert str(first).startswith("2.500 [")
    assert bootstrap_over_people([5.0, 5.0], ["a", "b"]).low == 5.0


def test_what_cannot_be_drawn_is_refused():
    for values, people, message in (
        ([1.0, 2.0], ["a"], "do not go together"),
        ([1.0, 2.0], ["a", "a"], "two people"),
        ([1.0, float("nan")], ["a", "b"], "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            bootstrap_over_people(values, people)
