"""The steps of one rater, their order and sides: a pure function of the study and the rater's number.

Nothing has to be stored: after a reload or a restart of the server the same number gives the same plan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from stylegan_swap.evaluation.study.manifest import REFERENCE, Check, Item, Study

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One question on one screen.

    Attributes:
        source: id of the item or the check.
        role: ``item``, ``duplicate`` or ``check``.
        question: key of the question.
        pictures: as shown, from left to right.
        reference: the photo shown with the question; None for realism.
        swapped: whether the second picture of the item is on the left.
    """

    source: str
    role: str
    question: str
    pictures: tuple[str, ...]
    reference: str | None
    swapped: bool


def balanced_order(groups: int, pairs: int) -> list[tuple[int, int]]:
    """All combinations of a group (methods compared) and a photo pair, for cutting into stretches.

    In every stretch, also round the end, the groups' counts differ by at most one, and as long as a
    stretch has at most ``pairs`` entries hardly any photo pair comes twice.

    Args:
        groups: number of groups.
        pairs: number of photo pairs.

    Returns:
        ``groups × pairs`` tuples (group, pair).
    """
    offset = max(1, pairs // groups)
    return [(group, (row + group * offset) % pairs) for row in range(pairs) for group in range(groups)]


def make_plan(study: Study, rater: int) -> list[Step]:
    """The steps of one rater.

    Raters take consecutive stretches of the items, so that after any number of raters all items have
    been judged equally often, give or take one. Within a rater every comparison has its methods on the left
    equally often (give or take one; odd remainders alternate between raters).

    Args:
        study: the study.
        rater: number of the rater, from 0 in the order of joining.
    """
    # Items in random order, with a side each.
    rng = np.random.default_rng([study.seed, rater])
    questions = [study.questions[index] for index in rng.permutation(len(study.questions))]
    items = _stretch(study.items, rater, study.items_per_rater)
    sides = _sides(items, rater, rng)
    trials = [("item", items[index], bool(sides[index])) for index in rng.permutation(len(items))]
    # Repeat late: items of the first half, inserted into the last third.
    early = rng.permutation(max(1, len(trials) // 2))[: study.duplicates_per_rater]
    repeated = [("duplicate", trials[index][1], not trials[index][2]) for index in early]
    sequence: list[tuple[str, Item | Check, bool]] = list(trials)
    for trial in repeated:
        sequence.insert(int(rng.integers(-(-2 * len(trials) // 3), len(sequence) + 1)), trial)
    checks = _stretch(study.checks, rater, study.checks_per_rater)
    check_sides = rng.permutation(np.arange(len(checks)) % 2 == 1)
    # One check in each of equally long stretches, so that attention is watched to the end.
    bounds = np.linspace(0, len(sequence), len(checks) + 1).astype(int)
    for number in reversed(range(len(checks))):
        position = int(rng.integers(bounds[number], max(bounds[number] + 1, bounds[number + 1])))
        sequence.insert(position, ("check", checks[number], bool(check_sides[number])))
    return [step for trial in sequence for step in _steps(*trial, questions)]


def _stretch(parts: Sequence[T], rater: int, length: int) -> list[T]:
    """The rater's stretch of a list that goes round."""
    return [parts[(rater * length + index) % len(parts)] for index in range(min(length, len(parts)))]


def _sides(items: list[Item], rater: int, rng: np.random.Generator) -> np.ndarray:
    """Which items are swapped: half of every comparison."""
    swapped = np.zeros(len(items), bool)
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        groups[item.methods].append(index)
    for number, members in enumerate(groups[methods] for methods in sorted(groups)):
        swapped[rng.permutation(members)] = (np.arange(len(members)) + rater + number) % 2 == 1
    return swapped


def _steps(role: str, part: Item | Check, swapped: bool, questions: list[str]) -> list[Step]:
    questions = [part.question] if isinstance(part, Check) else questions
    pictures = part.pictures[::-1] if swapped else part.pictures
    references = {"identity": part.identity, "attribute": part.attribute}
    swapped = bool(swapped) and len(pictures) > 1
    return [
        Step(part.id, role, question, pictures, references.get(REFERENCE[question] or ""), swapped)
        for question in questions
    ]
