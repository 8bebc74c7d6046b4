"""Swap the faces of tracked frames: between ``tracking`` and ``writing``.

One prepared person serves the whole clip. Faces of several frames may go through the network together; the
groups depend on the frame numbers alone, so a run that was stopped repeats them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.swapping.result import AlignedTarget, Person
from stylegan_swap.swapping.swapper import PhotoSwapper
from stylegan_swap.video.frame import Frame
from stylegan_swap.video.tracking import Observation

#: Changes a swapped frame before it is encoded, uint8 RGB ``[H, W, 3]`` → the same: a visible label.
FrameFinisher = Callable[[np.ndarray], np.ndarray]


@dataclass(eq=False)
class Tracked:
    """A frame with what was seen in it.

    Attributes:
        frame: as it was read.
        observation: by the tracker.
        state: of the tracker after this frame, at the end of a segment; None elsewhere.
    """

    frame: Frame
    observation: Observation
    state: dict[str, Any] | None


@dataclass(eq=False)
class Swapped:
    """A frame ready to be written.

    Attributes:
        tracked: what it was made from.
        pixels: uint8 RGB ``[H, W, 3]``; None where nothing was swapped.
        mask: where pixels changed, float32 ``[H, W]``; None stands for everywhere.
    """

    tracked: Tracked
    pixels: np.ndarray | None = None
    mask: np.ndarray | None = None


@dataclass(eq=False)
class ClipSwapper:
    """The swap of one clip.

    Args:
        swapper: the method on its device.
        person: who.
        options: of the method, see ``checked_options``.
        match_colour: see ``swap``.
        group: faces that go through the network together.
        finish: applied to every swapped frame.
    """

    swapper: PhotoSwapper
    person: Person
    options: dict[str, Any]
    match_colour: bool = False
    group: int = 1
    finish: FrameFinisher | None = None

    def __call__(self, tracked: Iterable[Tracked]) -> Iterator[Swapped]:
        """Swap frame by frame, in order."""
        batch: list[Tracked] = []
        faces = 0
        for frame in tracked:
            batch.append(frame)
            faces += len(frame.observation.faces)
            # Frames without faces do not wait for others, unless others wait before them.
            if faces >= self.group or faces == 0 or frame.state is not None:
                yield from self._swap(batch)
                batch, faces = [], 0
        yield from self._swap(batch)

    def _swap(self, frames: list[Tracked]) -> Iterator[Swapped]:
        align = self.swapper.method.crop.align
        targets = [
            AlignedTarget(tracked.frame.pixels, face, align(face.landmarks, side), self.person)
            for tracked in frames
            for face, side in tracked.observation.faces
        ]
        swaps = zip(targets, self.swapper.swap_faces(targets, self.options, at_once=self.group), strict=True)
        for tracked in frames:
            result = Swapped(tracked)
            for target, swapped in itertools.islice(swaps, len(tracked.observation.faces)):
                self._paste(result, target, swapped)
            if result.pixels is not None and self.finish is not None:
                result.pixels, result.mask = self.finish(result.pixels), None
            yield result

    def _paste(self, result: Swapped, target: AlignedTarget, swapped: AlignedSwap) -> None:
        if result.pixels is not None:
            target = target._replace(pixels=result.pixels)
        result.pixels, mask = self.swapper.paste(
            target, swapped, detail=self.options.get("detail", 0.0), match_colour=self.match_colour
        )
        result.mask = mask if result.mask is None else np.maximum(result.mask, mask)
