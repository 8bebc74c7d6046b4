"""Frames spread over a clip, for whoever looks at a clip without reading all of it: beside the road."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from stylegan_swap.errors import VideoReadError
from stylegan_swap.video.reading import VideoClip, open_input


def is_clip(path: Path) -> bool:
    """Whether a file is a moving picture; pictures that move a little (GIF, APNG) count as pictures."""
    try:
        with contextlib.closing(open_input(path)) as container:
            formats = set(container.format.name.split(","))
            return bool(container.streams.video) and not formats & {"gif", "apng"}
    except VideoReadError:
        return False


def spread_frames(path: Path, count: int) -> Iterator[np.ndarray]:
    """About ``count`` frames at equal distances, from the first on; fewer of a short clip.

    ``path``: the clip; ``count``: from 1.

    Yields:
        uint8 RGB ``[H, W, 3]``.

    Raises:
        VideoReadError: it cannot be read, or is damaged before the last of them.
    """
    clip = VideoClip(path)
    length = clip.frame_count or 0
    step = max(1, length // count)
    # Jumping costs the decoding from the key frame before: near each other, reading on is cheaper.
    if step < _WORTH_A_JUMP or not length:
        for frame in clip.frames():
            if frame.number % step == 0:
                yield frame.pixels
            if frame.number >= step * (count - 1):
                return
        return
    for number in range(count):
        start = float(Fraction(number * step) / clip.rate)
        try:
            part = VideoClip(path, start=start)
        except VideoReadError:
            if number == 0:
                raise
            return  # The clip is shorter than it says.
        yield next(iter(part.frames())).pixels


_WORTH_A_JUMP = 60
