"""Strengths of methods from pairwise choices: Bradley–Terry with bootstrap intervals, and pairwise shares.

Bradley and Terry, Biometrika 39 (1952): P(i beats j) = p_i / (p_i + p_j); with log strengths this is a
logistic regression on which two methods were shown. A tie is half a win for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from stylegan_swap.evaluation.study.answers import Answer
from stylegan_swap.evaluation.study.manifest import Study, StudyError

# Inverse weight of ½‖log strengths‖²: a normal prior with standard deviation 3.2, which keeps a method that
# never lost finite and moves others by far less than their intervals.
_PRIOR = 10.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choices:
    """Comparisons as arrays of one length.

    Attributes:
        first: index of the item's first method.
        second: index of the second.
        value: 1 the first was chosen, 0 the second, 0.5 no difference.
        sign: +1 the first was on the left, -1 on the right.
        rater: number of the rater, from 0 without gaps.
        pair: number of the photo pair, from 0 without gaps.
    """

    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    value: Array
    sign: Array
    rater: npt.NDArray[np.intp]
    pair: npt.NDArray[np.intp]


def collect(study: Study, answers: Sequence[Answer]) -> Choices:
    """The answers to items (not to checks, nor the repeated ones) as arrays."""
    items = {item.id: item for item in study.items}
    index = {name: number for number, name in enumerate(study.methods)}
    choices = [answer for answer in answers if answer.role == "item"]
    return Choices(
        np.array([index[items[answer.source].methods[0]] for answer in choices], np.intp),
        np.array([index[items[answer.source].methods[1]] for answer in choices], np.intp),
        np.array([answer.value for answer in choices], np.float64),
        np.array([-1.0 if answer.swapped else 1.0 for answer in choices]),
        np.unique([answer.rater for answer in choices], return_inverse=True)[1],
        np.unique([items[answer.source].pair for answer in choices], return_inverse=True)[1],
    )


def bradley_terry(choices: Choices, methods: int, weights: Array | None = None) -> Array:
    """Log strengths (mean 0) of the methods, and last the log odds for the left side.

    Args:
        choices: comparisons.
        methods: how many methods there are.
        weights: of each comparison; 1 if None.

    Returns:
        float64 [methods + 1]; with one-sided data (all weights 0) zeros.
    """
    rows, result, weight = _distinct(choices, methods, weights)
    if not len(rows):
        return np.zeros(methods + 1)
    # Newton's method: a handful of unknowns, and the bootstrap fits a thousand times.
    model = LogisticRegression(C=_PRIOR, fit_intercept=False, tol=1e-6, solver="newton-cholesky")
    # Every comparison is a win and a loss, weighted by the shares; a tie has half of each.
    model.fit(
        np.concatenate([rows, rows]),
        np.repeat([1, 0], len(rows)),
        sample_weight=np.concatenate([result, weight - result]),
    )
    strengths = model.coef_[0].astype(np.float64)
    strengths[:methods] -= strengths[:methods].mean()
    return strengths


def _distinct(choices: Choices, methods: int, weights: Array | None) -> tuple[Array, Array, Array]:
    """Rows of the regression, each kind of comparison once, with the wins and the weight of all of them."""
    weight = np.ones(len(choices.value)) if weights is None else weights
    kinds = (choices.first * methods + choices.second) * 2 + (choices.sign > 0)
    count = np.bincount(kinds, weight)
    wins = np.bincount(kinds, weight * choices.value)
    present = np.flatnonzero(count)
    rows = np.zeros((len(present), methods + 1))
    numbers = np.arange(len(present))
    rows[numbers, present // 2 // methods] += 1.0
    rows[numbers, present // 2 % methods] -= 1.0
    rows[:, methods] = np.where(present % 2 == 1, 1.0, -1.0)
    return rows, wins[present].astype(np.float64), count[present].astype(np.float64)


def bootstrap(choices: Choices, methods: int, draws: int, seed: int) -> Array:
    """Strengths of resampled studies: raters and photo pairs are drawn with replacement, both at once.

    Returns:
        float64 [draws, methods + 1].
    """
    rng = np.random.default_rng(seed)
    raters, pairs = choices.rater.max() + 1, choices.pair.max() + 1
    strengths = np.empty((draws, methods + 1))
    for draw in range(draws):
        by_rater = np.bincount(rng.integers(raters, size=raters), minlength=raters)
        by_pair = np.bincount(rng.integers(pairs, size=pairs), minlength=pairs)
        weights = (by_rater[choices.rater] * by_pair[choices.pair]).astype(np.float64)
        strengths[draw] = bradley_terry(choices, methods, weights)
    return strengths


def shares(choices: Choices, names: Sequence[str]) -> list[dict[str, Any]]:
    """How often one of each two methods was preferred, among the answers that preferred one.

    Wilson's 95 % interval and the two-sided binomial test against ½, which both take answers as independent.

    Returns:
        Per two methods ``first``, ``second``, ``wins``, ``losses``, ``ties``, ``share``, ``interval``, ``p``;
        the last three None without a decided answer.
    """
    rows = []
    for first, second in combinations(range(len(names)), 2):
        forward = (choices.first == first) & (choices.second == second)
        backward = (choices.first == second) & (choices.second == first)
        value = np.concatenate([choices.value[forward], 1.0 - choices.value[backward]])
        wins, losses = int((value == 1.0).sum()), int((value == 0.0).sum())
        row: dict[str, Any] = {
            "first": names[first],
            "second": names[second],
            "wins": wins,
            "losses": losses,
            "ties": len(value) - wins - losses,
            "share": None,
            "interval": None,
            "p": None,
        }
        if wins + losses:
            test = binomtest(wins, wins + losses)
            interval = test.proportion_ci(0.95, method="wilson")
            row["share"], row["p"] = wins / (wins + losses), float(test.pvalue)
            row["interval"] = [float(interval.low), float(interval.high)]
        rows.append(row)
    return rows


def analyse_choices(
    study: Study, answers: Sequence[Answer], draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Strengths, intervals and shares of one question of a 2afc study, with ``draws`` bootstrap samples.

    Raises:
        StudyError: some methods were never compared, not even by way of others.
    """
    choices, names = collect(study, answers), study.methods
    size = len(names)
    graph = csr_array((np.ones(len(choices.first)), (choices.first, choices.second)), shape=(size, size))
    parts, label = connected_components(graph, directed=False)
    if parts > 1:
        first, second = (names[int(np.flatnonzero(label == part)[0])] for part in (0, 1))
        raise StudyError(
            f"{first} and {second}: were not compared, not even by way of others; collect more answers"
        )
    fit = bradley_terry(choices, size)
    low, high = np.percentile(bootstrap(choices, size, draws, seed), [2.5, 97.5], axis=0)
    portion = np.exp(fit[:size]) / np.exp(fit[:size]).sum()
    order = np.argsort(-fit[:size])
    left_share = 1.0 / (1.0 + np.exp(-np.array([fit[size], low[size], high[size]])))
    return {
        "comparisons": len(choices.value),
        "strengths": [
            {
                "method": names[index],
                "log_strength": float(fit[index]),
                "interval": [float(low[index]), float(high[index])],
                "share_of_strength": float(portion[index]),
            }
            for index in order
        ],
        "left_side": {
            "share": float(left_share[0]),
            "interval": [float(left_share[1]), float(left_share[2])],
        },
        "shares": shares(choices, names),
    }
