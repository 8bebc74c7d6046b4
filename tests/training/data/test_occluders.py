"""Things in front of the face: what they cover, and what the mask says about them."""

from __future__ import annotations

import numpy as np
import pytest

from stylegan_swap.faces.masks.mask import hull_mask
from stylegan_swap.training.data.occluders import draw_occluder


@pytest.fixture(params=range(25))
def drawn(request, astronaut_portrait):
    rng = np.random.default_rng(request.param)
    return draw_occluder(astronaut_portrait.landmarks, astronaut_portrait.image, rng)


def test_layers_are_in_range(drawn, astronaut_portrait):
    for plane in (drawn.alpha, drawn.hides):
        assert plane.shape == (256, 256) and plane.dtype == np.float32
        assert plane.min() >= 0 and plane.max() <= 1
    assert drawn.colour.min() >= 0 and drawn.colour.max() <= 255
    result = drawn.over(astronaut_portrait.image)
    np.testing.assert_array_equal(result[drawn.alpha == 0], astronaut_portrait.image[drawn.alpha == 0])
    # It covers a part of the face, never all of it.
    face = hull_mask(astronaut_portrait.landmarks, 256)
    assert 0 < (drawn.hides * face).sum() < 0.6 * face.sum()


def test_what_hides_the_face_covers_it(drawn):
    assert np.all(drawn.hides <= drawn.alpha + 1e-6)


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
