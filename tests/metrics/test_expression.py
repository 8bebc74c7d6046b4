"""Expression: moved lips and brows are measured by what they moved, poses of the photo are not."""

from __future__ import annotations

import numpy as np
import pytest

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE
from stylegan_swap.faces.geometry.head_pose import MEAN_FACE
from stylegan_swap.metrics.expression import (
    FEATURES,
    SPREAD,
    ExpressionMeasure,
    expression_features,
    eye_opening,
    normalised,
)
from stylegan_swap.metrics.sample import Sample, View, measured

PIXELS = np.zeros((4, 4, 3), np.uint8)
FACE = 2.0 * MEAN_FACE[:, :2] + [300, 250]
UNIT = float(np.linalg.norm(FACE[RIGHT_EYE].mean(0) - FACE[LEFT_EYE].mean(0)))


def moved(*moves: tuple[object, float, float], points: np.ndarray = FACE) -> np.ndarray:
    """Landmarks with some of them moved by (x, y) in distances between the eyes."""
    points = np.array(points, np.float64)
    for index, x, y in moves:
        points[index] += UNIT * np.array([x, y])
    return points


def errors(result: np.ndarray, attribute: np.ndarray = FACE) -> dict[str, float]:
    view = View(PIXELS, attribute)
    return ExpressionMeasure()(Sample(view, view, View(PIXELS, result)))


def test_the_unit_is_the_distance_between_the_eyes():
    points = normalised(FACE)
    assert np.linalg.norm(points[RIGHT_EYE].mean(0) - points[LEFT_EYE].mean(0)) == pytest.approx(1)


def test_turning_moving_and_enlarging_the_photo_changes_nothing():
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    there = 3.3 * FACE @ turn.T + [70, -20]
    np.testing.assert_allclose(expression_features(there), expression_features(FACE), atol=1e-9)


def test_a_movement_is_measured_by_its_length():
    for moves, feature, change in (
        ([(slice(65, 68), 0, 0.2)], "inner_mouth_opening", 0.2),
        ([([48, 54], 0, -0.1)], "corner_lift", 0.1),
        ([(48, -0.05, 0), (54, 0.05, 0)], "mouth_width", 0.1),
        ([(slice(55, 60), 0, 0.1)], "outer_mouth_opening", 0.1),
        ([(slice(17, 22), 0, -0.1)], "left_brow_height", 0.1),
        ([(slice(22, 27), 0, -0.1)], "right_brow_height", 0.1),
        ([(21, -0.03, 0), (22, 0.03, 0)], "brow_gap", 0.06),
    ):
        difference = expression_features(moved(*moves)) - expression_features(FACE)
        index = FEATURES.index(feature)
        assert difference[index] == pytest.approx(change, rel=0.15)
        # Moving one lip moves the middle between the lips; nothing else follows.
        others = [i for i, name in enumerate(FEATURES) if name not in (feature, "corner_lift")]
        assert np.abs(difference[others]).max() < 0.02


def test_the_opening_of_a_drawn_eye():
    eye = np.array([[0, 0], [1, -0.5], [2, -0.5], [3, 0], [2, 0.4], [1, 0.4]])
    assert eye_opening(eye) == pytest.approx(0.3)
    assert eye_opening(eye * [1, 0]) < 1e-9 or eye_opening(eye * [1, 0]) == 0


def test_the_error_is_the_root_mean_square_over_the_spread():
    opened = moved((slice(65, 68), 0, 0.15))
    difference = (expression_features(opened) - expression_features(FACE)) / SPREAD
    found = errors(opened)
    assert found["expression_error"] == pytest.approx(np.sqrt((difference**2).mean()))
    assert found["mouth_opening_error"] == pytest.approx(0.15, rel=0.15)


def test_a_copy_has_no_error(astronaut_face, hopper_face):
    for face in (astronaut_face, hopper_face):
        assert set(errors(face.landmarks, face.landmarks).values()) == {0.0}
    assert errors(astronaut_face.landmarks, hopper_face.landmarks)["mouth_opening_error"] > 0.08


def test_the_larger_the_movement_the_larger_the_error(hopper_face):
    for part in ("mouth", "smile", "brows"):
        points = hopper_face.landmarks.astype(float)
        unit = np.linalg.norm(points[RIGHT_EYE].mean(0) - points[LEFT_EYE].mean(0))
        rows = {"mouth": (slice(65, 68), 1), "smile": ([48, 54], -1), "brows": (slice(17, 27), -1)}
        column = {"mouth": "mouth_opening_error", "smile": "corner_lift_error", "brows": "expression_error"}
        found = []
        for amount in (0.0, 0.02, 0.05, 0.1, 0.2):
            changed = points.copy()
            index, direction = rows[part]
            changed[index, 1] += direction * amount * unit
            found.append(errors(changed, points)[column[part]])
        assert found == sorted(found) and found[0] == 0 and found[-1] > 5 * found[1] > 0


def test_a_miss_is_never_better_than_a_grimace():
    grimace = errors(moved((slice(55, 60), 0, 2), (slice(65, 68), 0, 2), ([48, 54], 0, -2)))
    view = View(PIXELS, FACE)
    miss = measured(ExpressionMeasure(), Sample(view, view, View(PIXELS, None)))
    assert all(grimace[name] <= miss[name] for name in miss)


def test_what_is_no_face_is_refused():
    with pytest.raises(ValueError, match="show no face"):
        expression_features(np.ones((68, 2)))
    view = View(PIXELS, FACE)
    with pytest.raises(ValueError, match="no face"):
        ExpressionMeasure()(Sample(view, view, View(PIXELS, None)))
