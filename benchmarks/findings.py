"""One measured number, what is asked of it, and whether it holds: the lines of ``default_checks``."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stylegan_swap.metrics.intervals import Interval

_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True)
class Finding:
    """A line of the table.

    Attributes:
        check: which check it belongs to.
        quantity: the number in words.
        value: the number; NaN where it could not be measured.
        unit: of the number.
        requirement: comparison and bound, as in ``(">=", 3.0)``; None where the number is only reported.
        interval: 95 % over people, where one was taken.
        note: what else a reader must know.
    """

    check: str
    quantity: str
    value: float
    unit: str = ""
    requirement: tuple[str, float] | None = None
    interval: tuple[float, float] | None = None
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the number is as asked; None where nothing is asked. NaN never passes."""
        if self.requirement is None:
            return None
        comparison, bound = self.requirement
        return math.isfinite(self.value) and _COMPARE[comparison](self.value, bound)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which knows no NaN: None instead."""
        return {
            "check": self.check,
            "what": self.quantity,
            "value": self.value if math.isfinite(self.value) else None,
            "unit": self.unit,
            "interval": self.interval,
            "asked": None if self.requirement is None else " ".join(map(str, self.requirement)),
            "passed": self.passed,
            "note": self.note,
        }


def of_interval(
    check: str,
    quantity: str,
    interval: Interval,
    unit: str = "",
    requirement: tuple[str, float] | None = None,
) -> Finding:
    """A line of an interval over people."""
    return Finding(check, quantity, interval.estimate, unit, requirement, (interval.low, interval.high))


def as_table(findings: Sequence[Finding]) -> str:
    """The lines under each other, with a verdict where something is asked."""
    lines, width = [], max(len(finding.quantity) for finding in findings)
    check = ""
    for finding in findings:
        if finding.check != check:
            check = finding.check
            lines.append(f"\n{check}")
        verdict = {None: "", True: "pass", False: "FAIL"}[finding.passed]
        value = f"{finding.value:8.3f}{' ' + finding.unit if finding.unit else ''}"
        interval = "" if finding.interval is None else "[{:.3f}, {:.3f}]".format(*finding.interval)
        bound = "" if finding.requirement is None else f"{finding.requirement[0]} {finding.requirement[1]:g}"
        label = f"{finding.quantity:<{width}}"
        cells = f"  {label} {value:<12} {interval:<18} {bound:<8} {verdict:<5} {finding.note}"
        lines.append(cells.rstrip())
    return "\n".join(lines)
