"""Things in front of the face: what they cover, and what the mask says about them."""

from __future__ import annotations

import numpy as np

from stylegan_swap.faces.masks.mask import hull_mask
from stylegan_swap.training.data.occluders import draw_occluder


def test_layers_are_in_range_and_what_hides_covers(astronaut_portrait):
    face = hull_mask(astronaut_portrait.landmarks, 256)
    for seed in range(25):
        occluder = draw_occluder(
            astronaut_portrait.landmarks, astronaut_portrait.image, np.random.default_rng(seed)
        )
        for plane in (occluder.alpha, occluder.hides):
            assert plane.shape == (256, 256) and plane.dtype == np.float32
            assert plane.min() >= 0 and plane.max() <= 1
        assert occluder.colour.min() >= 0 and occluder.colour.max() <= 255
        result = occluder.over(astronaut_portrait.image)
        uncovered = occluder.alpha == 0
        np.testing.assert_array_equal(result[uncovered], astronaut_portrait.image[uncovered])
        # It covers a part of the face, never all of it.
        assert 0 < (occluder.hides * face).sum() < 0.6 * face.sum(), seed
        assert np.all(occluder.hides <= occluder.alpha + 1e-6)


def kinds(portrait, glasses):
    """Whether each of 50 occluders has something to see through: lenses."""
    found = []
    for seed in range(50):
        occluder = draw_occluder(
            portrait.landmarks, portrait.image, np.random.default_rng(seed), glasses=glasses
        )
        found.append(bool((occluder.alpha - occluder.hides).max() > 0.02))
    return found


def test_lenses_are_no_occluders_and_nobody_wears_two_pairs(astronaut_portrait):
    assert 10 < sum(kinds(astronaut_portrait, True)) < 40
    assert not any(kinds(astronaut_portrait, False))


def test_frames_go_round_the_eyes(astronaut_portrait):
    """Of every pair of glasses the pupils are free and the bridge is not."""
    points = astronaut_portrait.landmarks
    pupils = [points[36:42].mean(0), points[42:48].mean(0)]
    seen = 0
    for seed in range(50):
        occluder = draw_occluder(points, astronaut_portrait.image, np.random.default_rng(seed))
        if (occluder.alpha - occluder.hides).max() <= 0.02:
            continue
        seen += 1
        for x, y in np.rint(pupils).astype(int):
            assert occluder.hides[y, x] == 0
        middle = round(float(points[27, 0]))
        assert occluder.hides[:, middle].max() > 0.2
    assert seen > 10


def test_the_same_numbers_draw_the_same_thing(astronaut_portrait):
    first, second = (
        draw_occluder(astronaut_portrait.landmarks, astronaut_portrait.image, np.random.default_rng(5))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.colour, second.colour)
    np.testing.assert_array_equal(first.alpha, second.alpha)
