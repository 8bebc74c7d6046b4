"""The morph shows somebody else with the same expression, and touches nothing outside the face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stylegan_swap.faces.detection.landmarks import landmarks_of_crop, mouth_opening
from stylegan_swap.faces.masks.mask import hull_mask, reach_mask
from stylegan_swap.faces.pixels.colour import is_gray
from stylegan_swap.metrics.expression import eye_opening
from stylegan_swap.metrics.identity import DlibRecogniser
from stylegan_swap.metrics.sample import View
from stylegan_swap.training.data.morph import FALL_OFF, Portrait, blended_shape, morphed

FULL = {"shape": 1.0, "texture": 1.0}


def seen(face: Portrait) -> View:
    return View(np.rint(face.image).astype(np.uint8), face.landmarks)


@pytest.fixture(scope="module")
def swapped(astronaut_portrait, hopper_portrait):
    return morphed(astronaut_portrait, [hopper_portrait], np.ones(1), **FULL)


def test_far_from_the_face_not_one_pixel_changes(astronaut_portrait, swapped):
    size = len(swapped.image)
    near = np.maximum(
        hull_mask(swapped.landmarks, size), reach_mask(swapped.landmarks, size, margin=FALL_OFF + 0.01)
    )
    np.testing.assert_array_equal(swapped.image[near == 0], astronaut_portrait.image[near == 0])
    assert (near == 0).mean() > 0.3
    inside = hull_mask(swapped.landmarks, size, 0.2) > 0.9
    assert np.abs(swapped.image - astronaut_portrait.image)[inside].mean() > 5


def test_without_strength_the_photo_stays(astronaut_portrait, hopper_portrait):
    still = morphed(astronaut_portrait, [hopper_portrait], np.ones(1), shape=0.0, texture=0.0)
    np.testing.assert_allclose(still.landmarks, astronaut_portrait.landmarks, atol=1e-3)
    # The map misses whole pixels by the rounding of single precision.
    assert np.abs(still.image - astronaut_portrait.image).max() < 2.0


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_mouth_and_lids_stay_as_open(astronaut_portrait, hopper_portrait, share):
    for own, other in (
        (astronaut_portrait.landmarks, hopper_portrait.landmarks),
        (hopper_portrait.landmarks, astronaut_portrait.landmarks),
    ):
        shape = blended_shape(own.astype(float), other.astype(float), share)
        assert mouth_opening(shape) == pytest.approx(mouth_opening(own), rel=0.03)
        for eye in (slice(36, 42), slice(42, 48)):
            assert eye_opening(shape[eye]) == pytest.approx(eye_opening(own[eye]), rel=1e-3)
        moved = np.linalg.norm(shape - own, axis=1)
        assert moved[27:36].mean() > 0.5 and moved[17:27].mean() > 0.5


def test_the_corners_of_the_lips_keep_their_lift(astronaut_portrait, hopper_portrait):
    own = astronaut_portrait.landmarks.astype(float)
    shape = blended_shape(own, hopper_portrait.landmarks.astype(float), 1.0)

    def lift(p):
        between = np.linalg.norm(p[42:48].mean(0) - p[36:42].mean(0))
        return ((p[62, 1] + p[66, 1]) / 2 - (p[48, 1] + p[54, 1]) / 2) / between

    assert lift(shape) == pytest.approx(lift(own), abs=0.01)


def test_the_landmarks_returned_are_those_of_the_picture(swapped):
    found = landmarks_of_crop(swapped.image)
    assert np.linalg.norm(found - swapped.landmarks, axis=1)[17:].mean() < 4.0


def test_partners_are_mixed(astronaut_portrait, hopper_portrait):
    double = Portrait(255 - hopper_portrait.image, hopper_portrait.landmarks)
    both = morphed(astronaut_portrait, [hopper_portrait, double], np.array([0.5, 0.5]), **FULL)
    one = morphed(astronaut_portrait, [hopper_portrait], np.ones(1), **FULL)
    np.testing.assert_allclose(both.landmarks, one.landmarks, atol=1e-3)
    assert np.abs(both.image - one.image).mean() > 0.1


def test_the_light_stays(astronaut_portrait, hopper_portrait):
    """A photo lit from the left gives a morph lit from the left, whatever the partner's light."""
    slope = np.linspace(1.0, 0.35, 256, dtype=np.float32)[None, :, None]
    lit = Portrait(astronaut_portrait.image * slope, astronaut_portrait.landmarks)
    ratios = []
    for image in (lit.image, morphed(lit, [hopper_portrait], np.ones(1), shape=0.0, texture=1.0).image):
        left, right = (image[120:170, columns].mean() for columns in (slice(85, 115), slice(145, 175)))
        ratios.append(left / right)
    assert ratios[0] > 1.25
    assert ratios[1] == pytest.approx(ratios[0], rel=0.2)


def test_black_and_white_stays_black_and_white(astronaut_portrait, hopper_portrait):
    gray = cv2.cvtColor(astronaut_portrait.image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, -1)
    assert is_gray(gray) and not is_gray(astronaut_portrait.image)
    result = morphed(Portrait(gray, astronaut_portrait.landmarks), [hopper_portrait], np.ones(1), **FULL)
    assert np.ptp(result.image, axis=-1).max() < 3


def test_it_is_somebody_else(astronaut_portrait, swapped):
    recogniser = DlibRecogniser()
    first, last = (recogniser.embed(seen(face)) for face in (astronaut_portrait, swapped))
    assert recogniser.distance(first, last) > 0.35


@pytest.mark.faces
@pytest.mark.slow
def test_most_morphs_are_other_people(faces_folder):
    """By dlib's own threshold of 0.6, on validation people of one studio."""
    from stylegan_swap.training.data.likeness import Likeness
    from stylegan_swap.training.data.photos import Photos

    photos = Photos.from_folder(faces_folder, split="val")
    likeness, recogniser, rng = Likeness(photos), DlibRecogniser(), np.random.default_rng(0)

    def portrait(number):
        return Portrait(photos.image(number).astype(np.float32), photos.landmarks(number))

    distances = []
    for number in range(0, len(photos), 6):
        face = portrait(number)
        other = portrait(likeness.partners(number, 1, rng)[0])
        result = morphed(face, [other], np.ones(1), **FULL)
        vectors = [recogniser.embed(seen(one)) for one in (face, result)]
        distances.append(recogniser.distance(*vectors))
    assert np.median(distances) > 0.6 and np.mean(np.array(distances) > 0.45) > 0.9
