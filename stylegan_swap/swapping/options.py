"""Numbers of steps that a user may ask for, checked before any work is done."""

from __future__ import annotations

import numpy as np

from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.methods.base.protocol import Method, refinable

_MOST_STEPS = 100_000


def checked_steps(name: str, steps: int) -> int:
    """A number of steps of an optimisation; 0 leaves it out.

    Raises:
        UnsupportedOptionError: it is no whole number from 0 to 100,000.
    """
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or not 0 <= steps <= _MOST_STEPS:
        raise UnsupportedOptionError(f"{name} is a whole number from 0 to {_MOST_STEPS}, got {steps!r}")
    return int(steps)


def checked_refine(method: Method, steps: int) -> int:
    """A number of steps of tuning to one person.

    Raises:
        UnsupportedOptionError: it is none, or the method cannot be tuned.
    """
    steps = checked_steps("refine", steps)
    if steps:
        refinable(method)
    return steps
