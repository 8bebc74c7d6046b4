"""One frame on its way from ``reading`` through ``tracking`` and the swap to ``writing``."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np

from stylegan_swap.video.colour import Planes, Tags, to_rgb


@dataclass(eq=False)
class Frame:
    """A frame as it was read.

    Attributes:
        number: from 0, counted from the first frame that is swapped.
        pts: when it is shown, in units of the clip's time base.
        duration: how long, in the same units; 0 where the clip does not say.
        time: when it is shown, in seconds since the first frame that is swapped.
        planes: its pixels as video stores them, upright; None for pictures of a folder.
        tags: how to read them.
        picture: its pixels as RGB, for pictures of a folder.
        alpha: transparency of such a picture, uint8 ``[H, W]``.
        name: the file it came from, for pictures of a folder.
        missing: how many damaged frames are left out before it; for the last frame, after it too.
    """

    number: int
    pts: int
    duration: int
    time: float
    planes: Planes | None = None
    tags: Tags = field(default_factory=Tags)
    picture: np.ndarray | None = None
    alpha: np.ndarray | None = None
    name: str = ""
    missing: int = 0

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        """uint8 RGB ``[H, W, 3]``."""
        if self.planes is not None:
            return to_rgb(self.planes, self.tags)
        assert self.picture is not None
        return self.picture


class Clip(Protocol):
    """What frames come from: a video file, or a folder of pictures.

    Attributes:
        name: for messages.
        time_base: seconds per unit of ``pts``.
        rate: frames per second, on average.
        size: width and height of the upright picture; None where they differ from frame to frame.
        tags: of the frames' colours.
        pixel_shape: width of a pixel over its height.
        frame_count: as far as it is known before reading; None otherwise.
        notes: what a user should know.
    """

    name: str
    time_base: Fraction
    rate: Fraction
    size: tuple[int, int] | None
    tags: Tags
    pixel_shape: Fraction
    frame_count: int | None
    notes: list[str]

    def frames(self, first: int = 0, pts: int | None = None) -> Iterator[Frame]:
        """Read frames in the order they are shown.

        Args:
            first: the number of the first frame wanted.
            pts: its time, where it is known from an earlier run; it allows to jump there.

        Raises:
            VideoReadError, ImageReadError: the clip is damaged.
        """
        ...

    def fingerprint(self) -> dict[str, object]:
        """What tells this clip from another, for the journal of a run."""
        ...
