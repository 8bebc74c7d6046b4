"""The watermark of a video: frames vote, and are read together where each alone is too damaged.

After strong compression a single frame may hold too little. The mark lies at the same place in all of them
while what they show moves, so their sum holds more; it is read like one more picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stylegan_swap.provenance.watermark.code import Kind
from stylegan_swap.provenance.watermark.pattern import CANONICAL_SIDE, reduced_luminance
from stylegan_swap.provenance.watermark.read import read_reduced, read_watermark


@dataclass(frozen=True)
class FramesMark:
    """What the frames of a video say.

    Attributes:
        kind: what more than half of the frames say; None where no kind has that many.
        votes: frames that say the most frequent kind.
        frames: frames that were looked at.
        together: what the sum of all frames says; None where it says nothing.
    """

    kind: Kind | None
    votes: int
    frames: int
    together: Kind | None = None


def verify_frames(frames: Iterable[npt.NDArray[np.uint8]]) -> FramesMark:
    """Whether a video is marked, by majority over its frames and by their sum.

    Reading an unmarked frame takes about half a second: give some of a long video, spread over its length.

    Args:
        frames: uint8 ``[H, W, 3]``, RGB, each.

    Raises:
        ImageReadError: a frame of another kind.
    """
    votes: Counter[Kind] = Counter()
    seen: dict[tuple[int, int], list[npt.NDArray[np.float32]]] = {}
    count = 0
    for frame in frames:
        count += 1
        if found := read_watermark(frame):
            votes[found.kind] += 1
        seen.setdefault(frame.shape[:2], []).append(reduced_luminance(frame)[0])
    kind, most = votes.most_common(1)[0] if votes else (None, 0)
    majority = kind if 2 * most > count else None
    return FramesMark(majority, most, count, majority or _read_together(seen))


def _read_together(seen: dict[tuple[int, int], list[npt.NDArray[np.float32]]]) -> Kind | None:
    """The sum of the frames of the most frequent size."""
    if not seen:
        return None
    (height, width), luminances = max(seen.items(), key=lambda item: len(item[1]))
    if len(luminances) < 2:
        return None
    # Rows and columns that the reduction dropped do not count.
    factor = max(1, height // luminances[0].shape[0])
    found = read_reduced(luminances, factor * CANONICAL_SIDE / float(np.sqrt(height * width)))
    return None if found is None else found.kind
