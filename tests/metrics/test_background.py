"""The background measure: closed forms of PSNR, one changed pixel, and blindness to the face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from corrupted import blurred, corrupted, noisy, swapped, untouched

from stylegan_swap.metrics.background import Background, background, masked_psnr, masked_ssim
from stylegan_swap.metrics.sample import View, measured

PSNR, SSIM, CHANGED = (column.name for column in Background.columns)


def test_psnr_of_a_known_error():
    before = np.full((20, 20, 3), 100, np.uint8)
    everywhere = np.ones((20, 20), bool)
    # 20·log10(255/5)
    assert masked_psnr(before, before + np.uint8(5), everywhere) == pytest.approx(34.1514, abs=1e-4)
    half = everywhere.copy()
    half[:10] = False
    only_above = before.copy()
    only_above[:10] += 50
    assert masked_psnr(before, only_above, half) == 100.0


def test_ssim_does_not_see_the_swap(astronaut):
    outside = np.ones(astronaut.shape[:2], bool)
    outside[200:300, 200:300] = False
    after = astronaut.copy()
    after[~outside] = 0
    assert masked_ssim(astronaut, after, outside) == 1.0
    assert masked_ssim(astronaut, after, ~outside) < 0.2


def test_a_real_swap_changes_nothing_outside(either_swap):
    assert Background()(either_swap) == {PSNR: 100.0, SSIM: 1.0, CHANGED: 0.0}
    assert Background()(untouched(either_swap)) == {PSNR: 100.0, SSIM: 1.0, CHANGED: 0.0}


def test_one_pixel_is_counted(either_swap):
    pixels = either_swap.result.pixels.copy()
    pixels[0, 0, 1] ^= 1
    values = Background()(swapped(either_swap, pixels))
    assert values[CHANGED] == pytest.approx(1e6 / background(either_swap).sum())
    # The corner lies outside the square of the face.
    assert values[PSNR] == 100.0


def test_noise_in_the_background_is_graded(either_swap):
    def values(deviation):
        noise = np.random.default_rng(0).normal(0, deviation, either_swap.result.pixels.shape)
        return Background()(corrupted(either_swap, lambda p, m: p + (m == 0) * noise))

    rows = [values(deviation) for deviation in (1, 2, 4, 8)]
    for name in (PSNR, SSIM):
        column = [row[name] for row in rows]
        assert column == sorted(column, reverse=True)
    # Rounding adds 1/12 to the variance of 16; what the mask's margin leaves out is not counted.
    assert rows[2][PSNR] == pytest.approx(10 * np.log10(255**2 / (16 + 1 / 12)), abs=0.3)


def test_faults_of_the_face_do_not_count(either_swap):
    for fault in (noisy(12), blurred(2), lambda p, m: p + 40 * (m > 0.5)):
        assert Background()(corrupted(either_swap, fault)) == {PSNR: 100.0, SSIM: 1.0, CHANGED: 0.0}


def test_dilation_is_in_pixels_of_the_aligned_crop(either_swap):
    """One more pixel at 256 is 1 / scale more photo pixels all round."""
    scale = either_swap.attribute.alignment(256).scale
    narrow, wide = background(either_swap, 0.0), background(either_swap, 20.0)
    row = int(either_swap.attribute.landmarks[:, 1].mean())
    first = [int(np.flatnonzero(~where[row])[0]) for where in (narrow, wide)]
    assert first[0] - first[1] == pytest.approx(20 / scale, rel=0.35)


def test_without_a_mask_the_hull_stands_for_it(either_swap):
    unknown = replace(untouched(either_swap), mask=None)
    assert Background()(unknown)[CHANGED] == 0.0
    inside = ~background(unknown, 0.0)
    points = either_swap.attribute.landmarks[17:].astype(int)
    assert inside[points[:, 1], points[:, 0]].all()


def test_a_miss_is_the_worst(either_swap):
    missed = replace(either_swap, result=View(either_swap.result.pixels, None))
    assert measured(Background(), missed) == {PSNR: 0.0, SSIM: 0.0, CHANGED: 1e6}


def test_sizes_must_agree(either_swap):
    with pytest.raises(ValueError, match="before it is cropped"):
        Background()(swapped(either_swap, either_swap.result.pixels[1:]))
    full = replace(either_swap, mask=np.ones(either_swap.result.pixels.shape[:2], np.float32))
    with pytest.raises(ValueError, match="no background"):
        Background()(full)
