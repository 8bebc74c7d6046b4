"""Gaze of the result against that of the attribute photo: the position of the iris in the eye.

A cheap stand-in for a gaze network, without any weights. Defined in ``docs/evaluation/pose-expression.md``.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE
from stylegan_swap.faces.geometry.align import resample
from stylegan_swap.metrics.expression import eye_opening
from stylegan_swap.metrics.sample import Column, Sample

# Height over width of an eye: from here on the iris can be seen, and down to there a lid may hang in the
# result before the eye counts as shut. The gap between the two is the noise of the landmarks.
OPEN = 0.18
SHUT = 0.12
# Eyes narrower than this have an iris of two or three pixels.
NARROWEST_PX = 10.0
# The error of an eye that should look somewhere and is shut: half the width of the eye.
WORST = 0.5
_BOX_PX = (96, 64)  # width and height of the enlarged eye
_CORNERS_PX = (16.0, 80.0)  # x of the eye's corners in it
# Share of the eye's opening that iris and pupil fill.
_DARK_SHARE = 0.3


def iris_centre(pixels: np.ndarray, eye: np.ndarray, narrowest: float = NARROWEST_PX) -> np.ndarray | None:
    """Centre of the darkest blob in the opening of an eye.

    The eye is brought to 64 px from corner to corner, highlights are closed with a disc, and the darkest
    30 % of the opening taken; the largest connected part of it is the iris.

    Args:
        pixels: uint8 RGB ``[H, W, 3]``.
        eye: its six landmarks ``[6, 2]`` in pixels, iBUG order.
        narrowest: least width of the eye in pixels.

    Returns:
        float64 ``[2]`` in eye-box coordinates: along the line from the left corner of the eye in the
        picture (0) to the right one (1), and down from it in the same unit; None where the eye is
        too narrow or nothing lies in its opening.
    """
    eye = np.asarray(eye, np.float64)
    along = eye[3] - eye[0]
    width = float(np.linalg.norm(along))
    if width < narrowest:
        return None
    scale = (_CORNERS_PX[1] - _CORNERS_PX[0]) / width
    turn = scale * np.array([[along[0], along[1]], [-along[1], along[0]]]) / width
    matrix = np.column_stack([turn, np.array([_CORNERS_PX[0], _BOX_PX[1] / 2]) - turn @ eye[0]])
    patch = resample(pixels, matrix, _BOX_PX, border=cv2.BORDER_REPLICATE)
    light = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
    # Highlights lie on the iris and would cut it in two.
    light = cv2.morphologyEx(light, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    light = cv2.GaussianBlur(light, (0, 0), 2.0)
    opening = np.zeros(_BOX_PX[::-1], np.uint8)
    outline = np.rint(eye @ turn.T + matrix[:, 2]).astype(np.int32)
    cv2.fillPoly(opening, [outline.reshape(-1, 1, 2)], 1)
    inside = opening > 0
    if not inside.any():
        return None
    dark = (inside & (light <= np.quantile(light[inside], _DARK_SHARE))).astype(np.uint8)
    _, _, figures, centres = cv2.connectedComponentsWithStats(dark, connectivity=4)
    if len(figures) < 2:
        return None
    centre = centres[1 + int(np.argmax(figures[1:, cv2.CC_STAT_AREA]))]
    return (centre - [_CORNERS_PX[0], _BOX_PX[1] / 2]) / (_CORNERS_PX[1] - _CORNERS_PX[0])


class GazeMeasure:
    """How far the irises of the result lie from where those of the attribute photo lie.

    Column ``gaze_error``: distance of the two iris centres in eye-box coordinates (1 = the width of the
    eye), mean over the eyes that are open in the *attribute* photo. Such an eye that is shut in the result
    counts 0.5, so shutting the eyes never helps. NaN where both eyes of the attribute photo are shut or
    narrower than 10 px: there the pair has no gaze to keep, and averages leave it out.
    """

    columns: tuple[Column, ...] = (Column("gaze_error", "lower", WORST, "eye widths", floor=0.011),)

    def __call__(self, sample: Sample) -> dict[str, float]:
        """One value, or NaN."""
        errors = [_eye_error(sample, eye) for eye in (LEFT_EYE, RIGHT_EYE)]
        defined = [error for error in errors if not math.isnan(error)]
        return {"gaze_error": float(np.mean(defined)) if defined else math.nan}


def _eye_error(sample: Sample, eye: slice) -> float:
    attribute_eye = sample.attribute.face[eye].astype(np.float64)
    result_eye = sample.result.face[eye].astype(np.float64)
    attribute_iris = iris_centre(sample.attribute.pixels, attribute_eye)
    if attribute_iris is None or eye_opening(attribute_eye) < OPEN:
        return math.nan
    # Half as wide is still measured in the result: at the limit, noise must not count as a shut eye.
    result_iris = iris_centre(sample.result.pixels, result_eye, NARROWEST_PX / 2)
    if result_iris is None or eye_opening(result_eye) < SHUT:
        return WORST
    return min(float(np.linalg.norm(result_iris - attribute_iris)), WORST)
