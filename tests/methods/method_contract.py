"""What every method must do; a test class per method inherits it and says how to get one."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.methods.base.protocol import AlignedSwap, Method
from stylegan_swap.methods.registry import build_method, method_class, method_names


@functools.lru_cache
def _built(name: str, weights: Path | None) -> Method:
    return build_method(name, weights, torch.device("cpu"), torch.float32)


class MethodContract:
    """Inherit; set `name`, `weights` (a fixture) if it needs some, `idle_dials` for dials without effect."""

    name: str
    free_size = 128
    idle_dials: frozenset[str] = frozenset()

    @pytest.fixture
    def weights(self):
        return None

    @pytest.fixture
    def method(self, weights) -> Method:
        return _built(self.name, weights)

    @pytest.fixture
    def size(self, method) -> int:
        return method.size or self.free_size

    @pytest.fixture
    def pair(self, size, astronaut, astronaut_face, hopper, hopper_face) -> tuple[Tensor, Tensor]:
        """Two aligned faces [2, 3, S, S] and their landmarks [2, 68, 2]: astronaut, Hopper."""
        crops, points = [], []
        for pixels, face in ((astronaut, astronaut_face), (hopper, hopper_face)):
            alignment = ffhq_alignment(face.landmarks, size)
            crops.append(from_pixels(alignment.crop(pixels)))
            points.append(torch.from_numpy(alignment.to_crop(face.landmarks)))
        return torch.cat(crops), torch.stack(points)

    @pytest.fixture
    def swapped(self, method, pair) -> AlignedSwap:
        """The astronaut in Hopper's photo and Hopper in the astronaut's."""
        faces, points = pair
        return method.swap_aligned(method.prepare(faces, points), faces.flip(0), points.flip(0))

    def test_it_is_a_method_and_registered_under_its_name(self, method):
        assert isinstance(method, Method)
        assert method.name == self.name and self.name in method_names()
        assert method_class(self.name) is type(method)
        assert method.paper

    def test_shapes_and_ranges(self, method, size, swapped):
        assert isinstance(swapped, AlignedSwap)
        assert swapped.image.shape == (2, 3, size, size) and swapped.mask.shape == (2, 1, size, size)
        assert swapped.image.dtype == swapped.mask.dtype == torch.float32
        assert swapped.image.isfinite().all() and swapped.mask.isfinite().all()
        assert swapped.image.min() >= -1 and swapped.image.max() <= 1
        assert swapped.mask.min() >= 0 and swapped.mask.max() <= 1 and swapped.mask.max() > 0.1
        if swapped.wplus is not None:
            assert swapped.wplus.ndim == 3 and len(swapped.wplus) == 2 and swapped.wplus.isfinite().all()

    def test_each_face_is_swapped_alone(self, method, pair, swapped):
        faces, points = pair
        for k in (0, 1):
            alone = method.swap_aligned(
                method.prepare(faces[k : k + 1], points[k : k + 1]), faces[1 - k][None], points[1 - k][None]
            )
            torch.testing.assert_close(alone.image[0], swapped.image[k], atol=1e-3, rtol=0)
            torch.testing.assert_close(alone.mask[0], swapped.mask[k], atol=1e-3, rtol=0)

    def test_one_person_serves_a_batch(self, method, pair):
        faces, points = pair
        one = method.swap_aligned(method.prepare(faces[:1], points[:1]), faces, points)
        repeated = method.prepare(faces[:1].repeat(2, 1, 1, 1), points[:1].repeat(2, 1, 1))
        many = method.swap_aligned(repeated, faces, points)
        torch.testing.assert_close(one.image, many.image, atol=1e-3, rtol=0)
        torch.testing.assert_close(one.mask, many.mask, atol=1e-3, rtol=0)

    def test_a_wrong_number_of_people_is_refused(self, method, pair):
        faces, points = pair
        with pytest.raises(ValueError, match="2 identities do not go with 3"):
            method.swap_aligned(
                method.prepare(faces, points), faces[[0, 1, 0]].contiguous(), points[[0, 1, 0]].contiguous()
            )

    def test_both_photos_matter(self, method, pair, swapped):
        faces, points = pair
        stays = method.swap_aligned(method.prepare(faces, points), faces, points)
        inside = (swapped.mask.flip(0) > 0.5).expand_as(stays.image)
        # Same attribute photo, other person.
        assert (swapped.image.flip(0) - stays.image)[inside].abs().mean() > 1e-3
        # Same person, other attribute photo.
        assert (swapped.image - stays.image).abs().mean() > 1e-3

    def test_several_photos_of_one_person_are_combined_to_one(self, method, pair, swapped):
        faces, points = pair
        parts = [method.prepare(faces[k : k + 1], points[k : k + 1]) for k in (0, 1)]
        both = method.swap_aligned(method.combine(parts), faces[[1, 0, 1]], points[[1, 0, 1]])
        assert both.image.shape[0] == 3
        torch.testing.assert_close(both.image[0], both.image[2])
        same = method.swap_aligned(method.combine([parts[0], parts[0]]), faces[1:], points[1:])
        torch.testing.assert_close(same.image[0], swapped.image[0], atol=1e-3, rtol=0)

    def test_twice_is_the_same(self, method, pair, swapped):
        faces, points = pair
        again = method.swap_aligned(method.prepare(faces, points), faces.flip(0), points.flip(0))
        assert torch.equal(again.image, swapped.image) and torch.equal(again.mask, swapped.mask)

    def test_inputs_are_not_modified_and_no_gradient_is_left(self, method, pair):
        faces, points = (tensor.clone() for tensor in pair)
        before = faces.clone(), points.clone()
        watched = faces.requires_grad_()
        result = method.swap_aligned(method.prepare(watched, points), watched, points)
        assert not result.image.requires_grad and not result.mask.requires_grad
        assert result.image.grad_fn is None and watched.grad is None
        assert torch.equal(watched, before[0]) and torch.equal(points, before[1])

    def test_landmarks_may_be_left_out(self, method, pair, swapped):
        faces, _ = pair
        result = method.swap_aligned(method.prepare(faces), faces.flip(0))
        assert result.image.shape == swapped.image.shape and result.image.isfinite().all()

    def test_the_identity_photo_may_have_another_side(self, method, pair, size):
        faces, points = pair
        large = torch.nn.functional.interpolate(faces, scale_factor=2, mode="nearest")
        result = method.swap_aligned(method.prepare(large, (points + 0.5) * 2 - 0.5), faces, points)
        assert result.image.shape[-1] == size
        plain = method.swap_aligned(method.prepare(faces, points), faces, points)
        other = method.swap_aligned(method.prepare(faces.flip(0), points.flip(0)), faces, points)
        inside = (plain.mask > 0.5).expand_as(plain.image)
        apart = (other.image - plain.image)[inside].abs().mean()
        assert (result.image - plain.image)[inside].abs().mean() < 0.5 * apart

    def test_a_dial_it_declares_changes_the_result(self, method, pair, swapped):
        faces, points = pair
        for dial, value in (("structure", 0.0), ("appearance", 1.0), ("seed", 7)):
            if dial in {option.name for option in method.options} - self.idle_dials:
                turned = method.swap_aligned(
                    method.prepare(faces, points), faces.flip(0), points.flip(0), {dial: value}
                )
                assert not torch.allclose(turned.image, swapped.image, atol=1e-5), dial
