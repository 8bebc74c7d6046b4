"""Head pose: known rotations come back, turned pictures are measured, mirrored solutions are flagged."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from stylegan_swap.faces.detection.landmarks import roll_of
from stylegan_swap.faces.geometry.head_pose import MEAN_FACE, Pose, head_pose
from stylegan_swap.metrics.pose import PoseMeasure, frontal_bias, geodesic
from stylegan_swap.metrics.sample import Sample, View, look, measured

PIXELS = np.zeros((4, 4, 3), np.uint8)


def seen(yaw=0.0, pitch=0.0, roll=0.0, *, noise=0.0, seed=0, head=MEAN_FACE) -> np.ndarray:
    """Landmarks of a head that is turned like that, in a photo of a camera one metre away."""
    rotation = Rotation.from_euler("ZYX", [roll, -yaw, -pitch], degrees=True)
    points = rotation.apply(head) + np.array([0, 0, 1000])
    projected = 1500 * points[:, :2] / points[:, 2:] + [300, 200]
    return projected + np.random.default_rng(seed).normal(0, noise, (68, 2))


def view(landmarks: np.ndarray, person: str = "") -> View:
    return View(PIXELS, landmarks.astype(np.float32), person, person)


def errors(result: np.ndarray, attribute: np.ndarray) -> dict[str, float]:
    return PoseMeasure()(Sample(view(attribute), view(attribute), view(result)))


def test_a_known_head_comes_back():
    for angles in (
        (0, 0, 0),
        (20, 0, 0),
        (-20, 0, 0),
        (0, 15, 0),
        (0, -15, 0),
        (0, 0, 30),
        (0, 0, 170),
        (25, -10, 15),
    ):
        pose = head_pose(seen(*angles))
        np.testing.assert_allclose([pose.yaw, pose.pitch, pose.roll], angles, atol=0.5)
        assert not pose.flipped


def test_the_signs_are_those_of_the_picture():
    nose, between_the_eyes = 30, 27
    right, up = seen(yaw=20), seen(pitch=15)
    assert right[nose, 0] > right[between_the_eyes, 0] + 5
    assert up[nose, 1] < seen()[nose, 1] - 5
    assert head_pose(seen(roll=25)).roll == pytest.approx(roll_of(seen(roll=25)), abs=1)


def test_size_and_place_in_the_photo_do_not_matter():
    points = seen(15, 5, -8)
    here, there = head_pose(points), head_pose(3.7 * points + [900, -40])
    assert geodesic(here, there) < 1e-3


def test_one_axis_at_a_time():
    still = seen(5, -3, 2)
    for turned, name, other in (
        (seen(15, -3, 2), "yaw_error", "pitch_error"),
        (seen(5, 7, 2), "pitch_error", "yaw_error"),
        (seen(5, -3, 12), "roll_error", "yaw_error"),
    ):
        found = errors(turned, still)
        assert found[name] == pytest.approx(10, abs=0.4) and found[other] < 0.4
        assert found["pose_error"] == pytest.approx(10, abs=0.4)


def test_a_copy_has_no_error_and_larger_turns_have_larger_ones():
    points = seen(8, 4, 1, noise=1.0)
    assert all(value == pytest.approx(0, abs=1e-4) for value in errors(points, points).values())
    found = [errors(seen(yaw), seen())["pose_error"] for yaw in (0, 2, 5, 10, 20, 35)]
    assert found == sorted(found) and found[0] == pytest.approx(0, abs=1e-4)


def test_roll_is_measured_across_the_jump_at_half_a_turn():
    found = errors(seen(roll=-175), seen(roll=175))
    assert found["roll_error"] == pytest.approx(10, abs=0.1) == found["pose_error"]


@pytest.mark.parametrize("angle", [-20, 10, 30])
def test_a_turned_photo_is_turned_by_that_angle(hopper, hopper_face, angle):
    centre = tuple(float(c) for c in hopper_face.landmarks.mean(0))
    matrix = cv2.getRotationMatrix2D(centre, -angle, 1.0)
    turned = cv2.warpAffine(hopper, matrix, (512, 600), borderMode=cv2.BORDER_REPLICATE)
    attribute = View(hopper, hopper_face.landmarks)
    exact = View(hopper, cv2.transform(hopper_face.landmarks[None], matrix)[0])
    by_points = PoseMeasure()(Sample(attribute, attribute, exact))
    assert by_points["roll_error"] == pytest.approx(abs(angle), abs=0.01)
    assert by_points["pitch_error"] < 0.01 and by_points["pose_error"] == pytest.approx(abs(angle), abs=0.01)
    found = PoseMeasure()(Sample(attribute, attribute, look(turned)))
    assert found["roll_error"] == pytest.approx(abs(angle), abs=2.5)


def test_a_frontal_face_flips_only_without_the_guess():
    # Faces of other shapes than the mean, as all faces are.
    shapes = np.random.default_rng(3).normal(0, 1, (60, 68, 3)) * [3, 4, 6]
    faces = [
        seen(*np.random.default_rng(i).normal(0, 3, 3), head=MEAN_FACE + s) for i, s in enumerate(shapes)
    ]
    with_guess = [head_pose(face) for face in faces]
    without = [head_pose(face, initial_guess=False) for face in faces]
    assert not any(pose.flipped for pose in with_guess)
    assert sum(pose.flipped for pose in without) > 0
    assert max(abs(pose.roll) for pose in with_guess) < 20


def test_a_flipped_solution_is_the_worst_and_no_pose(monkeypatch):
    behind = Pose(np.eye(3), 0.0, 0.0, 180.0, True)
    monkeypatch.setattr("stylegan_swap.metrics.pose.head_pose", lambda points: behind)
    found = errors(seen(), seen())
    assert set(found.values()) == {180.0}


def test_a_head_that_is_upside_down_against_its_eyes_is_flipped(monkeypatch):
    place = np.array([[0.0], [0.0], [1000.0]])
    for turn, expected in (([0, 0, 0.3], False), ([0, 0, 3.0], True), ([0, 3.0, 0], True)):
        answer = (True, np.array(turn, float).reshape(3, 1), place)
        monkeypatch.setattr(cv2, "solvePnP", lambda *a, answer=answer, **k: answer)
        assert head_pose(seen()).flipped is expected
    monkeypatch.setattr(cv2, "solvePnP", lambda *a, **k: (True, np.zeros((3, 1)), -place))
    assert head_pose(seen()).flipped


def test_the_shape_of_a_face_is_not_its_pitch():
    # A longer nose and a shorter chin look like nodding.
    other = MEAN_FACE.copy()
    other[5:12, 1] -= 12
    other[30:36, 1] += 6
    own = MEAN_FACE.copy()
    own[30:36, 1] -= 6
    bias = frontal_bias([view(seen(head=h), p) for h, p in ((own, "a"), (other, "b"), (other, "b"))])
    assert set(bias) == {"a", "b"} and bias["a"] * bias["b"] < 0 and abs(bias["a"]) > 1 < abs(bias["b"])
    assert frontal_bias([view(seen(), "c")])["c"] == pytest.approx(0, abs=0.2)
    measure = PoseMeasure(bias)
    sample = Sample(view(seen(), "b"), view(seen(10, 6, head=own), "a"), view(seen(10, 6, head=other)))
    found = measure(sample)
    assert set(found) == {column.name for column in measure.columns}
    assert found["pitch_error"] > 2 > 1 > found["pitch_error_corrected"]
    unknown = measure(Sample(view(seen(), "zoe"), sample.attribute, sample.result))
    assert math.isnan(unknown["pitch_error_corrected"]) and unknown["pitch_error"] == found["pitch_error"]
    assert "pitch_error_corrected" not in errors(seen(), seen())


def test_what_is_no_face_is_refused_and_a_miss_is_worst():
    with pytest.raises(ValueError, match="in one place"):
        head_pose(np.ones((68, 2)))
    with pytest.raises(ValueError, match="68 finite points"):
        head_pose(np.full((68, 2), np.nan))
    with pytest.raises(ValueError, match="68 finite points"):
        head_pose(np.ones((5, 2)))
    with pytest.raises(ValueError, match="needs a person's name"):
        frontal_bias([view(seen())])
    missed = Sample(view(seen()), view(seen()), View(PIXELS, None))
    assert set(measured(PoseMeasure(), missed).values()) == {180.0}
    with pytest.raises(ValueError, match="no face"):
        PoseMeasure()(missed)
