"""Landmarks of one person as another's: what is the person's moves, pose and expression stay."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from stylegan_swap.faces.detection.detect import Face
from stylegan_swap.faces.detection.landmarks import LEFT_EYE, MIRRORED, NOSE, RIGHT_EYE, mouth_opening
from stylegan_swap.faces.geometry.align import ffhq_alignment, laid_onto
from stylegan_swap.faces.geometry.face_shape import FURTHEST, shaped_landmarks
from stylegan_swap.faces.geometry.head_pose import CAMERA_DISTANCE, MEAN_FACE
from stylegan_swap.metrics.expression import eye_opening


def seen(points: np.ndarray = MEAN_FACE, yaw: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """A head of about 300 pixels, from in front of it."""
    turned = points @ Rotation.from_euler("ZYX", [roll, yaw, 0], degrees=True).as_matrix().T
    flat = turned[:, :2] * CAMERA_DISTANCE / (CAMERA_DISTANCE + turned[:, 2:])
    return (2 * flat + 400).astype(np.float32)


def eye_distance(face: np.ndarray) -> float:
    return float(np.linalg.norm(face[RIGHT_EYE].mean(0) - face[LEFT_EYE].mean(0)))


def test_the_same_face_in_another_picture_stays(hopper_face: Face) -> None:
    points = hopper_face.landmarks
    turn = Rotation.from_euler("z", 30, degrees=True).as_matrix()[:2, :2]
    elsewhere = 2.5 * points @ turn.T + [40, -90]
    # Averaging with the mirror image makes the person symmetric, so a little moves.
    there = shaped_landmarks(elsewhere, points)
    expected = shaped_landmarks(points, points)
    np.testing.assert_allclose(there, expected, atol=0.03 * eye_distance(points))
    assert np.abs(there - points).max() < 0.08 * eye_distance(points)


def test_a_symmetric_face_stays_where_it_is() -> None:
    symmetric = (MEAN_FACE + MEAN_FACE[MIRRORED] * [-1, 1, 1]) / 2
    face = seen(symmetric)
    np.testing.assert_allclose(shaped_landmarks(0.3 * face, face), face, atol=0.1)


@pytest.mark.parametrize(("identity", "attribute"), [(25, -10), (0, 30), (-30, 30)])
def test_a_turned_head_is_not_another_shape(identity: float, attribute: float) -> None:
    # Undone, the turn would move the nose by half an eye's distance.
    face = seen(yaw=attribute)
    moved = np.abs(shaped_landmarks(seen(yaw=identity), face) - face).max()
    assert moved < 0.035 * eye_distance(seen())


def proportions(face: np.ndarray) -> np.ndarray:
    """How far apart the eyes are, and how low the nose ends, by the height from eyes to mouth."""
    eyes = (face[RIGHT_EYE].mean(0) + face[LEFT_EYE].mean(0)) / 2
    down = face[48:68].mean(0) - eyes
    height = float(np.linalg.norm(down))
    return np.array([eye_distance(face), float((face[33] - eyes) @ down) / height]) / height


@pytest.mark.parametrize(
    ("rows", "by", "changes"),
    [(RIGHT_EYE, (4, 0), 0), (LEFT_EYE, (-4, 0), 0), (slice(31, 36), (0, 4), 1), (slice(48, 68), (0, 5), 0)],
    ids=["right eye", "left eye", "nose", "mouth"],
)
def test_proportions_are_the_persons(rows: slice, by: tuple[float, float], changes: int) -> None:
    person = MEAN_FACE.copy()
    person[rows] += (*by, 0)
    if by[0]:
        # The other eye likewise: faces are about symmetric.
        person[LEFT_EYE if rows == RIGHT_EYE else RIGHT_EYE] -= (*by, 0)
    before = seen()
    after = shaped_landmarks(seen(person), before)
    gone = proportions(after) - proportions(shaped_landmarks(before, before))
    wanted = proportions(seen(person)) - proportions(before)
    # Some of it is taken for a nod.
    assert 0.4 < gone[changes] / wanted[changes] < 1.05
    np.testing.assert_array_equal(after[:17], before[:17])


@pytest.mark.parametrize("yaw", [-20.0, 0.0, 30.0])
def test_an_aligned_crop_shows_the_features_where_it_did(hopper_face: Face, yaw: float) -> None:
    here = seen(yaw=yaw, roll=10)
    after = shaped_landmarks(hopper_face.landmarks, here)
    assert np.abs(after - here)[17:].max() > 0.05 * eye_distance(here)
    np.testing.assert_allclose(
        ffhq_alignment(after, 256).to_crop(here), ffhq_alignment(here, 256).to_crop(here), atol=0.02
    )


def test_lids_lips_and_corners_keep_the_expression() -> None:
    person = MEAN_FACE.copy()
    person[[37, 38, 43, 44]] -= [0, 5, 0]
    person[55:60] += [0, 12, 0]
    person[65:68] += [0, 12, 0]
    person[[48, 54, 60, 64]] -= [0, 6, 0]
    here = seen()
    after = shaped_landmarks(seen(person), here)
    assert eye_opening(after[LEFT_EYE]) == pytest.approx(eye_opening(here[LEFT_EYE]), rel=1e-4)
    # Larger or smaller with the face, the inner lips and the corners are the same.
    kept = [48, 54, *range(60, 68)]
    np.testing.assert_allclose(laid_onto(after[kept], after[kept], here[kept]), here[kept], atol=1e-2)
    assert mouth_opening(seen(person)) > mouth_opening(here) + 0.1


@pytest.mark.parametrize("roll", [-45, 40, 90])
def test_a_rolled_face_gets_the_same_features_rolled(roll: float) -> None:
    person = MEAN_FACE * [1.05, 1, 1]
    person[NOSE] += [0, 4, 0]
    person[17:27] -= [0, 5, 0]
    person[50:53] -= [0, 3, 0]
    upright = shaped_landmarks(seen(person), seen()) - 400
    turn = Rotation.from_euler("z", roll, degrees=True).as_matrix()[:2, :2]
    rolled = shaped_landmarks(seen(person), seen(roll=roll)) - 400
    np.testing.assert_allclose(rolled, upright @ turn.T, atol=0.5)


def test_the_share_is_a_dial_and_nothing_moves_far() -> None:
    person = MEAN_FACE.copy()
    person[48:68] += [0, 60, 0]
    here = seen()
    whole, half, none = (shaped_landmarks(seen(person), here, share) for share in (1.0, 0.5, 0.0))
    np.testing.assert_array_equal(none, here)
    assert np.linalg.norm(whole - here, axis=1).max() == pytest.approx(
        FURTHEST * eye_distance(here), rel=0.01
    )
    assert 0 < np.abs(half - here)[NOSE].max() < np.abs(whole - here)[NOSE].max()


def test_a_face_without_a_pose_stays() -> None:
    behind = seen() * [1, -1]
    np.testing.assert_array_equal(shaped_landmarks(behind, seen()), seen())


def test_landmarks_that_say_nothing_move_nothing() -> None:
    here, one_place = seen(), np.full((68, 2), 7, np.float32)
    unknown = np.full((68, 2), np.nan, np.float32)
    for identity in (one_place, unknown):
        np.testing.assert_array_equal(shaped_landmarks(identity, here), here)
    for attribute in (one_place, unknown):
        np.testing.assert_array_equal(shaped_landmarks(here, attribute), attribute)
    shut = here.copy()
    shut[36] = shut[39]
    assert np.isfinite(shaped_landmarks(seen(MEAN_FACE * [1.1, 1, 1]), shut)).all()
