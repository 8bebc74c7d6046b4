"""The baselines copy and paste: what they are by definition."""

from __future__ import annotations

import numpy as np
import torch

from stylegan_swap import swap

NAME = "paste"


def test_paste_shows_the_identity_where_the_mask_is_one(method, pair):
    faces, points = pair
    result = method.swap_aligned(method.prepare(faces[:1]), faces[1:], points[1:])
    assert torch.equal(result.image[0], faces[0])
    assert result.mask[0, 0, 64, 64] == 1
    # Image from the identity alone, mask from the landmarks alone.
    other = method.swap_aligned(faces[1:], faces[1:], points[1:])
    moved = method.swap_aligned(faces[:1], faces[1:], points[1:] + 9)
    assert not torch.equal(result.image, other.image) and torch.equal(result.mask, other.mask)
    assert torch.equal(result.image, moved.image) and not torch.equal(result.mask, moved.mask)


def test_copy_is_the_attribute_photo_bit_by_bit(built, pair, astronaut, hopper):
    faces, points = pair
    for identity in (faces[:1], faces[1:], faces[:, :, ::2, ::2]):
        result = built("copy").swap_aligned(identity, faces, points)
        assert torch.equal(result.image, faces) and not result.mask.any()
    photo = swap(astronaut, hopper, method="copy")
    assert np.array_equal(np.asarray(photo.image), hopper) and not photo.mask.any()
