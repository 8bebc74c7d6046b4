"""How far two boxes ``[4]`` (x0, y0, x1, y1) lie on each other."""

from __future__ import annotations

import numpy as np


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union."""
    shared, areas = _shared(first, second)
    return shared / max(sum(areas) - shared, 1e-6)


def covered_share(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over the smaller box: 1 where one lies inside the other."""
    shared, areas = _shared(first, second)
    return shared / max(min(areas), 1e-6)


def _shared(first: np.ndarray, second: np.ndarray) -> tuple[float, list[float]]:
    """The area of the intersection, and those of both boxes."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    return float(np.prod(np.clip(high - low, 0, None))), [
        float(np.prod(b[2:] - b[:2])) for b in (first, second)
    ]
