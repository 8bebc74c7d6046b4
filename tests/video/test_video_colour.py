"""Planes and RGB: the numbers of H.273, and what is not swapped stays."""

from __future__ import annotations

import numpy as np
import pytest

from stylegan_swap.video.colour import Planes, Tags, replaced, to_planes, to_rgb


def one_colour(y: int, u: int, v: int) -> Planes:
    return Planes(np.full((4, 4), y, np.uint8), np.full((2, 2), u, np.uint8), np.full((2, 2), v, np.uint8))


@pytest.mark.parametrize(
    ("tags", "stored", "rgb"),
    [
        (Tags(1, 1), (235, 128, 128), (255, 255, 255)),
        (Tags(1, 1), (16, 128, 128), (0, 0, 0)),
        (Tags(1, 1), (63, 102, 240), (255, 0, 0)),
        (Tags(6, 1), (81, 90, 240), (255, 0, 0)),
        (Tags(5, 2), (76, 85, 255), (255, 0, 0)),
        (Tags(9, 1), (74, 97, 240), (255, 0, 0)),
        (Tags(1, 1), (173, 42, 26), (0, 255, 0)),
        # Unspecified: by the size of the picture.
        (Tags(2, 1, high_definition=True), (63, 102, 240), (255, 0, 0)),
        (Tags(2, 1, high_definition=False), (81, 90, 240), (255, 0, 0)),
    ],
)
def test_colours_of_the_standard(tags, stored, rgb):
    found = to_rgb(one_colour(*stored), tags)
    assert np.abs(found.astype(int) - rgb).max() <= 2
    picture = np.full((4, 4, 3), rgb, np.uint8)
    back = to_planes(picture, tags)
    assert max(abs(int(plane[0, 0]) - value) for plane, value in zip(back, stored, strict=True)) <= 1


def test_there_and_back(astronaut):
    soft = np.ascontiguousarray(astronaut[:128, :128])
    soft = np.repeat(np.repeat(soft[::2, ::2], 2, 0), 2, 1)
    for tags in (Tags(1, 1), Tags(6, 1), Tags(5, 2)):
        found = to_rgb(to_planes(soft, tags), tags).astype(int)
        # Chroma is interpolated, so only edges differ.
        assert np.median(np.abs(found - soft)) <= 2


def test_only_the_mask_is_written():
    draws = np.random.default_rng(0)
    planes = Planes(
        *(draws.integers(16, 235, shape).astype(np.uint8) for shape in ((20, 24), (10, 12), (10, 12)))
    )
    pixels = np.full((20, 24, 3), 200, np.uint8)
    mask = np.zeros((20, 24), np.float32)
    mask[5:9, 7:12] = 0.5
    found = replaced(planes, pixels, mask, Tags(1, 1))
    touched = mask > 0
    assert np.array_equal(found.y[~touched], planes.y[~touched])
    assert (found.y[touched] == found.y[5, 7]).all() and not np.array_equal(found.y, planes.y)
    blocks = touched.reshape(10, 2, 12, 2).any((1, 3))
    for own, new in zip(planes[1:], found[1:], strict=True):
        assert np.array_equal(new[~blocks], own[~blocks])
        assert (new[blocks] == 128).all()
    assert replaced(planes, pixels, np.zeros_like(mask), Tags(1, 1)) is planes
    # The planes given are the clip's own; nobody may write into them.
    assert not np.shares_memory(found.y, planes.y)


def test_high_dynamic_range_and_odd_matrices_are_known_as_such():
    assert Tags(9, 1, 9, 16).hdr and Tags(9, 1, 9, 18).hdr
    assert Tags(9, 1, 9, 14).hdr is None
    assert not Tags(14, 1).known and Tags(2, 0).known and Tags(1, 1).known
