"""The baselines copy and paste: contract, and what they are by definition."""

from __future__ import annotations

import numpy as np
import torch
from methods.method_contract import MethodContract

from stylegan_swap import swap


class TestPaste(MethodContract):
    name = "paste"

    def test_both_photos_matter(self, method, pair):
        faces, points = pair
        one = method.swap_aligned(faces[:1], faces[1:], points[1:])
        other = method.swap_aligned(faces[1:], faces[1:], points[1:])
        moved = method.swap_aligned(faces[:1], faces[1:], points[1:] + 9)
        assert not torch.equal(one.image, other.image) and torch.equal(one.mask, other.mask)
        assert torch.equal(one.image, moved.image) and not torch.equal(one.mask, moved.mask)

    def test_it_shows_the_identity_where_the_mask_is_one(self, method, pair):
        faces, points = pair
        swapped = method.swap_aligned(method.prepare(faces[:1]), faces[1:], points[1:])
        assert torch.equal(swapped.image[0], faces[0])
        assert swapped.mask[0, 0, 64, 64] == 1


class TestCopy(MethodContract):
    name = "copy"

    def test_shapes_and_ranges(self, method, size, swapped):
        assert swapped.image.shape == (2, 3, size, size) and swapped.mask.shape == (2, 1, size, size)
        assert swapped.mask.max() == 0

    def test_both_photos_matter(self, method, pair):
        faces, points = pair
        one, other = (method.swap_aligned(faces[i : i + 1], faces, points) for i in (0, 1))
        assert torch.equal(one.image, other.image) and torch.equal(one.image, faces)

    def test_the_identity_photo_may_have_another_side(self, method, pair):
        faces, points = pair
        assert torch.equal(method.swap_aligned(faces[:, :, ::2, ::2], faces, points).image, faces)

    def test_a_copied_photo_is_equal_bit_by_bit(self, astronaut, hopper):
        result = swap(astronaut, hopper, method="copy")
        assert np.array_equal(np.asarray(result.image), hopper)
        assert not result.mask.any()
