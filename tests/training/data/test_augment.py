"""Changes of light and quality: alike for all pictures, mild where they should be, and in range."""

from __future__ import annotations

import numpy as np
import pytest

from stylegan_swap.training.data.augment import Photometric, draw_photometric, draw_similarity


@pytest.fixture(scope="module")
def image(astronaut_portrait):
    return astronaut_portrait.image


def draws(count, strength=0.4, degraded=0.45):
    return [
        draw_photometric(np.random.default_rng(seed), size=128, strength=strength, degraded=degraded)
        for seed in range(count)
    ]


def test_nothing_asked_for_changes_nothing(image):
    np.testing.assert_allclose(Photometric().apply(image), image, atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        Photometric(gain=(1.3, 1.0, 0.8)),
        Photometric(gamma=0.7),
        Photometric(side_light=(1.0, 0.4)),
        Photometric(saturation=0.3),
        Photometric(shrink=0.4),
        Photometric(blur=1.5),
        Photometric(noise=6.0, noise_seed=3),
        Photometric(jpeg=40),
    ],
)
def test_each_change_is_seen_and_repeats(image, change):
    before = image.copy()
    result = change.apply(image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(result, change.apply(image))
    assert result.shape == image.shape and result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 255
    assert 0.2 < np.abs(result - image).mean() < 60


def test_each_does_what_its_name_says(image):
    assert np.ptp(Photometric(saturation=0.0).apply(image), axis=-1).max() < 0.1
    lit = Photometric(side_light=(0.0, 0.4)).apply(image) + 1
    ratio = lit / (image + 1)
    assert ratio[:, -20:].mean() > 1.15 > 0.85 > ratio[:, :20].mean()
    warm = Photometric(gain=(1.2, 1.0, 0.8)).apply(image).mean((0, 1)) / image.mean((0, 1))
    assert warm[0] > 1.05 > 0.95 > warm[2]
    fine = np.abs(np.diff(image, axis=0)).mean()
    assert np.abs(np.diff(Photometric(blur=2.0).apply(image), axis=0)).mean() < 0.8 * fine
    # Noise lies in the same place on every picture.
    noise = [
        Photometric(noise=5.0, noise_seed=1).apply(np.full_like(image, grey)) - grey for grey in (100, 150)
    ]
    np.testing.assert_allclose(*noise, atol=1e-3)


def test_about_half_of_the_mild_ones_keep_their_quality(image):
    good = [not (c.jpeg or c.noise or c.blur or c.shrink < 1) for c in draws(400)]
    assert 0.5 < np.mean(good) < 0.75
    assert all(not (c.jpeg or c.noise or c.blur) and c.shrink == 1 for c in draws(50, degraded=0.0))
    change = [np.abs(c.apply(image) - image).mean() for c in draws(60, degraded=0.0)]
    assert 2 < np.median(change) < 15
    strong = [np.abs(c.apply(image) - image).mean() for c in draws(60, strength=1.0, degraded=0.0)]
    assert np.median(strong) > 1.5 * np.median(change)


def test_similarities_stay_within_their_bounds():
    for seed in range(100):
        matrix = draw_similarity(np.random.default_rng(seed), 128, 5.0, 0.05)
        scale = np.sqrt(np.linalg.det(matrix[:, :2]))
        assert 0.949 < scale < 1.051
        assert abs(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0]))) < 5.01
        centre = matrix[:, :2] @ [63.5, 63.5] + matrix[:, 2]
        assert np.abs(centre - 63.5).max() < 0.0501 * 128
        np.testing.assert_allclose(matrix[:, :2] @ matrix[:, :2].T, np.eye(2) * scale**2, atol=1e-9)
