"""Confidence interval of a mean over many swaps: bootstrap over people."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap


@dataclass(frozen=True)
class Interval:
    """A number with its uncertainty.

    Attributes:
        estimate: the statistic of all values.
        low: lower end of the interval.
        high: upper end of the interval.
        level: its confidence, 0..1.
        people: how many people were drawn from.
    """

    estimate: float
    low: float
    high: float
    level: float
    people: int

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_over_people(
    values: Sequence[float] | np.ndarray,
    people: Sequence[Hashable],
    *,
    statistic: Callable[[np.ndarray], float] = np.mean,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a cluster bootstrap: people are drawn, each with all their values.

    Swaps of one person are alike, so drawing swaps instead of people would make the interval too short.
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; Field and Welsh,
    Bootstrapping Clustered Data (2007).

    Args:
        values: ``[n]``, one per swap.
        people: ``[n]``, the person of each swap (the identity, unless a benchmark says otherwise).
        statistic: of an array ``[m]``.
        level: confidence, 0..1.
        resamples: number of draws.
        seed: of the draws.

    Raises:
        ValueError: lengths differ, fewer than two people, or values that are not finite.
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or len(numbers) != len(people):
        raise ValueError(f"values {numbers.shape} and {len(people)} people do not go together: one per swap")
    if not np.isfinite(numbers).all():
        raise ValueError(
            "values hold NaN or infinity: give misses a column's worst value before taking the interval"
        )
    groups: dict[Hashable, list[float]] = {}
    for value, person in zip(numbers, people, strict=True):
        groups.setdefault(person, []).append(float(value))
    clusters = [np.array(group) for group in groups.values()]
    if len(clusters) < 2:
        raise ValueError("an interval over people needs at least two people: add pairs of other people")

    def of_people(indices: np.ndarray) -> float:
        return float(statistic(np.concatenate([clusters[int(i)] for i in indices])))

    interval = bootstrap(
        (np.arange(len(clusters)),),
        of_people,
        n_resamples=resamples,
        vectorized=False,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(
        float(statistic(numbers)), float(interval.low), float(interval.high), level, len(clusters)
    )
