"""The colour measure: closed forms, graded casts, a rainbow, and what must not move it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from corrupted import blurred, corrupted, noisy, untouched

from stylegan_swap.faces.pixels.colour import from_lab, to_lab
from stylegan_swap.metrics.colour import ChromaMatch, chroma_statistics, skin_pixels

SHIFT, SPREAD = (column.name for column in ChromaMatch.columns)


def lab_cast(a: float, b: float):
    """A shift in Lab under the mask, so that its size is known."""

    def fault(pixels, mask):
        return np.where(mask > 0, from_lab(to_lab(pixels) + np.array([0, a, b], np.float32)), pixels)

    return fault


def test_statistics_of_two_halves():
    lab = np.zeros((64, 64, 3), np.float32)
    lab[..., 0] = 60
    lab[:, :32, 1], lab[:, 32:, 1] = 10, 30
    lab[..., 2] = 5
    away_from_the_edge = np.ones((64, 64), bool)
    away_from_the_edge[:, 24:40] = False
    mean, spread = chroma_statistics(from_lab(lab), away_from_the_edge)
    assert mean == pytest.approx([20, 5], abs=0.3)
    assert spread == pytest.approx(10, abs=0.3)


def test_an_untouched_photo_matches(either_swap):
    assert ChromaMatch()(untouched(either_swap)) == {SHIFT: 0.0, SPREAD: 1.0}


def test_warp_matches_colours(either_swap):
    values = ChromaMatch()(either_swap)
    assert values[SHIFT] < 2.3
    assert 0.7 < values[SPREAD] < 1.4


def test_a_cast_is_its_size(either_swap):
    """3-4-5: the distance in the a-b plane, but for rounding and colours outside RGB."""
    for grade in (1, 2, 3):
        cast = corrupted(untouched(either_swap), lab_cast(3.0 * grade, 4.0 * grade))
        values = ChromaMatch()(cast)
        assert values[SHIFT] == pytest.approx(5 * grade, rel=0.1)
        assert values[SPREAD] == pytest.approx(1, abs=0.15)


def test_a_rainbow_scores_badly(either_swap):
    def rainbow(strength):
        def fault(pixels, mask):
            columns = np.arange(pixels.shape[1])[None, :, None] / 8
            return pixels + strength * mask * np.sin(columns + np.array([0, 2.1, 4.2]))

        return ChromaMatch()(corrupted(either_swap, fault))[SPREAD]

    values = [rainbow(strength) for strength in (0, 15, 30, 60)]
    assert values == sorted(values)
    assert values[-1] > 3


def test_grey_skin_has_no_spread(either_swap):
    grey = corrupted(either_swap, lambda p, m: np.where(m > 0, p.mean(-1, keepdims=True), p))
    values = ChromaMatch()(grey)
    before = either_swap.attribute.crop(256)
    mean, spread = chroma_statistics(before, skin_pixels(either_swap))
    # The shift is the skin's whole chroma, the ratio its floor; colour outside the mask blurs in a little.
    assert values[SPREAD] == pytest.approx(1 / (spread + 1), abs=0.12)
    assert values[SHIFT] == pytest.approx(np.hypot(*mean), rel=0.02)


def test_other_faults_hardly_move_it(either_swap):
    clean = ChromaMatch()(either_swap)
    for fault in (noisy(6), blurred(1)):
        values = ChromaMatch()(corrupted(either_swap, fault))
        assert values[SHIFT] == pytest.approx(clean[SHIFT], abs=0.25)
        assert values[SPREAD] == pytest.approx(clean[SPREAD], abs=0.08)


def test_eyes_and_mouth_are_left_out(either_swap):
    alignment = either_swap.attribute.alignment(256)
    skin = skin_pixels(either_swap)
    assert skin.sum() > 2000
    for points in (slice(36, 42), slice(42, 48), slice(48, 60)):
        outline = alignment.to_crop(either_swap.attribute.landmarks)[points].astype(np.int32)
        canvas = np.zeros((256, 256), np.uint8)
        cv2.fillPoly(canvas, [outline], 1)
        assert not (skin & (canvas > 0)).any()
