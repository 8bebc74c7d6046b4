"""The one-euro filter: steady when the signal rests, quick when it moves.

Used by ``smoothing`` on landmarks. Source: Casiez, Roussel and Vogel, 1 € Filter: A Simple Speed-based
Low-pass Filter for Noisy Input in Interactive Systems (CHI 2012), equations 1 to 7 and the appendix.
"""

from __future__ import annotations

import math

import numpy as np


class OneEuroFilter:
    """Filters an array of signals, each by its own speed.

    Args:
        min_cutoff: cut-off frequency in Hz of a signal at rest: lower is steadier.
        beta: how fast the cut-off rises with the speed, in Hz per (unit per second): higher lags less.
        d_cutoff: cut-off frequency in Hz of the speed itself.

    Raises:
        ValueError: a frequency is not above 0, or beta is negative.
    """

    def __init__(self, min_cutoff: float, beta: float, d_cutoff: float = 1.0) -> None:
        if min_cutoff <= 0 or d_cutoff <= 0 or beta < 0:
            raise ValueError(
                f"cut-off frequencies must be above 0 and beta at least 0, got min_cutoff={min_cutoff}, "
                f"beta={beta}, d_cutoff={d_cutoff}"
            )
        self.min_cutoff, self.beta, self.d_cutoff = min_cutoff, beta, d_cutoff
        self._value: np.ndarray | None = None
        self._speed: np.ndarray | None = None
        self._time = 0.0

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """The filtered signals.

        Args:
            value: the signals now, any shape, the same at every call.
            time: seconds, later than at the call before; the steps may differ (variable frame rate).

        Raises:
            ValueError: the time does not go forward.
        """
        value = np.asarray(value, np.float64)
        if self._value is None or self._speed is None:
            self._value, self._speed, self._time = value, np.zeros_like(value), time
            return value
        step = time - self._time
        if step <= 0:
            raise ValueError(f"time must go forward, got {time} after {self._time}")
        speed = (value - self._value) / step
        share = smoothing_factor(step, self.d_cutoff)
        self._speed = share * speed + (1 - share) * self._speed
        shares = smoothing_factor(step, self.min_cutoff + self.beta * np.abs(self._speed))
        self._value = shares * value + (1 - shares) * self._value
        self._time = time
        return self._value

    def state(self) -> list[object]:
        """Value, speed and time as plain lists, from which ``restore`` goes on exactly."""
        if self._value is None or self._speed is None:
            return []
        return [self._value.tolist(), self._speed.tolist(), self._time]

    def restore(self, state: list) -> None:
        """Take a state of ``state``."""
        if state:
            self._value, self._speed, self._time = np.array(state[0]), np.array(state[1]), float(state[2])


def smoothing_factor(step: float, cutoff: np.ndarray | float) -> np.ndarray | float:
    """The share of the new value in exponential smoothing with a cut-off frequency (equations 3 and 4).

    ``step``: seconds between the samples; ``cutoff``: Hz.
    """
    turns = 2 * math.pi * cutoff * step
    return turns / (turns + 1)
