"""Pasting back: not one bit changes outside the mask, and inside the crop is what was given."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from stylegan_swap.faces.geometry.align import Alignment, ffhq_alignment
from stylegan_swap.faces.masks.mask import soft_mask
from stylegan_swap.faces.paste import paste_back


def crop_of(pixels, face, size=256):
    alignment = ffhq_alignment(face.landmarks, size)
    return alignment, alignment.crop(pixels), soft_mask(alignment.to_crop(face.landmarks), size)


def psnr(first, second, where):
    error = np.square((first.astype(float) - second) / 255)[where]
    return -10 * np.log10(error.mean())


def red(size=256):
    return np.broadcast_to(np.float32([250, 5, 10]), (size, size, 3)).copy()


def test_outside_the_mask_not_a_bit_changes(astronaut, astronaut_face):
    alignment, _, mask = crop_of(astronaut, astronaut_face)
    before = astronaut.copy()
    result, full = paste_back(astronaut, red(), mask, alignment)
    assert result.dtype == np.uint8 and full.dtype == np.float32 and full.shape == astronaut.shape[:2]
    assert full.min() == 0 and 0.99 < full.max() <= 1
    changed = (result != astronaut).any(-1)
    assert changed[full > 0.05].mean() > 0.99
    assert not changed[full == 0].any()
    # Independently of the mask that is returned: nothing changes a pixel away from the outline.
    low, high = astronaut_face.landmarks.min(0), astronaut_face.landmarks.max(0)
    height = high[1] - low[1]
    rows, columns = np.nonzero(changed)
    assert columns.min() > low[0] - 3 and columns.max() < high[0] + 3
    assert rows.min() > low[1] - 0.35 * height and rows.max() < high[1] + 3
    np.testing.assert_array_equal(astronaut, before)


@pytest.mark.parametrize("size", [64, 256])
def test_outside_the_mask_not_a_bit_changes_in_a_large_photo(astronaut, astronaut_face, size):
    large = cv2.resize(astronaut, (3000, 2000))
    landmarks = (astronaut_face.landmarks + 0.5) * [3000 / 512, 2000 / 512] - 0.5
    alignment = ffhq_alignment(landmarks, size)
    mask = soft_mask(alignment.to_crop(landmarks), size)
    result, full = paste_back(large, red(size), mask, alignment)
    changed = (result != large).any(-1)
    assert not changed[full == 0].any() and changed[full > 0.05].mean() > 0.99
    # As many photo pixels as the mask has crop pixels, times the area of one.
    assert (full > 0.5).sum() == pytest.approx((mask > 0.5).sum() / alignment.scale**2, rel=0.06)


@pytest.mark.parametrize("who", ["astronaut", "hopper"])
def test_the_mask_that_is_returned_is_the_crops_carried_over(request, who):
    pixels, face = request.getfixturevalue(who), request.getfixturevalue(f"{who}_face")
    alignment, _, mask = crop_of(pixels, face)
    _, full = paste_back(pixels, red(), mask, alignment)
    expected = cv2.warpAffine(mask, alignment.inverse, pixels.shape[1::-1], flags=cv2.INTER_LINEAR)
    assert np.abs(full - expected).max() < 0.05
    assert full[full > 0].min() >= 0.5 / 255


def test_a_mask_that_reaches_the_border_of_the_crop_ends_without_a_step():
    alignment = Alignment(np.array([[0.25, 0, -10], [0, 0.25, -10]]), 64)
    _, full = paste_back(np.zeros((400, 400, 3), np.uint8), red(64), np.ones((64, 64), np.float32), alignment)
    assert full.max() == 1 and max(np.abs(np.diff(full, axis=axis)).max() for axis in (0, 1)) < 0.5


def test_a_mask_of_1_replaces_and_of_one_half_mixes(hopper, hopper_face):
    alignment, _, _ = crop_of(hopper, hopper_face)
    mask = np.zeros((256, 256), np.float32)
    mask[60:200, 60:200] = 1
    mask[150:200] *= 0.5
    result, full = paste_back(hopper, red(), mask, alignment)
    inside = full == 1
    assert inside.sum() > 5000
    assert (result[inside] == [250, 5, 10]).all()
    half = np.abs(full - 0.5) < 1e-6
    assert half.sum() > 2000
    expected = (hopper[half] + np.array([250.0, 5, 10])) / 2
    assert np.abs(result[half] - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(
    ("who", "size", "least"), [("astronaut", 512, 36), ("hopper", 512, 36), ("hopper", 256, 32)]
)
def test_a_crop_that_is_pasted_back_unchanged_leaves_the_photo_as_it_was(request, who, size, least):
    pixels, face = request.getfixturevalue(who), request.getfixturevalue(f"{who}_face")
    alignment, crop, mask = crop_of(pixels, face, size)
    result, full = paste_back(pixels, crop, mask, alignment)
    assert psnr(result, pixels, full > 0.5) > least


def test_the_crop_comes_back_to_its_own_place():
    """A dot in the crop lands where to_photo says, to a tenth of a pixel, when enlarged and when shrunk."""
    for scale, turn in ((0.4, 0.3), (2.5, -0.8)):
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        alignment = Alignment(np.column_stack([linear, np.array([64, 64]) - linear @ [200, 150]]), 128)
        y, x = np.mgrid[:128, :128]
        spot = 250 * np.exp(-((x - 70) ** 2 + (y - 55) ** 2) / (2 * 36))
        crop = np.repeat(spot[..., None], 3, -1).astype(np.float32)
        result, _ = paste_back(
            np.zeros((300, 400, 3), np.uint8), crop, np.ones((128, 128), np.float32), alignment
        )
        weights = result[..., 0].astype(float)
        rows, columns = np.mgrid[:300, :400]
        found = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
        np.testing.assert_allclose(found, alignment.to_photo(np.array([[70, 55]]))[0], atol=0.1)


@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_face_partly_outside_the_photo(hopper, hopper_face, corner):
    centre = hopper_face.landmarks.mean(0).astype(int)
    columns = slice(centre[0], None) if corner[0] else slice(0, centre[0])
    rows = slice(centre[1], None) if corner[1] else slice(0, centre[1])
    part = np.ascontiguousarray(hopper[rows, columns])
    landmarks = hopper_face.landmarks - [columns.start or 0, rows.start or 0]
    alignment = ffhq_alignment(landmarks, 256)
    crop, mask = alignment.crop(part), soft_mask(alignment.to_crop(landmarks), 256)
    same, full = paste_back(part, crop, mask, alignment)
    assert same.shape == part.shape and 0.02 < (full > 0.5).mean() < 0.8
    assert psnr(same, part, full > 0.5) > 32
    painted, full = paste_back(part, red(), mask, alignment)
    assert (painted[full == 0] == part[full == 0]).all()
    assert (painted[full == 1] == [250, 5, 10]).all()


def test_a_face_wholly_outside_and_a_mask_of_zeros_change_nothing(hopper, hopper_face):
    alignment, crop, mask = crop_of(hopper, hopper_face)
    away = Alignment(alignment.matrix + np.array([[0, 0, 10_000], [0, 0, 0]]), 256)
    for given, where in (
        (mask, away),
        (np.zeros_like(mask), alignment),
        (np.full_like(mask, 1e-4), alignment),
    ):
        result, full = paste_back(hopper, red(), given, where)
        assert result is not hopper and not np.shares_memory(result, hopper)
        np.testing.assert_array_equal(result, hopper)
        assert not full.any()
    result, _ = paste_back(hopper, crop, mask, alignment)
    result[:] = 0  # a copy, even of a frozen photo


def test_colour_matches_the_crop_to_the_photo(hopper, hopper_face):
    alignment, crop, mask = crop_of(hopper, hopper_face)
    dark = crop * 0.6
    plain, full = paste_back(hopper, dark, mask, alignment)
    matched, _ = paste_back(hopper, dark, mask, alignment, colour=True)
    inside = full > 0.9
    assert np.abs(plain[inside].mean(0) - hopper[inside].mean(0)).min() > 25
    assert np.abs(matched[inside].mean(0) - hopper[inside].mean(0)).max() < 4
    np.testing.assert_allclose(dark, crop * 0.6)


def test_broken_numbers_are_refused(hopper, hopper_face):
    for value in (np.nan, np.inf):
        alignment, crop, mask = crop_of(hopper, hopper_face)
        broken_crop, broken_mask = crop.copy(), mask.copy()
        broken_crop[3, 4, 1] = broken_mask[3, 4] = value
        for arguments in ((broken_crop, mask), (crop, broken_mask)):
            with pytest.raises(ValueError, match="NaN or infinity"):
                paste_back(hopper, *arguments, alignment)


def test_a_finer_crop_goes_with_a_coarser_mask(hopper, hopper_face):
    """The same face at the photo's scale, under the mask of the small crop: nearer to the photo."""
    alignment, crop, mask = crop_of(hopper, hopper_face)
    fine = alignment.resized(math.ceil(256 / alignment.scale))
    coarse, mask_there = paste_back(hopper, crop, mask, alignment)
    sharp, mask_here = paste_back(hopper, fine.crop(hopper), mask, fine)
    np.testing.assert_allclose(mask_here, mask_there, atol=1e-6)
    inside = mask_here > 0.9
    loss = [np.abs(x[inside].astype(float) - hopper[inside]).mean() for x in (coarse, sharp)]
    assert loss[1] < 0.75 * loss[0]


def test_shapes_that_do_not_fit_are_refused(hopper, hopper_face):
    alignment, crop, mask = crop_of(hopper, hopper_face)
    for arguments in (
        (crop[:-1], mask),
        (crop, mask[..., None]),
        (crop[..., 0], mask),
        (crop, mask[:128]),
    ):
        with pytest.raises(ValueError, match="do not fit an alignment of 256 px"):
            paste_back(hopper, *arguments, alignment)
