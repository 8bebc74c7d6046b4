"""Each octave gets the photo's contrast: measured by its energy, bounded, and nothing is made up."""

import cv2
import numpy as np
import pytest

from stylegan_swap.faces.geometry.align import enlarged
from stylegan_swap.swapping.finish.contrast import MOST, SCALES, match_contrast, match_finest

RESOLVED = 64


def crop_of(photo, side):
    face = np.ascontiguousarray(photo[:300, 80:380]).astype(np.float32)
    return enlarged(face, side)


def octave(image, low, high, unit):
    grey = image.mean(2)
    fine = grey if low == 0 else cv2.GaussianBlur(grey, (0, 0), low * unit)
    return (fine - cv2.GaussianBlur(grey, (0, 0), high * unit))[8:-8, 8:-8].std()


@pytest.mark.parametrize("side", [128, 512])
def test_a_softened_picture_gets_its_contrast_back(hopper, side):
    photo = crop_of(hopper, side)
    unit = side / RESOLVED
    # 70 % of what is finer than twice the pixels that are resolved: within the bound.
    soft = photo - 0.3 * (photo - cv2.GaussianBlur(photo, (0, 0), 2 * unit))
    sharp = match_contrast(soft, photo, RESOLVED)
    for low, high in ((0.35, 0.7), (0.7, 1.4)):
        before = octave(soft, low, high, unit) / octave(photo, low, high, unit)
        after = octave(sharp, low, high, unit) / octave(photo, low, high, unit)
        assert before < 0.86 and 0.95 < after < 1.05
    assert np.abs(sharp - photo).mean() < 0.45 * np.abs(soft - photo).mean()


@pytest.mark.parametrize("side", [128, 512])
def test_what_has_the_contrast_stays(hopper, side):
    photo = crop_of(hopper, side)
    assert np.abs(match_contrast(photo, photo, RESOLVED) - photo).max() < 0.02
    # A smooth photo takes nothing away.
    smooth = cv2.GaussianBlur(photo, (0, 0), 4)
    assert np.abs(match_contrast(photo, smooth, RESOLVED) - photo).max() < 0.02


def test_nothing_appears_and_growth_is_bounded(hopper):
    photo = crop_of(hopper, 256)
    flat = np.full_like(photo, 130.0)
    assert np.abs(match_contrast(flat, photo, RESOLVED) - flat).max() < 1e-3
    faint = 130 + 0.05 * (photo - 130)
    grown = match_contrast(faint, photo, RESOLVED) - faint
    # At most as much again of all octaves together.
    finer = faint - cv2.GaussianBlur(faint, (0, 0), SCALES[-1] * 256 / RESOLVED)
    assert grown.std() <= (MOST - 1) * finer.std() * 1.05
    assert grown.std() > 0.5 * finer.std()


def test_only_lightness_changes(hopper):
    photo = crop_of(hopper, 128)
    soft = cv2.GaussianBlur(photo, (0, 0), 1.5)
    change = match_contrast(soft, photo, RESOLVED) - soft
    assert np.ptp(change, axis=2).max() < 1e-3 and change.std() > 0.5


def test_the_finest_band_of_a_large_picture_grows_alone(hopper):
    photo = crop_of(hopper, 512)
    copy = enlarged(enlarged(photo, 256), 512)
    finest = photo - copy
    soft = copy + 0.6 * finest
    change = match_finest(soft, photo, 256, RESOLVED) - soft
    assert np.ptp(change, axis=2).max() < 1e-3
    # Of luma alone: grey on all three channels.
    wanted = (0.4 * finest).mean(2)
    inside = np.s_[8:-8, 8:-8]
    assert np.square(change.mean(2) - wanted)[inside].mean() < 0.3 * np.square(wanted)[inside].mean()
    assert np.abs(match_finest(photo, copy, 256, RESOLVED) - photo).max() < 0.02
