"""From scores of 1 to 5 to mean opinions with intervals, raw and freed of each rater's own scale.

Where it sits on the road: screening → **opinion** → report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from stylegan_swap.evaluation.study.answers import Answer
from stylegan_swap.evaluation.study.manifest import Study


def analyse_scores(study: Study, answers: Sequence[Answer]) -> dict[str, Any]:
    """Mean opinion of every method for one question.

    The unit is the rater: each one's scores of a method are averaged first, and the t interval is over
    raters, because scores of one person are not independent. ``z`` is the same after each rater's scores
    were brought to mean 0 and standard deviation 1; who gave one score throughout says nothing there and is
    left out.

    Args:
        study: a mos study.
        answers: kept answers to one question.

    Returns:
        ``scores`` (count) and ``methods``, best first: ``method``, ``raters``, ``mean``, ``interval``, ``z``,
        ``z_interval``; intervals are None with one rater.
    """
    method = {item.id: item.methods[0] for item in study.items}
    used = [answer for answer in answers if answer.role == "item"]
    by_rater: dict[int, list[Answer]] = defaultdict(list)
    for answer in used:
        by_rater[answer.rater].append(answer)
    raw: dict[str, list[float]] = defaultdict(list)
    normal: dict[str, list[float]] = defaultdict(list)
    for given in by_rater.values():
        values = np.array([answer.value for answer in given])
        names = np.array([method[answer.source] for answer in given])
        spread = values.std(ddof=1) if len(values) > 1 else 0.0
        for name in np.unique(names):
            raw[str(name)].append(float(values[names == name].mean()))
            if spread > 0:
                normal[str(name)].append(float((values[names == name].mean() - values.mean()) / spread))
    rows: list[dict[str, Any]] = []
    for name in raw:
        mean, interval = _mean(raw[name])
        z, z_interval = _mean(normal[name])
        rows.append(
            {
                "method": name,
                "raters": len(raw[name]),
                "mean": mean,
                "interval": interval,
                "z": z,
                "z_interval": z_interval,
            }
        )
    return {"scores": len(used), "methods": sorted(rows, key=lambda row: row["mean"], reverse=True)}


def _mean(values: Sequence[float]) -> tuple[float | None, list[float] | None]:
    """The mean and its 95 % t interval."""
    if not values:
        return None, None
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return mean, [mean - half, mean + half]
