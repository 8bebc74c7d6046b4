"""Faces of all sizes and turns: crowds, heads on their side, small faces in large photos."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stylegan_swap.errors import NoFaceError
from stylegan_swap.faces.detection import detect
from stylegan_swap.faces.detection.centerface import face_centres, roll_of_five, upright
from stylegan_swap.faces.detection.detect import detect_faces, largest_face, roll_of
from stylegan_swap.faces.geometry.align import transformed
from tests.faces.detection.turning import turned


def error_of(landmarks: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in distances between the eyes."""
    eyes = np.linalg.norm(truth[36:42].mean(0) - truth[42:48].mean(0))
    return float(np.linalg.norm(landmarks - truth, axis=1).mean() / eyes)


def crowd(astronaut, hopper, rows: int, columns: int, side: int, canvas: tuple[int, int]) -> np.ndarray:
    """People in rows on grey: heads cut out of two photos, their faces about half of ``side`` wide."""
    height, width = canvas
    picture = np.full((height, width, 3), 128, np.uint8)
    heads = (astronaut[0:250, 100:350], hopper[50:400, 70:420])
    for number in range(rows * columns):
        head = cv2.resize(heads[number % 2], (side, side), interpolation=cv2.INTER_AREA)
        y = round((number // columns + 0.5) * height / rows - side / 2)
        x = round((number % columns + 0.5) * width / columns - side / 2)
        picture[y : y + side, x : x + side] = head
    return picture


@pytest.mark.parametrize("who", ["astronaut", "hopper"])
@pytest.mark.parametrize("angle", [30, -45, 60, 90, -90, 135, 180])
def test_landmarks_of_a_turned_head_lie_where_it_lies(request, who, angle):
    pixels, truth = request.getfixturevalue(who), request.getfixturevalue(f"{who}_face").landmarks
    picture, matrix = turned(pixels, angle, cv2.BORDER_CONSTANT)
    expected = transformed(truth, matrix)
    face = largest_face(detect_faces(picture))
    assert error_of(face.landmarks, expected) < 0.06
    assert abs((roll_of(face.landmarks) - roll_of(expected) + 180) % 360 - 180) < 5


@pytest.mark.parametrize(
    ("rows", "columns", "side", "canvas"),
    [
        # 24 megapixels with faces of about 90 px; a panorama; faces of 40 px in 2 megapixels.
        (4, 4, 200, (4000, 6000)),
        (1, 6, 200, (1000, 8000)),
        (3, 5, 80, (1080, 1920)),
    ],
)
def test_crowds_are_seen_whole(astronaut, hopper, rows, columns, side, canvas):
    picture = crowd(astronaut, hopper, rows, columns, side, canvas)
    faces = detect_faces(picture, thorough=True)
    assert len(faces) == rows * columns
    centres = sorted((round(face.box[0] + face.box[2]) // 2 * columns // canvas[1]) for face in faces)
    assert centres == sorted(list(range(columns)) * rows)
    if picture.size < 3 * 8_300_000:  # as frames of clips have them
        assert len(detect_faces(picture, thorough=True, quick=True)) == rows * columns


def test_a_small_face_in_a_large_photo_is_seen_without_being_asked_for(astronaut):
    picture = np.full((3000, 4000, 3), 90, np.uint8)
    picture[2000:2128, 500:628] = cv2.resize(
        astronaut[0:250, 100:350], (128, 128), interpolation=cv2.INTER_AREA
    )
    faces = detect_faces(picture)
    assert len(faces) == 1 and 32 < faces[0].side < 80
    assert 500 < faces[0].box[0] < faces[0].box[2] < 628


def test_an_upright_face_keeps_the_landmarks_of_the_better_box(astronaut, hopper, monkeypatch):
    for pixels in (astronaut, hopper):
        face = largest_face(detect_faces(pixels))
        with monkeypatch.context() as patch:
            patch.setattr(detect, "centerface_file", lambda: None)
            alone = largest_face(detect_faces(pixels))
        assert face.found_by == "HOG" and np.array_equal(face.landmarks, alone.landmarks)
        # A look at a frame of a clip is the network's alone, and close to it.
        assert error_of(largest_face(detect_faces(pixels, quick=True)).landmarks, alone.landmarks) < 0.04


def test_five_points_turn_with_the_head(hopper, hopper_face):
    for angle in (0, 90, 180, 270):
        picture, matrix = turned(hopper, angle, cv2.BORDER_CONSTANT)
        truth = transformed(hopper_face.landmarks, matrix)
        centre = upright(picture, face_centres(picture)[0])
        assert abs((roll_of_five(centre.points) - roll_of(truth) + 180) % 360 - 180) < 8
        eyes = np.stack([truth[36:42].mean(0), truth[42:48].mean(0)])
        distance = np.linalg.norm(eyes[0] - eyes[1])
        assert np.linalg.norm(centre.points[:2] - eyes, axis=1).max() < 0.25 * distance


def test_landmarks_that_miss_what_was_seen_are_refused(hopper):
    class Lost:
        name = "lost"

        def __call__(self, pixels, box):
            grid = np.linspace(0, pixels.shape[0] / 3, 68)
            return np.stack([grid, grid[::-1]], 1).astype(np.float32)

    with pytest.raises(NoFaceError, match="CenterFace"):
        detect_faces(hopper, landmarks=Lost(), quick=True)


def test_noise_has_no_face():
    noise = np.random.default_rng(0).integers(0, 256, (540, 960, 3), np.uint8)
    assert face_centres(noise, 32) == []
    with pytest.raises(NoFaceError, match="CenterFace"):
        detect_faces(noise, quick=True)
