"""The statistics against closed forms, published examples and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from stylegan_swap.evaluation.study.analysis import krippendorff_alpha, screen
from stylegan_swap.evaluation.study.answers import Answer
from stylegan_swap.evaluation.study.manifest import Check, Item, Study, StudyError
from stylegan_swap.evaluation.study.preference import (
    Choices,
    analyse_choices,
    bootstrap,
    bradley_terry,
    shares,
)


def choices(first, second, value, rater=None, pair=None, sign=None):
    size = len(value)
    return Choices(
        np.asarray(first),
        np.asarray(second),
        np.asarray(value, float),
        np.asarray(sign if sign is not None else np.resize([1.0, -1.0], size)),
        np.zeros(size, int) if rater is None else np.asarray(rater),
        np.zeros(size, int) if pair is None else np.asarray(pair),
    )


def test_two_methods_have_the_closed_form():
    # 300 of 400 wins: the log odds are log 3, halved to either side of 0.
    found = bradley_terry(choices([0] * 400, [1] * 400, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0] * 50), 2)
    assert found[:2] == pytest.approx([np.log(3) / 2, -np.log(3) / 2], abs=2e-3)
    assert found[2] == pytest.approx(0, abs=1e-6)


def test_a_tie_is_half_a_win():
    ties = choices([0] * 40, [1] * 40, [0.5] * 20 + [1.0] * 20)
    wins = choices([0] * 40, [1] * 40, [1.0, 1.0, 0.0, 0.0] * 5 + [1.0] * 20)
    assert bradley_terry(ties, 2) == pytest.approx(bradley_terry(wins, 2), abs=1e-6)


def test_the_fixed_point_of_hunters_iteration():
    """p_i = W_i / Σ_j n_ij / (p_i + p_j) (Hunter, Annals of Statistics 32, 2004) gives the same strengths."""
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 4, (2, 4000))
    keep = first != second
    first, second = first[keep], second[keep]
    truth = np.array([1.0, 0.3, -0.2, -1.1])
    value = (rng.random(len(first)) < 1 / (1 + np.exp(truth[second] - truth[first]))).astype(float)
    p = np.ones(4)
    for _ in range(300):
        wins = np.bincount(first, value, 4) + np.bincount(second, 1 - value, 4)
        share = 1 / (p[first] + p[second])
        p = wins / (np.bincount(first, share, 4) + np.bincount(second, share, 4))
        p /= np.exp(np.log(p).mean())
    found = bradley_terry(choices(first, second, value, sign=rng.choice([-1.0, 1.0], len(value))), 4)
    assert found[:4] == pytest.approx(np.log(p), abs=0.01)


def test_the_side_is_told_from_the_method():
    # Always left, with the methods on the left equally often: no method is stronger.
    found = bradley_terry(choices([0] * 40, [1] * 40, [1.0, 0.0] * 20, sign=[1.0, -1.0] * 20), 2)
    assert found[:2] == pytest.approx([0, 0], abs=1e-6) and found[2] > 3


def test_a_method_that_always_wins_stays_finite():
    found = bradley_terry(choices([0] * 30, [1] * 30, [1.0] * 30), 2)
    assert 1 < found[0] < 5


def test_intervals_of_simulated_studies_hold_the_truth():
    """In 40 studies of raters with tastes of their own the 95 % intervals miss in few."""
    truth, rng = np.array([0.8, 0.0, -0.8]), np.random.default_rng(8)
    held = []
    for _ in range(40):
        rater, trial = np.divmod(np.arange(12 * 18), 18)
        first, second = np.array([[0, 1], [0, 2], [1, 2]])[trial % 3].T
        pair = (trial // 3 + rater * 6) % 12
        taste = truth + rng.normal(0, 0.3, (12, 3))
        chance = 1 / (1 + np.exp(taste[rater, second] - taste[rater, first]))
        value = (rng.random(len(rater)) < chance).astype(float)
        draws = bootstrap(choices(first, second, value, rater, pair), 3, 60, 1)[:, :3]
        low, high = np.percentile(draws, [2.5, 97.5], axis=0)
        held += [*((low < truth) & (truth < high))]
    assert 0.88 <= np.mean(held) <= 1


def test_shares_and_wilson():
    (row,) = shares(choices([0] * 12, [1] * 12, [1.0] * 8 + [0.0] * 2 + [0.5] * 2), ["a", "b"])
    assert (row["wins"], row["losses"], row["ties"], row["share"]) == (8, 2, 2, 0.8)
    # Wilson, JASA 22 (1927), by hand: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).
    assert row["interval"] == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert row["p"] == pytest.approx(112 / 1024)


def test_krippendorffs_own_example():
    """Computing Krippendorff's Alpha-Reliability (2011), section D: 0.849 for interval data."""
    table = """1 2 3 3 2 1 4 1 2 . . .
               1 2 3 3 2 2 4 1 2 5 . 3
               . 3 3 3 2 3 4 2 2 5 1 .
               1 2 3 3 2 4 4 1 2 5 1 ."""
    rows = [line.split() for line in table.splitlines()]
    given = [(unit, float(value)) for row in rows for unit, value in enumerate(row) if value != "."]
    assert krippendorff_alpha(*zip(*given, strict=True)) == pytest.approx(0.849, abs=5e-4)
    assert krippendorff_alpha([1, 2], [1.0, 2.0]) is None
    assert krippendorff_alpha([1, 1], [2.0, 2.0]) is None


def tiny_study(**changes):
    items = tuple(Item(f"i{n}", str(n), ("a", "b"), ("x", "y"), "p", "q") for n in range(4))
    checks = tuple(Check(f"c{n}", "natural", ("x", "y"), "first", "p", "q") for n in range(10))
    fields = {
        "kind": "2afc",
        "seed": 0,
        "title": "",
        "consent": "",
        "questions": ("natural",),
        "ties": True,
        "methods": ("a", "b"),
        "items_per_rater": 4,
        "checks_per_rater": 5,
        "duplicates_per_rater": 4,
        "items": items,
        "checks": checks,
    }
    return Study(**{**fields, **changes})


def given(role, values, rater=0):
    letter = "c" if role == "check" else "i"
    return [Answer(rater, n, f"{letter}{n}", role, "natural", value, False) for n, value in enumerate(values)]


def test_screening():
    for checks, again, dropped in (
        ([1, 1, 1, 1, 1], [1, 1, 0, 0], ""),
        ([1, 1, 1, 1, 0], [1, 0, 0, 0], ""),
        ([1, 1, 1, 0.5, 0], [1, 1, 0, 0], "3 of 5 attention checks passed"),
        ([1, 1], [1, 1, 0, 0], "only 2 attention checks answered"),
        ([1, 1, 1, 1, 1], [0, 0, 1, 1], "0% of repeated questions answered alike"),
        ([1, 1, 1, 1, 1], [0, 0, 0.5, 0.5], ""),
    ):
        answers = given("item", [1, 1, 0, 0]) + given("check", checks) + given("duplicate", again)
        (verdict,) = screen(tiny_study(), answers)
        assert verdict.dropped == dropped


def test_methods_never_compared_are_told():
    items = (
        Item("i0", "0", ("a", "b"), ("x", "y"), "p", "q"),
        Item("i1", "0", ("c", "d"), ("x", "y"), "p", "q"),
    )
    study = tiny_study(items=items, methods=("a", "b", "c", "d"))
    with pytest.raises(StudyError, match="a and c: were not compared"):
        analyse_choices(study, given("item", [1, 0]))
