"""Gaze on drawn eyes whose iris is known, and on photographs whose pixels are moved behind the lids."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from stylegan_swap.faces.geometry.align import resample
from stylegan_swap.faces.geometry.head_pose import MEAN_FACE
from stylegan_swap.metrics.gaze import WORST, GazeMeasure, iris_centre
from stylegan_swap.metrics.sample import Sample, View, measured

WIDTH = 60.0
# One open eye, 60 px from corner to corner, opening 0.37.
EYE = np.array([[0, 0], [18, -11], [42, -11], [60, 0], [42, 11], [18, 11]], float)
LEFT, RIGHT = np.array([100.0, 120.0]), np.array([240.0, 120.0])


def drawn(across=0.5, down=0.0, *, opening=1.0, highlight=False, skin=170) -> View:
    """Two eyes on a plain skin, irises at (across, down) of the eye box."""
    points = (MEAN_FACE[:, :2] * 2.0 + [230, 200]).astype(np.float32)
    pixels = np.full((300, 420, 3), skin, np.uint8)
    for rows, corner in ((slice(36, 42), LEFT), (slice(42, 48), RIGHT)):
        eye = EYE * [1, opening] + corner
        points[rows] = eye
        white = np.zeros(pixels.shape[:2], np.uint8)
        cv2.fillPoly(white, [np.rint(eye).astype(np.int32)], 255)
        inside = np.full_like(pixels, 225)
        centre = corner + WIDTH * np.array([across, down])
        middle = tuple(int(c) for c in np.rint(centre * 16))
        cv2.circle(inside, middle, 10 * 16, (60, 50, 40), -1, cv2.LINE_AA, 4)
        if highlight:
            cv2.circle(inside, middle, 2 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
        pixels[white > 0] = inside[white > 0]
    return View(pixels, points)


def error(result: View, attribute: View) -> float:
    return GazeMeasure()(Sample(attribute, attribute, result))["gaze_error"]


@pytest.mark.parametrize("across", [0.3, 0.4, 0.5, 0.62, 0.7])
def test_a_drawn_iris_is_found(across):
    for highlight in (False, True):
        view = drawn(across, highlight=highlight)
        found = iris_centre(view.pixels, view.landmarks[36:42])
        np.testing.assert_allclose(found, [across, 0], atol=0.035)


def test_a_highlight_on_its_rim_and_a_dark_corner_do_not_pull_the_iris():
    view = drawn(0.5)
    for corner in (LEFT, RIGHT):
        middle = corner + WIDTH * np.array([0.5, 0])
        cv2.circle(view.pixels, tuple(int(c) for c in middle + np.array([6, -4])), 4, (255, 255, 255), -1)
        speck = corner + WIDTH * np.array([0.17, 0])
        cv2.circle(view.pixels, tuple(int(c) for c in speck), 4, (20, 20, 20), -1)
    found = iris_centre(view.pixels, view.landmarks[36:42])
    assert np.linalg.norm(found - [0.5, 0]) < 0.025


def test_it_does_not_matter_how_the_eye_lies_in_the_photo():
    view = drawn(0.4)
    straight = iris_centre(view.pixels, view.landmarks[36:42])
    matrix = cv2.getRotationMatrix2D((210.0, 150.0), 30, 0.8)
    turned = cv2.warpAffine(view.pixels, matrix, (420, 300), flags=cv2.INTER_LINEAR)
    points = cv2.transform(view.landmarks[None], matrix)[0]
    np.testing.assert_allclose(iris_centre(turned, points[36:42]), straight, atol=0.03)


def test_the_error_is_the_distance_in_eye_widths():
    assert error(drawn(0.5), drawn(0.5)) == 0
    assert error(drawn(0.65), drawn(0.5)) == pytest.approx(0.15, abs=0.04)
    found = [error(drawn(across), drawn(0.4)) for across in (0.4, 0.45, 0.5, 0.6, 0.7)]
    assert found == sorted(found) and found[1] > 0


def test_shut_eyes():
    shut = drawn(0.5, opening=0.2)
    assert error(shut, drawn(0.5)) == WORST
    assert math.isnan(error(drawn(0.5), shut)) and math.isnan(error(shut, shut))


def test_small_eyes_are_undefined_and_one_eye_is_enough():
    view = drawn(0.4)
    tiny = View(view.pixels, view.landmarks * 0.15)
    assert iris_centre(tiny.pixels, tiny.landmarks[36:42]) is None
    assert math.isnan(error(view, tiny))

    # An eye just above the limit in one photo and just below it in the other is not a shut eye.
    def sized(width):
        scale = width / WIDTH
        matrix = np.array([[scale, 0, 0], [0, scale, 0]])
        small = resample(view.pixels, matrix, (math.ceil(420 * scale), math.ceil(300 * scale)))
        return View(np.rint(small).astype(np.uint8), (view.landmarks * scale).astype(np.float32))

    assert error(sized(9.5), sized(10.5)) < 0.1
    points = view.landmarks.copy()
    points[42:48, 1] = points[42, 1]
    wink = View(view.pixels, points)
    assert error(wink, wink) == 0
    assert error(view, wink) == 0  # the eye that is open in the attribute photo agrees


def test_photographs(astronaut, astronaut_face, hopper, hopper_face):
    for pixels, face in ((astronaut, astronaut_face), (hopper, hopper_face)):
        view = View(pixels, face.landmarks)
        assert error(view, view) == 0
    # The picture slides sideways behind fixed lids: so does the iris.
    width = float(np.linalg.norm(hopper_face.landmarks[39] - hopper_face.landmarks[36]))
    view = View(hopper, hopper_face.landmarks)
    found = [error(View(np.roll(hopper, k, axis=1), hopper_face.landmarks), view) for k in (0, 2, 4)]
    assert found == sorted(found)
    assert found[2] == pytest.approx(4 / width, rel=0.5)


def test_a_miss_is_worst():
    view = drawn()
    missed = Sample(view, view, View(view.pixels, None, "result.png"))
    assert measured(GazeMeasure(), missed) == {"gaze_error": WORST}
    with pytest.raises(ValueError, match=r"result\.png: no face"):
        GazeMeasure()(missed)
