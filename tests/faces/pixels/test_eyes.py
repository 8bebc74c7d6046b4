"""Eyeballs: lightness of the photo between the lids, colour of the swap, nothing elsewhere."""

import cv2
import numpy as np
import pytest

from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.masks.mask import eye_masks
from stylegan_swap.faces.pixels.colour import LUMA
from stylegan_swap.faces.pixels.eyes import SHARE, with_eyes_of

SIDE, UNIT = 256, 2.0


@pytest.fixture(scope="module")
def face(astronaut, astronaut_face):
    place = ffhq_alignment(astronaut_face.landmarks, SIDE)
    return place.crop(astronaut), place.to_crop(astronaut_face.landmarks)


def eyeballs(points):
    """Well between the lids."""
    return cv2.erode((eye_masks(points, SIDE) > 0.99).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def test_gaze_and_light_come_from_the_photo_and_colour_stays(face):
    photo, points = face
    # Eyes of half the contrast, mirrored, on a blue face.
    drawn = 0.5 * (photo[:, ::-1] @ np.array(LUMA, np.float32))[..., None]
    blue = np.ascontiguousarray(drawn + np.array([40, 50, 100], np.float32))
    result = with_eyes_of(blue, photo, points, UNIT)
    inside = eyeballs(points)
    assert inside.sum() > 40
    ours, theirs = (image @ np.array(LUMA) for image in (result, photo))
    mixed = SHARE * theirs[inside] + (1 - SHARE) * (blue @ np.array(LUMA))[inside]
    assert np.abs(ours[inside] - mixed).mean() < 5
    assert np.corrcoef(ours[inside], theirs[inside])[0, 1] > 0.9
    # Blue by as much as before.
    colour = result - ours[..., None]
    assert np.allclose(colour, blue - (blue @ np.array(LUMA))[..., None], atol=0.5)


def test_a_face_without_eyes_gets_none(face):
    photo, points = face
    flat = np.full_like(photo, 120.0)
    assert np.abs(with_eyes_of(flat, photo, points, UNIT) - flat).max() < 1e-3


def test_nothing_changes_outside_the_lids(face):
    photo, points = face
    swap = np.ascontiguousarray(photo[:, ::-1])
    away = eye_masks(points, SIDE, 0.04) == 0
    assert np.abs(with_eyes_of(swap, photo, points, UNIT) - swap)[away].max() < 1e-3


def test_colours_that_run_are_averaged(face):
    photo, points = face
    inside = eyeballs(points)
    spotted = photo.copy()
    rows, columns = np.nonzero(inside)
    cv2.circle(spotted, (int(columns[0]) + 4, int(rows[0])), 2, (255.0, 40.0, 40.0), -1)
    red = [
        (image[..., 0] - image @ np.array(LUMA))[inside].max()
        for image in (spotted, with_eyes_of(spotted, photo, points, UNIT))
    ]
    assert red[1] < 0.6 * red[0]
