"""Wide Gaussian blurs on smaller copies against true ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from stylegan_swap.faces.pixels.blur import blurred


@pytest.fixture(scope="module")
def photo():
    return cv2.resize(data.astronaut(), (500, 430)).astype(np.float32)


def test_close_to_the_true_blur(photo):
    for sigma in (4.5, 9.0, 20.0, 33.0):
        true = cv2.GaussianBlur(photo, (0, 0), sigma)
        fast = blurred(photo, sigma)
        assert fast.dtype == np.float32
        assert fast.shape == photo.shape
        edge = int(3 * sigma)
        inside = np.s_[edge:-edge, edge:-edge]
        assert np.sqrt(np.square(true - fast)[inside].mean()) < 0.01 * photo.std()
        assert np.abs(true - fast).mean() < 0.02 * photo.std()
        assert np.abs(blurred(photo[..., 0], sigma) - fast[..., 0]).max() < 1e-3


def test_as_wide_as_asked():
    point = np.zeros((401, 401), np.float32)
    point[200, 200] = 1.0
    spread = blurred(point, 15.0)
    offsets = np.arange(401) - 200.0
    assert spread.sum() == pytest.approx(1.0, abs=0.01)
    assert np.sqrt((spread.sum(0) * offsets**2).sum()) == pytest.approx(15.0, rel=0.03)
    assert np.sqrt((spread.sum(1) * offsets**2).sum()) == pytest.approx(15.0, rel=0.03)


def test_narrow_blurs_and_small_pictures_are_exact(photo):
    assert blurred(photo, 0) is photo
    assert np.array_equal(blurred(photo, 3.9), cv2.GaussianBlur(photo, (0, 0), 3.9))
    small = photo[:20, :24]
    assert np.array_equal(blurred(small, 8.0), cv2.GaussianBlur(small, (0, 0), 8.0))
    assert np.abs(blurred(np.full((300, 300), 7.0, np.float32), 20.0) - 7.0).max() < 1e-3
