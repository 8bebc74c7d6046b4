"""Crop templates: how a photograph's face is laid into the square that a method was made for.

Every template gives an :class:`Alignment`, the map from photo to crop, whose inverse pastes the result back.
Points of a template are pixels as OpenCV counts them, the centre of the first pixel at (0, 0).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE
from stylegan_swap.faces.geometry.align import FREE_SIDES, Alignment, ffhq_alignment, similarity, transformed

NOSE_TIP, MOUTH_CORNERS = 30, (48, 54)
# What a crop of any side may lose of the photo's detail: it keeps at least this share.
KEPT_DETAIL = 0.75
_REFERENCE_SIDE = 256


@dataclass(frozen=True)
class CropTemplate(ABC):
    """A way to cut out faces.

    Attributes:
        name: what users read.
    """

    name: str

    @abstractmethod
    def align(self, landmarks: np.ndarray, size: int) -> Alignment:
        """The crop of a face.

        ``landmarks``: ``[68, 2]`` in photo pixels; ``size``: side of the crop in pixels.

        Raises:
            ValueError: the landmarks span no face.
        """

    def side(self, landmarks: np.ndarray) -> float:
        """Side of the crop of a face, in photo pixels."""
        return _REFERENCE_SIDE / self.align(landmarks, _REFERENCE_SIDE).scale

    def free_side(self, landmarks: np.ndarray) -> int:
        """Side in crop pixels where any will do: the smallest that keeps three quarters of the detail."""
        needed = KEPT_DETAIL * self.side(landmarks)
        return next((size for size in FREE_SIDES if size >= needed), FREE_SIDES[-1])


class FFHQTemplate(CropTemplate):
    """The upright crop of the FFHQ data set, from eyes and mouth; see ``ffhq_alignment``."""

    def align(self, landmarks: np.ndarray, size: int) -> Alignment:
        """See ``CropTemplate.align``."""
        return ffhq_alignment(landmarks, size)


@dataclass(frozen=True)
class PointTemplate(CropTemplate):
    """Five points: both eyes, the tip of the nose, both corners of the mouth.

    Attributes:
        poses: per pose ten numbers, x and y of the five points; the pose that fits best is taken.
        unit: side of the crop that the points are given for.
        affine: fit with six degrees of freedom instead of a similarity's four.
    """

    poses: tuple[tuple[float, ...], ...]
    unit: int
    affine: bool = False

    def align(self, landmarks: np.ndarray, size: int) -> Alignment:
        """See ``CropTemplate.align``."""
        return self.align_points(five_points(landmarks), size)

    def align_points(self, points: np.ndarray, size: int) -> Alignment:
        """The crop of a face with five points ``[5, 2]`` in photo pixels, in the template's order.

        Raises:
            ValueError: the points lie in one place, or are not finite.
        """
        points = np.asarray(points, np.float64)
        spread = float(np.ptp(points, axis=0).max())
        if not spread >= 1.0:
            raise ValueError(f"the points span no face ({spread:.2f} px)")
        targets = np.reshape(self.poses, (-1, 5, 2)) * (size / self.unit)
        fit = _affine if self.affine else similarity
        matrices = [fit(points, target) for target in targets]
        errors = [
            np.linalg.norm(transformed(points, matrix) - target, axis=1).sum()
            for matrix, target in zip(matrices, targets, strict=True)
        ]
        return Alignment(matrices[int(np.argmin(errors))], size)


@dataclass(frozen=True)
class DeepFaceLabTemplate(CropTemplate):
    """DeepFaceLab's face types: one mean face in a unit square, with more or less around it.

    Attributes:
        padding: what is added around the unit square, as a share of its diagonal.
        lift: how far the crop lies above the square's centre, in units.
        follows_yaw: move the crop towards the back of a turned head.
    """

    padding: float
    lift: float = 0.0
    follows_yaw: bool = False

    def align(self, landmarks: np.ndarray, size: int) -> Alignment:
        """See ``CropTemplate.align``."""
        points = np.asarray(landmarks, np.float64)
        if not float(np.ptp(points, axis=0).max()) >= 1.0:
            raise ValueError("the landmarks span no face")
        # Into the unit square; of the mouth only the corners count, the rest moves with speech.
        to_unit = similarity(points[_DFL_POINTS], _DFL_UNIT)
        centre = np.array([0.5, 0.5 - self.lift])
        if self.follows_yaw:
            yaw = _averaged_yaw(transformed(points, to_unit))
            # Damped near zero.
            centre[0] += yaw * abs(np.tanh(2 * yaw)) / 2
        side = 1 + 2 * np.sqrt(2) * self.padding
        matrix = to_unit.copy()
        matrix[:, 2] -= centre - side / 2
        return Alignment(matrix * (size / side), size)


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Both eyes' centres, the tip of the nose and both corners of the mouth of 68 landmarks, ``[5, 2]``."""
    points = np.asarray(landmarks, np.float64)
    eyes = points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0)
    return np.stack([*eyes, points[NOSE_TIP], *points[list(MOUTH_CORNERS)]])


def _affine(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares affine map, ``[2, 3]``, that carries points onto others."""
    known = np.column_stack([source, np.ones(len(source))])
    return np.linalg.lstsq(known, target, rcond=None)[0].T


def _averaged_yaw(unit: np.ndarray) -> float:
    """How far the head is turned: jaw to bridge of the nose, right minus left, in units."""
    bridge, left, right = unit[[27, 28, 29], 0], unit[[0, 1, 2], 0], unit[[16, 15, 14], 0]
    return float(((right - bridge) - (bridge - left)).mean())


# Brows, nose, eyes and the corners of the mouth of the mean face.
_DFL_POINTS = [*range(17, 49), 54]
_DFL_UNIT = np.array(
    [
        *((0.000213256, 0.106454), (0.0752622, 0.038915), (0.18113, 0.0187482), (0.29077, 0.0344891)),
        *((0.393397, 0.0773906), (0.586856, 0.0773906), (0.689483, 0.0344891), (0.799124, 0.0187482)),
        *((0.904991, 0.038915), (0.98004, 0.106454), (0.490127, 0.203352), (0.490127, 0.307009)),
        *((0.490127, 0.409805), (0.490127, 0.515625), (0.36688, 0.587326), (0.426036, 0.609345)),
        *((0.490127, 0.628106), (0.554217, 0.609345), (0.613373, 0.587326), (0.121737, 0.216423)),
        *((0.187122, 0.178758), (0.265825, 0.179852), (0.334606, 0.231733), (0.260918, 0.245099)),
        *((0.182743, 0.244077), (0.645647, 0.231733), (0.714428, 0.179852), (0.793132, 0.178757)),
        *((0.858516, 0.216423), (0.79751, 0.244077), (0.719335, 0.245098), (0.254149, 0.780233)),
        (0.726104, 0.780233),
    ]
)
_ARCFACE = (38.2946, 51.6963, 73.5318, 51.5014, 56.0252, 71.7366, 41.5493, 92.3655, 70.7299, 92.2041)

FFHQ = FFHQTemplate("FFHQ")
ARCFACE_112 = PointTemplate("ArcFace 112", (_ARCFACE,), 112)
# MobileFaceSwap fits the same points with a free affine map.
ARCFACE_112_AFFINE = PointTemplate("ArcFace 112, affine", (_ARCFACE,), 112, affine=True)
# SimSwap and Ghost: profile left, half left, frontal, half right, profile right.
FIVE_POSE_224 = PointTemplate(
    "five poses",
    (
        (51.642, 50.115, 57.617, 49.990, 35.740, 69.007, 51.157, 89.050, 57.025, 89.702),
        (45.031, 50.118, 65.568, 50.872, 39.677, 68.111, 45.177, 86.190, 64.246, 86.758),
        (39.730, 51.138, 72.270, 51.138, 56.000, 68.493, 42.463, 87.010, 69.537, 87.010),
        (46.845, 50.872, 67.382, 50.118, 72.737, 68.111, 48.167, 86.758, 67.236, 86.190),
        (54.796, 49.990, 60.771, 50.115, 76.673, 69.007, 55.388, 89.702, 61.257, 89.050),
    ),
    112,
)
# SimSwap's network of 512 pixels.
FFHQ_FIVE_POINTS = PointTemplate(
    "FFHQ, five points",
    (
        (
            192.98138,
            239.94708,
            318.90277,
            240.1936,
            256.63416,
            314.01935,
            201.26117,
            371.41043,
            313.08905,
            371.15118,
        ),
    ),
    512,
)
DFL_HALF = DeepFaceLabTemplate("DeepFaceLab half", 0.0)
DFL_MID_FULL = DeepFaceLabTemplate("DeepFaceLab mid-full", 0.0675)
DFL_FULL = DeepFaceLabTemplate("DeepFaceLab full", 0.2109375)
DFL_WHOLE = DeepFaceLabTemplate("DeepFaceLab whole face", 0.40, lift=0.07)
DFL_HEAD = DeepFaceLabTemplate("DeepFaceLab head", 0.70, lift=0.5, follows_yaw=True)
