"""Another view of a face: turned by the angle that was asked for, mirrored, smiling, and aligned again."""

from __future__ import annotations

import numpy as np
import pytest

from stylegan_swap.faces.detection.landmarks import landmarks_of_crop, mouth_opening
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.geometry.head_pose import head_pose
from stylegan_swap.training.data.head_turn import (
    Expressions,
    another_view,
    in_pixels,
    mirrored,
    turned_landmarks,
)


def test_no_turn_is_the_photo_itself(astronaut_portrait):
    assert another_view(astronaut_portrait) is astronaut_portrait
    np.testing.assert_allclose(
        turned_landmarks(astronaut_portrait.landmarks, 0, 0), astronaut_portrait.landmarks, atol=1e-3
    )


@pytest.mark.parametrize(("yaw", "pitch"), [(20, 0), (-20, 0), (0, 12), (0, -12), (15, -8)])
def test_landmarks_turn_by_the_angle(astronaut_portrait, hopper_portrait, yaw, pitch):
    for face in (astronaut_portrait, hopper_portrait):
        before = head_pose(face.landmarks)
        after = head_pose(turned_landmarks(face.landmarks, yaw, pitch))
        assert after.yaw - before.yaw == pytest.approx(yaw, abs=3.5)
        assert after.pitch - before.pitch == pytest.approx(pitch, abs=4.0)


def test_the_nose_turns_to_the_right_of_the_picture(astronaut_portrait):
    points = astronaut_portrait.landmarks
    turned = turned_landmarks(points, 20, 0)

    def nose_between_the_eyes(p):
        left, right = p[36, 0], p[45, 0]
        return (p[30, 0] - left) / (right - left)

    assert nose_between_the_eyes(turned) > nose_between_the_eyes(points) + 0.08
    raised = turned_landmarks(points, 0, 12)
    assert raised[30, 1] - raised[27, 1] < points[30, 1] - points[27, 1]


def test_the_picture_shows_what_the_landmarks_say(astronaut_portrait):
    view = another_view(astronaut_portrait, yaw=18)
    found = head_pose(landmarks_of_crop(view.image)).yaw - head_pose(astronaut_portrait.landmarks).yaw
    assert found == pytest.approx(18, abs=6)


def test_the_view_is_aligned_again(astronaut_portrait):
    """The crop that the new landmarks ask for is the picture itself, as the photo's was."""
    view = another_view(astronaut_portrait, yaw=20, pitch=8)
    for face in (astronaut_portrait, view):
        matrix = ffhq_alignment(face.landmarks, 256).matrix
        np.testing.assert_allclose(matrix[:, :2], np.eye(2), atol=0.01)
        np.testing.assert_allclose(matrix[:, 2], 0, atol=1.0)


def test_the_frame_is_applied_last(astronaut_portrait):
    shifted = another_view(astronaut_portrait, frame=np.array([[1.0, 0, 6], [0, 1, -4]]))
    np.testing.assert_allclose(shifted.landmarks, astronaut_portrait.landmarks + np.array([6, -4]), atol=1e-3)
    inside = (slice(40, 200), slice(40, 200))
    np.testing.assert_allclose(shifted.image[inside], astronaut_portrait.image[44:204, 34:194], atol=6)


def test_the_mirror_reorders_the_landmarks(astronaut_portrait):
    mirror = mirrored(astronaut_portrait)
    points = mirror.landmarks
    assert points[36, 0] < points[45, 0] and points[0, 0] < points[16, 0]
    np.testing.assert_allclose(points[36], astronaut_portrait.landmarks[45] * [-1, 1] + [255, 0], atol=1e-3)
    np.testing.assert_allclose(mirrored(mirror).landmarks, astronaut_portrait.landmarks, atol=1e-3)
    np.testing.assert_array_equal(mirrored(mirror).image, astronaut_portrait.image)


def test_expressions_come_from_pairs_of_photos(few_photos):
    """Eileen's two photos are each other's mirror: her move is small, and there is no second pair."""
    expressions = Expressions(few_photos)
    assert expressions.moves.shape == (1, 68, 2)
    rng = np.random.default_rng(0)
    assert expressions.draw(few_photos.landmarks(0), rng).shape == (68, 2)
    none = Expressions(type(few_photos)(few_photos.crops[2:]))
    assert none.draw(few_photos.landmarks(0), rng) is None


def test_a_smile_widens_the_mouth_but_opens_no_lips(hopper_portrait):
    move = np.zeros((68, 2))
    move[[48, 60], 0], move[[54, 64], 0] = -0.1, 0.1
    view = another_view(hopper_portrait, expression=move)

    def width(p):
        return np.linalg.norm(p[54] - p[48]) / np.linalg.norm(p[45] - p[36])

    assert width(view.landmarks) > 1.08 * width(hopper_portrait.landmarks)
    assert mouth_opening(view.landmarks) == pytest.approx(mouth_opening(hopper_portrait.landmarks), abs=0.01)
    between = np.linalg.norm(hopper_portrait.landmarks[45] - hopper_portrait.landmarks[36])
    assert 0.04 * between < np.abs(in_pixels(move, hopper_portrait.landmarks)).max() < 0.12 * between
