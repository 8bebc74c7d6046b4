"""How far raters agree: Krippendorff's alpha with squared distances.

Where it sits on the road: screening → **agreement** → report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np


def krippendorff_alpha(units: Sequence[Hashable], values: Sequence[float]) -> float | None:
    """Krippendorff's alpha for interval data; raters may have judged different units.

    1 is perfect agreement, 0 what chance gives. For two alternatives, coded 0, ½ (tie) and 1, the squared
    distance counts a tie as a quarter of a disagreement.

    Args:
        units: what each value judges.
        values: the judgements.

    Returns:
        Alpha; None where no unit was judged twice or all values are the same.
    """
    by_unit: dict[Hashable, list[float]] = defaultdict(list)
    for unit, value in zip(units, values, strict=True):
        by_unit[unit].append(value)
    judged = [np.array(given) for given in by_unit.values() if len(given) > 1]
    if not judged:
        return None
    together = np.concatenate(judged)
    # The mean squared distance of all ordered pairs is twice the unbiased variance.
    expected = 2.0 * float(together.var(ddof=1))
    if expected == 0.0:
        return None
    observed = sum(len(given) * 2.0 * float(given.var(ddof=1)) for given in judged) / len(together)
    return 1.0 - observed / expected
