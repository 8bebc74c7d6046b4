"""The sharpness measure: detail counts, white noise does not, and grain is told apart."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from corrupted import blurred, corrupted, noisy, untouched

from stylegan_swap.metrics.sharpness import Sharpness, octave_bands, regions, spectrum

NAMES = tuple(column.name for column in Sharpness.columns)


def test_bands_of_a_sine_follow_the_filter():
    """A wave of frequency f passes a Gaussian with exp(−2π²σ²f²)."""
    f = 1 / 8
    wave = 50 * np.sin(2 * np.pi * f * np.arange(256))
    image = np.broadcast_to(wave[None, :, None], (256, 256, 3)) + 128

    def gain(sigma):
        return np.exp(-2 * np.pi**2 * sigma**2 * f**2)

    power = np.square(octave_bands(image)[:, 64:-64, 64:-64]).mean((1, 2))
    expected = [1250 * (gain(a) - gain(b)) ** 2 for a, b in ((0.7, 1.4), (1.4, 2.8), (2.8, 5.6), (5.6, 11.2))]
    assert power[:2] == pytest.approx(expected[:2], rel=0.03)
    assert power[3] < 1e-2 * power[1]


def test_white_noise_is_grain_and_no_edge():
    image = 128 + np.random.default_rng(0).normal(0, 10, (256, 256, 1)).repeat(3, 2)
    found = spectrum(image, np.ones((256, 256), bool))
    # White noise of variance v has the power v/4πσ² behind a Gaussian; the cross term is v/2π(σ₁² + σ₂²).
    a, b = 0.7**2, 1.4**2
    expected = 100 / np.pi * (1 / (4 * a) + 1 / (4 * b) - 1 / (a + b))
    assert found.total[0] == pytest.approx(expected, rel=0.08)
    assert found.flat[0] == pytest.approx(found.total[0], rel=0.1)
    assert found.edges[0] < 0.1 * found.total[0]


def test_noise_moves_it_less_than_detail(astronaut):
    """The proof asked of it: noise and real detail of the *same power* in the finest band."""
    everywhere = np.ones(astronaut.shape[:2], bool)
    sharp = astronaut.astype(np.float64)
    soft = cv2.GaussianBlur(sharp, (0, 0), 1.2)
    base = spectrum(soft, everywhere)
    with_detail = spectrum(sharp, everywhere)
    gained = with_detail.total[0] - base.total[0]
    noise = np.random.default_rng(0).normal(0, 1, sharp.shape[:2])[..., None].repeat(3, 2)
    per_unit = np.square(octave_bands(noise)[0]).mean()
    with_noise = spectrum(soft + noise * np.sqrt(gained / per_unit), everywhere)
    assert with_noise.total[0] == pytest.approx(with_detail.total[0], rel=0.05)
    by_detail = abs(with_detail.sharpness / base.sharpness - 1)
    by_noise = abs(with_noise.sharpness / base.sharpness - 1)
    assert by_detail > 0.5
    assert by_noise < 0.03


def test_contrast_is_not_sharpness(astronaut):
    everywhere = np.ones(astronaut.shape[:2], bool)
    full, half = spectrum(astronaut, everywhere), spectrum(64 + 0.5 * astronaut, everywhere)
    assert half.sharpness == pytest.approx(full.sharpness, rel=0.02)
    assert half.edges == pytest.approx(full.edges / 4, rel=0.02)


def test_an_untouched_photo_is_matched(either_swap):
    assert Sharpness()(untouched(either_swap)) == dict(zip(NAMES, (1.0, 0.0, 1.0), strict=True))


def test_blur_is_graded(either_swap):
    rows = [Sharpness()(corrupted(untouched(either_swap), blurred(sigma))) for sigma in (0.5, 1, 2, 4)]
    sharpness, error, grain = ([row[name] for row in rows] for name in NAMES)
    assert sharpness == sorted(sharpness, reverse=True)
    assert grain == sorted(grain, reverse=True)
    assert error == sorted(error)
    assert sharpness[1] < 0.8


def test_noise_in_a_swap_is_grain(either_swap):
    clean = Sharpness()(either_swap)
    rows = [Sharpness()(corrupted(either_swap, noisy(deviation))) for deviation in (3, 6, 12)]
    for row in rows:
        assert row["sharpness"] == pytest.approx(clean["sharpness"], rel=0.06)
        assert row["spectrum_error"] == pytest.approx(clean["spectrum_error"], abs=0.3)
    grain = [row["grain"] for row in (clean, *rows)]
    assert grain == sorted(grain)


def test_colour_and_background_hardly_move_it(either_swap):
    clean = Sharpness()(either_swap)
    cast = corrupted(either_swap, lambda p, m: p + m * np.array([10, 0, -10]))
    pixel = corrupted(either_swap, lambda p, m: p + 50 * (np.arange(p.size).reshape(p.shape) == 0))
    for fault in (cast, pixel):
        assert Sharpness()(fault)["sharpness"] == pytest.approx(clean["sharpness"], rel=0.03)


def test_regions_keep_off_the_seam_and_may_be_empty(either_swap):
    mask = np.zeros((100, 100), np.float32)
    mask[:, 50:] = 1
    inside, outside = regions(mask)
    assert np.flatnonzero(inside[50])[0] == 52
    assert np.flatnonzero(outside[50])[-1] == 47
    nothing = replace(either_swap, mask=np.zeros_like(either_swap.mask))
    assert Sharpness()(nothing) == dict(zip(NAMES, (1.0, 0.0, 1.0), strict=True))
