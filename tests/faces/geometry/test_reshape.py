"""A photograph's face with its features in other places: what moves, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylegan_swap.faces.detection.detect import Face, detect_faces, largest_face
from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE
from stylegan_swap.faces.geometry.align import Alignment
from stylegan_swap.faces.geometry.face_shape import shaped_landmarks
from stylegan_swap.faces.geometry.reshape import reshaped, reshaping
from stylegan_swap.methods.default.shaped_attribute import with_features_of


def moved(points: np.ndarray, rows: slice, by: tuple[float, float]) -> np.ndarray:
    wanted = points.copy()
    wanted[rows] += by
    return wanted


def test_landmarks_are_found_where_they_were_wanted(astronaut: np.ndarray, astronaut_face: Face) -> None:
    points = astronaut_face.landmarks
    eyes = float(np.linalg.norm(points[RIGHT_EYE].mean(0) - points[LEFT_EYE].mean(0)))
    wanted = moved(points, slice(48, 68), (0, -0.1 * eyes))
    wanted = moved(wanted, RIGHT_EYE, (0.05 * eyes, 0))
    found = largest_face(detect_faces(reshaped(astronaut, points, wanted))).landmarks
    before = np.linalg.norm(points - wanted, axis=1)[36:].mean()
    after = np.linalg.norm(found - wanted, axis=1)[36:].mean()
    assert after < 0.4 * before


def test_what_a_landmark_shows_goes_with_it(astronaut_face: Face) -> None:
    points = astronaut_face.landmarks
    pixels = np.full((512, 512, 3), 100, np.uint8)
    x, y = np.rint(points[30]).astype(int)
    pixels[y - 2 : y + 3, x - 2 : x + 3] = 200
    wanted = moved(points, slice(27, 36), (4.0, -3.0))
    spot = reshaped(pixels, points, wanted)[..., 0].astype(float) - 100
    rows, columns = np.mgrid[:512, :512]
    centre = np.array([(spot * columns).sum(), (spot * rows).sum()]) / spot.sum()
    np.testing.assert_allclose(centre - [x, y], [4, -3], atol=0.5)


def test_jaw_hair_and_background_stay(astronaut: np.ndarray, astronaut_face: Face) -> None:
    points = astronaut_face.landmarks
    wanted = moved(points, slice(17, 68), (3.0, -6.0))
    after = reshaped(astronaut, points, wanted)
    low, high = points.min(0), points.max(0)
    reach = round(0.35 * float((high - low).max()))
    outside = np.ones((512, 512), bool)
    outside[int(low[1]) - reach : int(high[1]) + reach, int(low[0]) - reach : int(high[0]) + reach] = False
    np.testing.assert_array_equal(after[outside], astronaut[outside])
    # Beyond the jaw the picture bends by a fraction of what moves inside.
    ripple = np.full((512, 512, 3), 0, np.uint8)
    ripple[:] = np.clip(2 * np.arange(512) - 320, 0, 255)[None, :, None]
    beside = np.abs(reshaped(ripple, points, wanted).astype(int) - ripple)
    for x, y in np.rint(points[2:15] + 0.1 * (points[2:15] - points[30])).astype(int):
        assert beside[y, x].max() <= 2


@pytest.mark.parametrize("corner", [(150, 60), (0, 0), (260, 120)])
def test_a_face_at_the_photos_edge(
    astronaut: np.ndarray, astronaut_face: Face, corner: tuple[int, int]
) -> None:
    left, top = corner
    part = np.ascontiguousarray(astronaut[top : top + 130, left : left + 110])
    points = astronaut_face.landmarks - np.array(corner, np.float32)
    after = reshaped(part, points, moved(points, slice(27, 36), (2.0, 2.0)))
    assert after.shape == part.shape
    whole = reshaped(
        astronaut, astronaut_face.landmarks, moved(astronaut_face.landmarks, slice(27, 36), (2.0, 2.0))
    )[top : top + 130, left : left + 110]
    np.testing.assert_array_equal(after[8:-8, 8:-8], whole[8:-8, 8:-8])


def test_nothing_is_copied_where_nothing_moves(astronaut: np.ndarray, astronaut_face: Face) -> None:
    points = astronaut_face.landmarks
    assert reshaped(astronaut, points, points) is astronaut
    assert reshaped(astronaut, points, points + 1e-5) is astronaut
    unknown = np.full_like(points, np.nan)
    assert reshaped(astronaut, unknown, unknown) is astronaut


def test_another_persons_features(astronaut: np.ndarray, astronaut_face: Face, hopper_face: Face) -> None:
    wanted = shaped_landmarks(hopper_face.landmarks, astronaut_face.landmarks)
    found = largest_face(detect_faces(reshaped(astronaut, astronaut_face.landmarks, wanted))).landmarks
    inside = slice(17, 68)
    off = np.linalg.norm(found - wanted, axis=1)[inside].mean()
    assert off < 0.7 * np.linalg.norm(found - astronaut_face.landmarks, axis=1)[inside].mean()


def test_floats_stay_floats_within_their_range(astronaut: np.ndarray, astronaut_face: Face) -> None:
    points = astronaut_face.landmarks
    wanted = moved(points, slice(27, 36), (2.5, 1.5))
    exact = reshaped(astronaut.astype(np.float32), points, wanted)
    assert exact.dtype == np.float32 and exact.min() >= 0 and exact.max() <= 255
    assert np.abs(exact - reshaped(astronaut, points, wanted)).max() <= 2.5


def test_faces_without_a_person_stay(astronaut_face: Face) -> None:
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    points = torch.from_numpy(astronaut_face.landmarks[None] / 8).expand(2, -1, -1)
    for people in (None, torch.full((2, 68, 2), torch.nan)):
        shaped = with_features_of(people, x, points, 1.0)
        assert shaped.image is x
        assert shaped.landmarks is points


def test_one_of_two_faces_moves(astronaut_face: Face, hopper_face: Face) -> None:
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    points = torch.from_numpy(np.stack([astronaut_face.landmarks / 8, hopper_face.landmarks / 8]))
    people = torch.stack([torch.full((68, 2), torch.nan), torch.from_numpy(astronaut_face.landmarks)])
    shaped, there = with_features_of(people, x, points, 1.0)[:2]
    torch.testing.assert_close(shaped[0], x[0], atol=1e-6, rtol=0)
    assert torch.equal(there[0], points[0])
    assert (there[1] - points[1]).abs().max() > 0.5
    assert (shaped[1] - x[1]).abs().max() > 0.1


def test_the_spline_of_a_crop_serves_the_photo(astronaut: np.ndarray, astronaut_face: Face) -> None:
    """Of an upright crop exactly; of a turned one but for the edge that stays, which turns with it."""
    points, target = astronaut_face.landmarks, moved(astronaut_face.landmarks, slice(27, 68), (3.0, -4.0))
    expected = reshaped(astronaut, points, target).astype(int)
    for matrix in ([[1.0, 0.0, -90.0], [0.0, 1.0, -20.0]], [[0.6, 0.1, 5.0], [-0.1, 0.6, 30.0]]):
        crop = Alignment(np.array(matrix), 256)
        move = reshaping(crop.to_crop(points), crop.to_crop(target), crop.size)
        assert move is not None
        change = np.abs(move.apply(astronaut, points, crop) - expected)
        assert change.max() <= 10 and np.mean(change > 1) < 1e-3
