"""What a user may ask of a swap, checked before any work is done. Called by ``api``."""

from __future__ import annotations

from typing import Any

import numpy as np

from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.methods.base.protocol import Method

_LARGEST_SEED = 2**63 - 1
_MOST_STEPS = 100_000


def checked_dials(
    method: Method, structure: float, appearance: float, seed: int | None, detail: float = 1.0
) -> dict[str, Any]:
    """The arguments of ``Method.swap_aligned``.

    Args:
        method: that is to understand them.
        structure: 0..1.
        appearance: 0..1.
        seed: 0..2⁶³ − 1, or None.
        detail: 0..1; it is not the method's and so is not among what is returned.

    Raises:
        UnsupportedOptionError: a value is out of range, or the method does not know the option.
    """
    for name, value, neutral in (
        ("structure", structure, 1.0),
        ("appearance", appearance, 0.0),
        ("seed", seed, None),
        ("detail", detail, 1.0),
    ):
        if value != neutral and name not in method.options:
            raise UnsupportedOptionError(f"method {method.name!r} has no option {name!r}: leave it out")
    for name, value in (("structure", structure), ("appearance", appearance), ("detail", detail)):
        if not 0 <= value <= 1:
            raise UnsupportedOptionError(f"{name} is a dial from 0 to 1, got {value}")
    return {
        "structure": structure,
        "appearance": appearance,
        "seed": None if seed is None else checked_seed(seed),
    }


def checked_seed(seed: int) -> int:
    """The seed as a number that torch takes.

    Raises:
        UnsupportedOptionError: it is no whole number from 0 to 2⁶³ − 1.
    """
    if not isinstance(seed, int | np.integer) or not 0 <= seed <= _LARGEST_SEED:
        raise UnsupportedOptionError(f"seed is a whole number from 0 to {_LARGEST_SEED}, got {seed}")
    # torch takes no numpy integers.
    return int(seed)


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
    if steps and "refine" not in method.options:
        raise UnsupportedOptionError(
            f"method {method.name!r} has no option 'refine': leave it out, or use method 'default'"
        )
    return steps


def latent_space(method: Method, what: str) -> Any:
    """The function of a method that reads or draws from codes: ``"invert"`` or ``"generate"``.

    Raises:
        UnsupportedOptionError: it has none.
    """
    function = getattr(method, what, None)
    if function is None:
        raise UnsupportedOptionError(
            f"method {method.name!r} cannot {what}, it has no generator: give weights of a network"
        )
    return function
