"""Swap the faces of tracked frames: between ``tracking`` and ``writing``.

One prepared person serves the whole clip. Faces of several frames may go through the network together; the
groups depend on the frame numbers alone, so a run that was stopped repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stylegan_swap.api import Swapper
from stylegan_swap.faces.detection.detect import Face
from stylegan_swap.faces.geometry.align import Alignment, ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.swapping.result import Person
from stylegan_swap.video.frame import Frame
from stylegan_swap.video.tracking import Seen

#: Changes a swapped frame before it is encoded, uint8 RGB ``[H, W, 3]`` → the same: a visible label.
FrameFinisher = Callable[[np.ndarray], np.ndarray]


@dataclass(eq=False)
class Tracked:
    """A frame with what was seen in it.

    Attributes:
        frame: as it was read.
        seen: by the tracker.
        state: of the tracker after this frame, at the end of a segment; None elsewhere.
    """

    frame: Frame
    seen: Seen
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
        dials: structure, appearance, seed.
        match_colour: see ``swap``.
        detail: see ``swap``.
        group: faces that go through the network together.
        finish: applied to every swapped frame.
    """

    swapper: Swapper
    person: Person
    dials: dict[str, Any]
    match_colour: bool = False
    detail: float = 1.0
    group: int = 1
    finish: FrameFinisher | None = None

    def __call__(self, tracked: Iterable[Tracked]) -> Iterator[Swapped]:
        """Swap frame by frame, in order."""
        waiting: list[Tracked] = []
        faces = 0
        for one in tracked:
            waiting.append(one)
            faces += len(one.seen.faces)
            # Frames without faces do not wait for others, unless others wait before them.
            if faces >= self.group or faces == 0 or one.state is not None:
                yield from self._swap(waiting)
                waiting, faces = [], 0
        yield from self._swap(waiting)

    def _swap(self, frames: list[Tracked]) -> Iterator[Swapped]:
        aligned = [
            (face, ffhq_alignment(face.landmarks, side), one.frame)
            for one in frames
            for face, side in one.seen.faces
        ]
        results = iter(self._through_the_method(aligned))
        for one in frames:
            result = Swapped(one)
            for _ in one.seen.faces:
                self._paste(result, *next(results))
            if result.pixels is not None and self.finish is not None:
                result.pixels, result.mask = self.finish(result.pixels), None
            yield result

    def _through_the_method(
        self, aligned: list[tuple[Face, Alignment, Frame]]
    ) -> Iterator[tuple[Face, Alignment, AlignedSwap]]:
        """In groups of one size, in order."""
        while aligned:
            size = aligned[0][1].size
            count = next((n for n, (_, one, _) in enumerate(aligned) if one.size != size), len(aligned))
            group, aligned = aligned[: min(count, self.group)], aligned[min(count, self.group) :]
            crops = torch.cat([from_pixels(one.crop(frame.pixels)) for _, one, frame in group])
            points = np.stack([one.to_crop(face.landmarks) for face, one, _ in group])
            swapped = self.swapper.method.swap_aligned(
                self.person.prepared, crops, torch.from_numpy(points), **self.dials
            )
            for number, (face, alignment, _) in enumerate(group):
                parts = (None if part is None else part[number : number + 1] for part in swapped)
                yield face, alignment, AlignedSwap._make(parts)

    def _paste(self, result: Swapped, face: Face, alignment: Alignment, swapped: AlignedSwap) -> None:
        pixels = result.tracked.frame.pixels if result.pixels is None else result.pixels
        result.pixels, mask = self.swapper._pasted(
            self.person, pixels, face, alignment, swapped, self.detail, self.match_colour
        )
        result.mask = mask if result.mask is None else np.maximum(result.mask, mask)
