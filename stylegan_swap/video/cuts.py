"""Where a clip cuts from one scene to another: there filters start afresh and people are looked for anew.

Works on thumbnails, beside ``tracking``. A cut changes the pixels, more than those before it did, and the
colours of the whole picture; motion only the former. A false alarm costs one fresh start.
"""

from __future__ import annotations

import cv2
import numpy as np

_SIZE = (32, 18)
# Grey levels by which a thumbnail must change, how many times the usual change that must be, and the share of
# its pixels that must be of other colours.
_LEAST = 14.0
_UNUSUAL = 2.5
_RECOLOURED = 0.25
_MEMORY = 0.2


class CutDetector:
    """Watches frames in order."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._usual = 0.0

    def __call__(self, pixels: np.ndarray) -> bool:
        """Whether this frame, uint8 RGB ``[H, W, 3]``, begins a new scene; the first frame does not."""
        thumbnail = cv2.resize(pixels, _SIZE, interpolation=cv2.INTER_AREA)
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        change = float(np.abs(thumbnail.astype(np.float64) - last).mean())
        cut = (
            change > _LEAST and change > _UNUSUAL * self._usual and _recoloured(last, thumbnail) > _RECOLOURED
        )
        self._usual = 0.0 if cut else (1 - _MEMORY) * self._usual + _MEMORY * change
        return cut

    def state(self) -> dict[str, object]:
        """Everything the next frame depends on, as plain lists."""
        return {"last": None if self._last is None else self._last.tolist(), "usual": self._usual}

    def restore(self, state: dict) -> None:
        """Take a state of ``state``."""
        self._last = None if state["last"] is None else np.array(state["last"], np.uint8)
        self._usual = float(state["usual"])


def _recoloured(previous: np.ndarray, current: np.ndarray) -> float:
    """Share of pixels that colours must be changed of: half the distance of the histograms, 5 levels each."""
    counts = [
        cv2.calcHist([image], [0, 1, 2], None, [5, 5, 5], [0, 256] * 3) for image in (previous, current)
    ]
    return float(np.abs(counts[0] - counts[1]).sum()) / (2 * _SIZE[0] * _SIZE[1])
