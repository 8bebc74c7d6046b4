"""What a user may set of a method: declared by the method, checked here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from stylegan_swap.errors import UnsupportedOptionError

LARGEST_SEED = 2**63 - 1
# Options that ``swap()`` has as arguments of its own, with the value that asks nothing of a method.
NEUTRAL = {"structure": 1.0, "appearance": 0.0, "seed": None, "detail": 1.0}


@dataclass(frozen=True)
class Option:
    """A number.

    Attributes:
        name: what users write.
        low: smallest value.
        high: largest value.
        default: the value in force where nothing is said.
    """

    name: str
    low: float
    high: float
    default: float

    def checked(self, value: Any) -> float:
        """The value.

        Raises:
            UnsupportedOptionError: it is no number from ``low`` to ``high``.
        """
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise UnsupportedOptionError(f"{self.name} is a number, got {value!r}")
        if not self.low <= value <= self.high:
            raise UnsupportedOptionError(
                f"{self.name} is a dial from {self.low:g} to {self.high:g}, got {value}"
            )
        return value  # type: ignore[return-value]


@dataclass(frozen=True)
class Seed:
    """A seed of random draws; None draws nothing and keeps what the network stores."""

    name: str = "seed"
    default: int | None = None

    def checked(self, value: Any) -> int | None:
        """The seed as a number that torch takes.

        Raises:
            UnsupportedOptionError: it is no whole number from 0 to 2⁶³ − 1.
        """
        return None if value is None else checked_seed(value)


@dataclass(frozen=True)
class Choice:
    """One of several words.

    Attributes:
        name: what users write.
        choices: the words.
        default: the one in force where nothing is said.
    """

    name: str
    choices: tuple[str, ...]
    default: str

    def checked(self, value: Any) -> str:
        """The word.

        Raises:
            UnsupportedOptionError: it is another one.
        """
        if value not in self.choices:
            raise UnsupportedOptionError(f"{self.name} is one of {', '.join(self.choices)}, got {value!r}")
        return str(value)


AnyOption: TypeAlias = "Option | Seed | Choice"

STRUCTURE = Option("structure", 0, 1, 1.0)
APPEARANCE = Option("appearance", 0, 1, 0.0)
SEED = Seed()
DETAIL = Option("detail", 0, 1, 1.0)


def checked_options(
    name: str, declared: Iterable[AnyOption], requested: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Every declared option with the value in force.

    An option that is not declared may be given with the value that asks for nothing (``NEUTRAL``), so that a
    caller can hand on the arguments of ``swap()`` whatever the method.

    Args:
        name: of the method, for messages.
        declared: its options.
        requested: values by name.

    Raises:
        UnsupportedOptionError: a value is out of range, or a name is not declared; lists those that are.
    """
    declared_options = {option.name: option for option in declared}
    values = dict(requested or {})
    for option, value in list(values.items()):
        if option in declared_options:
            continue
        if option not in NEUTRAL or value != NEUTRAL[option]:
            names = ", ".join(declared_options) or "none"
            raise UnsupportedOptionError(
                f"method {name!r} has no option {option!r} (its options: {names}): leave it out"
            )
        del values[option]
    return {
        option.name: option.checked(values[option.name]) if option.name in values else option.default
        for option in declared_options.values()
    }


def checked_seed(seed: Any) -> int:
    """The seed as a number that torch takes.

    Raises:
        UnsupportedOptionError: it is no whole number from 0 to 2⁶³ − 1.
    """
    if not isinstance(seed, int | np.integer) or not 0 <= seed <= LARGEST_SEED:
        raise UnsupportedOptionError(f"seed is a whole number from 0 to {LARGEST_SEED}, got {seed}")
    # torch takes no numpy integers.
    return int(seed)
