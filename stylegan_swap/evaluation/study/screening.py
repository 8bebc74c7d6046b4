"""Who looked at the pictures: raters are kept or dropped by attention checks and repeated items.

Where it sits on the road: answers → **screening** → preference or opinion → report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from stylegan_swap.evaluation.study.answers import Answer
from stylegan_swap.evaluation.study.manifest import Study

#: 7 of 8 checks: those who guess pass in 4 % of cases (two answers) or 0.3 % (three).
LEAST_CHECKS = 0.8

#: Honest raters repeat only half of their choices between equal methods, so this finds just those who always
#: press the same side.
LEAST_AGREEMENT = 0.2

#: Fewer checks answered than this say nothing about a rater.
FEWEST_CHECKS = 3

_EXPECTED = {"first": (1.0, 1.0), "high": (4.0, 5.0), "low": (1.0, 2.0)}


@dataclass(frozen=True)
class Screened:
    """How one rater did.

    Attributes:
        rater: the number.
        answers: how many answers in all.
        checks: share of attention checks passed; None without any.
        agreement: share of repeated questions answered alike; None without any.
        dropped: why the answers do not count; empty if they do.
    """

    rater: int
    answers: int
    checks: float | None
    agreement: float | None
    dropped: str


def screen(
    study: Study,
    answers: Sequence[Answer],
    least_checks: float = LEAST_CHECKS,
    least_agreement: float = LEAST_AGREEMENT,
) -> list[Screened]:
    """One verdict per rater who answered anything.

    Args:
        study: the study.
        answers: all answers.
        least_checks: share of checks to pass. Raters who stopped before ``FEWEST_CHECKS`` checks are
            dropped as well, unless the study has fewer.
        least_agreement: share of repeated questions to answer alike.
    """
    by_rater: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_rater[answer.rater].append(answer)
    found = []
    for rater, given in sorted(by_rater.items()):
        passed = _checks(study, given)
        alike = _alike(study, given)
        checks = sum(passed) / len(passed) if passed else None
        agreement = sum(alike) / len(alike) if alike else None
        dropped = ""
        if len(passed) < min(FEWEST_CHECKS, study.checks_per_rater):
            dropped = f"only {len(passed)} attention checks answered"
        elif checks is not None and checks < least_checks:
            dropped = f"{sum(passed)} of {len(passed)} attention checks passed"
        elif agreement is not None and agreement < least_agreement:
            dropped = f"{agreement:.0%} of repeated questions answered alike"
        found.append(Screened(rater, len(given), checks, agreement, dropped))
    return found


def _checks(study: Study, given: Sequence[Answer]) -> list[bool]:
    expected = {check.id: _EXPECTED[check.expected] for check in study.checks}
    return [
        expected[answer.source][0] <= answer.value <= expected[answer.source][1]
        for answer in given
        if answer.role == "check"
    ]


def _alike(study: Study, given: Sequence[Answer]) -> list[float]:
    """Per repeated question 1 for the same answer, 0 for the opposite, and between.

    Scores one apart on the scale from 1 to 5 count as the same.
    """
    first = {(answer.source, answer.question): answer.value for answer in given if answer.role == "item"}
    apart = [
        abs(answer.value - first[answer.source, answer.question])
        for answer in given
        if answer.role == "duplicate" and (answer.source, answer.question) in first
    ]
    return [float(distance <= 1) if study.kind == "mos" else 1.0 - distance for distance in apart]
