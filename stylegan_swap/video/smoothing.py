"""Smooth a face's landmarks over time: after ``tracking``, before the face is aligned and swapped.

A head moves as a whole and changes its shape little, so both are filtered apart, each in its own units:
place, size and roll on one side, on the other the shape of the face in the frame of the head. Lips and lids
are quick and get a filter of their own, so that the mouth opens when the clip's does.
"""

from __future__ import annotations

import numpy as np

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE
from stylegan_swap.video.one_euro import OneEuroFilter

# Cut-off at rest in Hz, and Hz per (unit per second); the unit is the distance between the eyes (for size and
# roll: their natural logarithm and radians).
POSE = (2.0, 8.0)
SHAPE = (0.7, 1.0)
QUICK = (3.0, 8.0)
# Lids and lips, which speech and blinking move within two or three frames.
_QUICK = np.arange(36, 68)


class LandmarkSmoother:
    """One-euro filters over pose and shape of one face."""

    def __init__(self) -> None:
        self._reference: np.ndarray | None = None
        self._unit = 1.0
        self._angle = 0.0
        self._filters = {
            name: OneEuroFilter(*settings)
            for name, settings in (("pose", POSE), ("shape", SHAPE), ("quick", QUICK))
        }

    def __call__(self, landmarks: np.ndarray, time: float) -> np.ndarray:
        """Smoothed landmarks.

        ``landmarks``: ``[68, 2]`` in frame pixels, as they were predicted; ``time``: seconds, later than
        before. Returns float32 ``[68, 2]``.
        """
        z = _complex(np.asarray(landmarks, np.float64))
        centre = z.mean()
        if self._reference is None:
            eyes = z[RIGHT_EYE].mean() - z[LEFT_EYE].mean()
            self._reference, self._unit = (z - centre) / eyes, max(abs(eyes), 1.0)
        reference = self._reference
        # The least-squares similarity in the plane is one complex number (Umeyama, PAMI 1991).
        factor = np.vdot(reference, z - centre) / np.vdot(reference, reference).real
        # Half a turn further is not half a turn back.
        self._angle += float(np.angle(factor * np.exp(-1j * self._angle)))
        position = centre / self._unit
        pose = np.array([position.real, position.imag, np.log(abs(factor)), self._angle])
        x, y, log_size, angle = self._filters["pose"](pose, time)
        shape = _real((z - centre) / factor)
        smooth = self._filters["shape"](shape, time).copy()
        smooth[_QUICK] = self._filters["quick"](shape[_QUICK], time)
        smoothed = _complex(smooth) * np.exp(log_size + 1j * angle) + (x + 1j * y) * self._unit
        return _real(smoothed).astype(np.float32)

    def state(self) -> dict[str, object]:
        """Everything the next frame depends on, as plain lists."""
        reference = None if self._reference is None else _real(self._reference).tolist()
        filters = {name: smoother.state() for name, smoother in self._filters.items()}
        return {"reference": reference, "unit": self._unit, "angle": self._angle, "filters": filters}

    def restore(self, state: dict) -> None:
        """Take a state of ``state``."""
        if state["reference"] is not None:
            self._reference = _complex(np.array(state["reference"]))
        self._unit, self._angle = float(state["unit"]), float(state["angle"])
        for name, smoother in self._filters.items():
            smoother.restore(state["filters"][name])


def _complex(points: np.ndarray) -> np.ndarray:
    return points[:, 0] + 1j * points[:, 1]


def _real(numbers: np.ndarray) -> np.ndarray:
    return np.stack([numbers.real, numbers.imag], axis=1)
