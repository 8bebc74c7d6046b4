"""Colour matching: the skin's mean and spread arrive, gray stays gray, and teeth stay white."""

from __future__ import annotations

import numpy as np
import pytest

from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.masks.mask import soft_mask
from stylegan_swap.faces.pixels.colour import colourfulness, from_lab, match_colour, to_lab


@pytest.fixture(scope="module")
def crops(astronaut, astronaut_face, hopper, hopper_face):
    """Both faces at 256 px and a mask of skin common to both."""
    made, masks = [], []
    for pixels, face in ((astronaut, astronaut_face), (hopper, hopper_face)):
        alignment = ffhq_alignment(face.landmarks, 256)
        made.append(alignment.crop(pixels))
        masks.append(soft_mask(alignment.to_crop(face.landmarks), 256, forehead=0.2))
    return *made, np.minimum(*masks)


def mean(image, mask):
    lab = to_lab(image)
    return (lab * mask[..., None]).sum((0, 1)) / mask.sum()


@pytest.mark.parametrize("swapped", [False, True])
def test_the_mean_under_the_mask_arrives(crops, swapped):
    image, reference, mask = (crops[1], crops[0], crops[2]) if swapped else crops
    before = np.abs(mean(image, mask) - mean(reference, mask))
    matched = match_colour(image, reference, mask)
    after = np.abs(mean(matched, mask) - mean(reference, mask))
    assert before.max() > 4
    assert after[0] < 1.5 and after[1:].max() < 2.5
    assert matched.dtype == np.float32 and matched.min() >= 0 and matched.max() <= 255


def test_the_spread_of_lightness_is_matched_within_its_bounds(crops):
    image, _, mask = crops
    lab = to_lab(image)
    for factor, expected in ((0.8, 0.8), (0.2, 0.65)):
        flat = lab.copy()
        flat[..., 0] = 50 + (lab[..., 0] - mean(image, mask)[0]) * factor
        matched = to_lab(match_colour(image, from_lab(flat), mask))[..., 0]
        inside = mask > 0.9
        assert matched[inside].std() / lab[..., 0][inside].std() == pytest.approx(expected, rel=0.05)


def test_a_face_matched_to_itself_stays_the_same(crops):
    image, _, mask = crops
    assert np.abs(match_colour(image, image, mask) - image)[mask > 0.5].mean() < 3


def test_a_black_and_white_reference_gives_a_black_and_white_result(crops):
    image, reference, mask = crops
    gray = np.repeat((reference @ np.float32([0.299, 0.587, 0.114]))[..., None], 3, -1)
    assert np.ptp(image, axis=-1)[mask > 0.5].mean() > 30
    assert np.ptp(match_colour(image, gray, mask), axis=-1).max() < 2


def test_a_black_and_white_face_takes_the_colour_of_the_skin(crops):
    image, reference, mask = crops
    gray = np.repeat((image @ np.float32([0.299, 0.587, 0.114]))[..., None], 3, -1)
    matched = match_colour(gray, reference, mask)
    assert np.abs(mean(matched, mask) - mean(reference, mask)).max() < 2.5


def test_what_is_neutral_stays_nearly_neutral():
    """White teeth in skin that goes from pale to red: theirs moves by less than half as much."""
    skin, teeth = np.float32([225, 185, 165]), np.float32([215, 214, 212])
    image = np.broadcast_to(skin, (64, 64, 3)).copy()
    image[28:36, 20:44] = teeth
    reference = np.broadcast_to(np.float32([190, 95, 65]), (64, 64, 3)).copy()
    matched = to_lab(match_colour(image, reference, np.ones((64, 64), np.float32)))
    before = to_lab(image)
    moved = np.hypot(*np.moveaxis((matched - before)[..., 1:], -1, 0))
    assert moved[0, 0] > 20 and moved[32, 32] < 0.45 * moved[0, 0]
    assert np.hypot(*matched[32, 32, 1:]) < 15 < 35 < np.hypot(*matched[0, 0, 1:])


def test_an_empty_mask_changes_nothing(crops):
    image, reference, _ = crops
    np.testing.assert_array_equal(match_colour(image, reference, np.zeros((256, 256), np.float32)), image)


def test_colourfulness():
    lab = np.float32([[[50, 0, 0], [50, 20, 0], [50, 60, 0]]])
    np.testing.assert_allclose(colourfulness(lab, np.float32([[0, 1, 0]]))[0, :, 0], [0.35, 1, 1])
    np.testing.assert_allclose(colourfulness(lab, np.float32([[1, 0, 0]])), 1)


def test_lab_there_and_back():
    image = np.random.default_rng(0).uniform(0, 255, (16, 16, 3)).astype(np.float32)
    assert np.abs(from_lab(to_lab(image)) - image).max() < 1.5
    # The reference values of CIE Lab under D65 for sRGB's red.
    np.testing.assert_allclose(to_lab(np.float32([[[255, 0, 0]]]))[0, 0], [53.24, 80.09, 67.20], atol=0.3)
    assert to_lab(np.float32([[[300, 255, 255]]]))[0, 0, 0] == pytest.approx(100, abs=0.1)


def test_a_mask_too_thin_to_sample_is_measured_whole():
    stream = np.random.default_rng(0)
    image = stream.uniform(60, 120, (512, 512, 3)).astype(np.float32)
    mask = np.zeros((512, 512), np.float32)
    mask[101, 101:301] = 1
    matched = match_colour(image, np.clip(image + 60, 0, 255), mask)
    assert 30 < (matched - image)[mask > 0].mean() < 90
