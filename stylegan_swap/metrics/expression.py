"""Expression of the result against that of the attribute photo: nine features of eyes, brows and mouth.

Raw distances between landmarks would measure the person rather than the expression. Defined in
``docs/evaluation/pose-expression.md``.
"""

from __future__ import annotations

import numpy as np

from stylegan_swap.faces.detection.landmarks import EXPRESSION_SPREAD, LEFT_EYE, RIGHT_EYE
from stylegan_swap.faces.geometry.align import laid_onto
from stylegan_swap.faces.geometry.head_pose import MEAN_FACE
from stylegan_swap.metrics.sample import Column, Sample

FEATURES = (
    "left_eye_opening",
    "right_eye_opening",
    "mouth_width",
    "inner_mouth_opening",
    "outer_mouth_opening",
    "corner_lift",
    "left_brow_height",
    "right_brow_height",
    "brow_gap",
)
SPREAD = np.array(EXPRESSION_SPREAD)
# Bridge of the nose and corners of the eyes: no muscle of the face moves them.
STABLE = np.array([27, 28, 29, 30, 36, 39, 42, 45])
# Strangers of whom one smiles reach 5.7. Errors are cut off here, so that losing the face never helps.
WORST = 8.0
_INTER_OCULAR = float(np.linalg.norm((MEAN_FACE[RIGHT_EYE] - MEAN_FACE[LEFT_EYE]).mean(0)[:2]))
_UPRIGHT = MEAN_FACE[STABLE, :2] / _INTER_OCULAR


def normalised(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks upright and in units of the distance between the eyes, float64 ``[68, 2]``, y down.

    The least-squares similarity from the stable points onto those of the mean face (Umeyama, 1991).

    Args:
        landmarks: ``[68, 2]`` in pixels.

    Raises:
        ValueError: the stable points lie in one place.
    """
    points = np.asarray(landmarks, np.float64)
    try:
        return laid_onto(points, points[STABLE], _UPRIGHT)
    except ValueError:
        raise ValueError("the landmarks of nose and eyes lie in one place, so they show no face") from None


def expression_features(landmarks: np.ndarray) -> np.ndarray:
    """The nine ``FEATURES`` of a face, float64 ``[9]``; all but the eyes in distances between the eyes.

    Eye opening: the two heights over the width of the eye (Soukupová & Čech, 2016). Corner lift: how far
    the corners of the mouth lie above the middle of the inner lips. Brow height: from the centre of the
    eye up to the mean of the brow. ``left`` is the left side of the picture.

    Args:
        landmarks: ``[68, 2]`` in pixels.

    Raises:
        ValueError: the landmarks show no face.
    """
    p = normalised(landmarks)
    lips = (p[62, 1] + p[66, 1]) / 2
    return np.array(
        [
            eye_opening(p[LEFT_EYE]),
            eye_opening(p[RIGHT_EYE]),
            _distance(p[48], p[54]),
            _distance(p[62], p[66]),
            _distance(p[51], p[57]),
            lips - (p[48, 1] + p[54, 1]) / 2,
            p[LEFT_EYE, 1].mean() - p[17:22, 1].mean(),
            p[RIGHT_EYE, 1].mean() - p[22:27, 1].mean(),
            _distance(p[21], p[22]),
        ]
    )


def eye_opening(eye: np.ndarray) -> float:
    """Height over width of an eye given by its six landmarks ``[6, 2]``; about 0.3 open, 0 shut."""
    eye = np.asarray(eye, np.float64)
    width = _distance(eye[0], eye[3])
    return (_distance(eye[1], eye[5]) + _distance(eye[2], eye[4])) / (2 * max(width, 1e-9))


class ExpressionMeasure:
    """Difference between the expressions of result and attribute photo.

    Columns: ``expression_error`` the root mean square of the nine differences, each over its ``SPREAD``;
    ``mouth_opening_error`` and ``corner_lift_error`` the absolute differences of the two features that
    depend least on the person, in distances between the eyes. All are cut off at their worst value.
    """

    columns: tuple[Column, ...] = (
        Column("expression_error", "lower", WORST, floor=0.19),
        Column("mouth_opening_error", "lower", 1.0, "eye distances", floor=0.005),
        Column("corner_lift_error", "lower", 1.0, "eye distances", floor=0.004),
    )

    def __call__(self, sample: Sample) -> dict[str, float]:
        """One value per column."""
        difference = expression_features(sample.result.face) - expression_features(sample.attribute.face)
        errors = (
            float(np.sqrt(np.mean((difference / SPREAD) ** 2))),
            abs(float(difference[FEATURES.index("inner_mouth_opening")])),
            abs(float(difference[FEATURES.index("corner_lift")])),
        )
        return {c.name: min(error, c.worst) for c, error in zip(self.columns, errors, strict=True)}


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(first - second))
