"""The watermark of a video: each frame carries it, the majority of the frames that are looked at decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stylegan_swap.watermark.code import Kind
from stylegan_swap.watermark.read import read_watermark


@dataclass(frozen=True)
class FramesMark:
    """What the frames of a video say together.

    Attributes:
        kind: what more than half of the frames say; None where no kind has that many.
        votes: frames that say the most frequent kind.
        frames: frames that were looked at.
    """

    kind: Kind | None
    votes: int
    frames: int


def verify_frames(frames: Iterable[npt.NDArray[np.uint8]]) -> FramesMark:
    """Whether a video is marked, by majority over its frames.

    Reading takes about half a second a frame: give some of a long video, ten spread over its length say.

    Args:
        frames: uint8 ``[H, W, 3]``, RGB, each.

    Raises:
        ImageReadError: a frame of another kind.
    """
    votes: Counter[Kind] = Counter()
    count = 0
    for frame in frames:
        count += 1
        if found := read_watermark(frame):
            votes[found.kind] += 1
    kind, most = votes.most_common(1)[0] if votes else (None, 0)
    return FramesMark(kind if 2 * most > count else None, most, count)
