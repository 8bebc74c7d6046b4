"""Few cases in place of a full product: every value of an axis meets every value of each other axis."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any


def pairwise(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Rows of a covering array of strength 2, the same at every call.

    Most faults show with one value or with two together (Kuhn et al., IEEE TSE 2004): 4 types, 5 layouts and
    6 shapes need 30 cases, not 120.

    Args:
        *axes: the values of each parameter.

    Returns:
        Tuples of one value per axis, in order of the product.
    """
    product = list(itertools.product(*(range(len(axis)) for axis in axes)))
    couples = list(itertools.combinations(range(len(axes)), 2))
    open_pairs = {(a, b, row[a], row[b]) for row in product for a, b in couples}
    rows = []
    while open_pairs:
        best = max(product, key=lambda row: sum((a, b, row[a], row[b]) in open_pairs for a, b in couples))
        open_pairs -= {(a, b, best[a], best[b]) for a, b in couples}
        rows.append(best)
    return [tuple(axis[n] for axis, n in zip(axes, row, strict=True)) for row in sorted(rows)]
