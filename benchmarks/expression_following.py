"""Check of expression: a neutral identity in neutral and smiling photos; the mouth must open as theirs does.

On whole photographs, through the library as a user calls it, with the face found afresh in the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from findings import Finding

from stylegan_swap import Swapper
from stylegan_swap.evaluation.pairs import manifest_of
from stylegan_swap.images.photo import PhotoSource, read_photo
from stylegan_swap.metrics.expression import FEATURES, expression_features
from stylegan_swap.metrics.sample import look

CHECK = "expression: opening of the mouth in the result against the attribute photo"
OPENING = FEATURES.index("inner_mouth_opening")
CORRELATION = 0.8


class Expressions(NamedTuple):
    """Two photographs of one person."""

    neutral: PhotoSource
    smiling: PhotoSource


def photographed_twice(folder: Path, split: str = "val") -> dict[str, Expressions]:
    """The people of a folder who have a neutral and a smiling photo, by its manifest."""
    result: dict[str, dict[str, Path]] = {}
    for row in manifest_of(folder):
        if row.get("split") == split:
            result.setdefault(row["person"], {})[row.get("expression", "")] = folder / row["file"]
    return {
        person: Expressions(photos["neutral"], photos["smiling"])
        for person, photos in sorted(result.items())
        if {"neutral", "smiling"} <= set(photos)
    }


def check_expression(swapper: Swapper, people: Mapping[str, Expressions]) -> list[Finding]:
    """Swap everybody's neutral photo into both photos of the same and of the next person."""
    if len(people) < 2:
        return [
            Finding(CHECK, "people with a neutral and a smiling photo", len(people), requirement=(">=", 2))
        ]
    names = list(people)
    targets = {
        (name, expression): _opening(read_photo(photo).pixels)
        for name in names
        for expression, photo in zip(Expressions._fields, people[name], strict=True)
    }
    findings = [Finding(CHECK, "people", len(people), note="in a neutral and a smiling photo each")]
    for label, step, requirement in (("same person", 0, (">=", CORRELATION)), ("next person", 1, None)):
        pairs, misses = [], 0
        for index, name in enumerate(names):
            person = swapper.prepare(people[names[(index - step) % len(names)]].neutral)
            for expression, photo in zip(Expressions._fields, people[name], strict=True):
                result = _opening(np.asarray(swapper(person, photo).image.convert("RGB")))
                misses += result is None
                # Without a face in the result the mouth counts as shut: a miss must not help.
                pairs.append((targets[name, expression] or 0.0, result or 0.0))
        x, y = np.array(pairs).T
        note = f"{len(pairs)} swaps" + (f", {misses} without a face" if misses else "")
        findings += [
            Finding(
                CHECK, f"identity the {label}: correlation", correlation(x, y), "", requirement, note=note
            ),
            Finding(CHECK, f"identity the {label}: slope", slope(x, y), note="1 = opens as far"),
            Finding(CHECK, f"identity the {label}: mean error", float(np.abs(x - y).mean()), "eye distances"),
        ]
    return findings


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's; NaN where one of them never changes."""
    if min(np.ptp(x), np.ptp(y)) < 1e-9:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Of the least-squares line of ``y`` over ``x``; NaN where ``x`` never changes."""
    return float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 1e-9 else float("nan")


def _opening(pixels: np.ndarray) -> float | None:
    view = look(pixels)
    return None if view.landmarks is None else float(expression_features(view.landmarks)[OPENING])
