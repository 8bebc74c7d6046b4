"""The input of every measure: one swap with its two photographs, faces detected anew in all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from stylegan_swap.errors import NoFaceError
from stylegan_swap.faces.detection.detect import detect_faces, largest_face
from stylegan_swap.faces.geometry.align import Alignment, ffhq_alignment


@dataclass(frozen=True)
class Column:
    """One number that a measure reports.

    Attributes:
        name: heading in tables, unique over all measures.
        better: which way is better; ``"one"`` means the nearer to 1 the better.
        worst: the value a swap without a detectable face gets, so that a miss never helps.
        unit: of the value, for tables; empty for ratios.
        floor: value of the measure's own noise (two photos that should measure alike), or None.
    """

    name: str
    better: Literal["lower", "higher", "one"]
    worst: float
    unit: str = ""
    floor: float | None = None


@dataclass(frozen=True, eq=False)
class View:
    """One photograph of a face.

    Attributes:
        pixels: uint8 RGB ``[H, W, 3]``.
        landmarks: float32 ``[68, 2]`` in its pixels, or None where no face was found.
        name: for tables and messages.
        person: who it shows, for retrieval; empty if unknown.
    """

    pixels: np.ndarray
    landmarks: np.ndarray | None
    name: str = ""
    person: str = ""

    @property
    def face(self) -> np.ndarray:
        """The landmarks, float32 ``[68, 2]``.

        Raises:
            ValueError: no face was found.
        """
        if self.landmarks is None:
            raise ValueError(f"{self.name or 'the picture'}: no face was found, so it cannot be measured")
        return self.landmarks

    def alignment(self, size: int) -> Alignment:
        """The FFHQ alignment of the face; ValueError where no face was found."""
        return ffhq_alignment(self.face, size)

    def crop(self, size: int) -> np.ndarray:
        """The aligned face, float32 ``[size, size, 3]`` in 0..255."""
        return self.alignment(size).crop(self.pixels)


@dataclass(frozen=True, eq=False)
class Sample:
    """One swap.

    Attributes:
        identity: the photo that gave the person.
        attribute: the photo that gave the rest.
        result: the swapped photo, as large as the attribute photo; ``landmarks`` None is a miss.
        mask: where the method changed pixels, float32 ``[H, W]`` in 0..1, or None if unknown.
    """

    identity: View
    attribute: View
    result: View
    mask: np.ndarray | None = None

    @property
    def missed(self) -> bool:
        """Whether no face was found in the result."""
        return self.result.landmarks is None

    def result_in_place(self, size: int) -> np.ndarray:
        """The result under the *attribute* photo's alignment, float32 ``[size, size, 3]`` in 0..255."""
        return self.attribute.alignment(size).crop(self.result.pixels)


class PairMeasure(Protocol):
    """A measure of one swap; raises ValueError where a photograph it needs shows no face."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The numbers it reports, in order."""
        ...

    def __call__(self, sample: Sample) -> dict[str, float]:
        """One value per column; called only for samples in which a face was found."""
        ...


def look(pixels: np.ndarray, name: str = "", person: str = "") -> View:
    """Detect the largest face of a picture; a view without landmarks where there is none."""
    try:
        landmarks = largest_face(detect_faces(pixels, name=name or "the picture")).landmarks
    except NoFaceError:
        landmarks = None
    return View(pixels, landmarks, name, person)


def measured(measure: PairMeasure, sample: Sample) -> dict[str, float]:
    """The values of a sample, or the worst ones where the result shows no face."""
    if sample.missed:
        return {column.name: column.worst for column in measure.columns}
    return measure(sample)
