"""The terms of the swap stage: what each is blind to, what it punishes, and by how much."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylegan_swap.faces.geometry.head_pose import MEAN_FACE
from stylegan_swap.losses.colour import brightness_loss, hue_loss
from stylegan_swap.losses.expression import expression_features, expression_loss
from stylegan_swap.losses.features import feature_loss
from stylegan_swap.losses.identity import RandomView, identity_loss, push_away_loss
from stylegan_swap.losses.landmarks import landmark_loss
from stylegan_swap.losses.mask import mask_loss
from stylegan_swap.losses.pixel import pixel_loss, pixel_weights
from stylegan_swap.metrics.expression import SPREAD as MEASURED_SPREAD
from stylegan_swap.metrics.expression import expression_features as measured_features
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity


def face_points(size: int = 128) -> torch.Tensor:
    """The mean face in the middle of a crop, ``[1, 68, 2]``."""
    return torch.from_numpy(MEAN_FACE[None, :, :2] * size / 256 + size / 2).float()


def smooth(batch: int, size: int, seed: int) -> torch.Tensor:
    stream = torch.Generator().manual_seed(seed)
    return F.interpolate(
        torch.rand(batch, 3, 8, 8, generator=stream) * 2 - 1, size=(size, size), mode="bilinear"
    )


@pytest.fixture(scope="module")
def recogniser() -> DlibIdentity:
    return DlibIdentity()


class TestPixel:
    def test_is_the_weighted_mean_difference(self):
        image, target = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
        target[..., 0, 0] = 3
        weights = torch.tensor([[[[2.0, 1.0], [1.0, 0.0]]]])
        assert pixel_loss(image, target, weights).item() == pytest.approx((2 * 3 + 1 + 1) / 4)

    def test_weights_are_highest_at_the_mouth_and_lowest_outside(self):
        points = face_points()
        mask = torch.zeros(1, 1, 128, 128)
        mask[..., 30:110, 30:100] = 1
        weights = pixel_weights(mask, points, parts=3.0, outside=0.25)
        x, y = points[0, 62].round().long().tolist()
        assert weights[0, 0, y, x].item() == pytest.approx(3.0, abs=0.2)
        assert weights[0, 0, 34, 34].item() == pytest.approx(1.0, abs=0.1)
        assert weights[0, 0, 2, 2].item() == pytest.approx(0.25)


class TestIdentity:
    def test_same_opposite_and_unrelated(self, recogniser):
        mean = recogniser.mean
        direction = torch.zeros_like(mean)
        direction[0] = 0.3
        other = direction.roll(5)
        one = (mean + direction)[None]
        assert identity_loss(recogniser, one, one).item() == pytest.approx(0, abs=1e-5)
        assert identity_loss(recogniser, (mean - direction)[None], one).item() == pytest.approx(2, abs=1e-5)
        assert identity_loss(recogniser, (mean + other)[None], one).item() == pytest.approx(1, abs=1e-4)

    def test_pushing_away_stops_at_the_margin(self, recogniser):
        mean = recogniser.mean
        direction = torch.zeros_like(mean)
        direction[0] = 0.3
        one, unrelated = (mean + direction)[None], (mean + direction.roll(5))[None]
        assert push_away_loss(recogniser, one, one, 0.1).item() == pytest.approx(0.9, abs=1e-4)
        assert push_away_loss(recogniser, unrelated, one, 0.1).item() == 0

    def test_views_differ_move_little_and_carry_the_gradient(self):
        x = smooth(64, 64, 0).requires_grad_()
        torch.manual_seed(0)
        view = RandomView(64, x.device)
        views = view(x)
        assert torch.equal(views, view(x))
        torch.manual_seed(1)
        assert not torch.equal(views, RandomView(64, x.device)(x))
        straight = (views - x).abs().mean((1, 2, 3))
        mirrored = (views - x.flip(3)).abs().mean((1, 2, 3))
        grey = (views - views.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-5
        assert 6 <= int(grey.sum()) <= 28
        assert 16 <= int((mirrored < straight).sum()) <= 48
        assert torch.minimum(straight, mirrored)[~grey].max() < 0.2
        (gradient,) = torch.autograd.grad(views.sum(), x)
        assert gradient.abs().amax((1, 2, 3)).min() > 0

    def test_a_view_of_a_constant_is_the_constant(self):
        torch.manual_seed(0)
        views = RandomView(8, torch.device("cpu"))(torch.full((8, 3, 32, 32), 0.25))
        assert torch.allclose(views, torch.full_like(views, 0.25), atol=1e-5)


class TestFeatures:
    def test_counts_every_map_alike_whatever_its_scale(self):
        target = [torch.ones(2, 4, 8, 8), 100 * torch.ones(2, 8, 4, 4)]
        features = [1.5 * target[0], 1.1 * target[1]]
        assert torch.allclose(feature_loss(features, target), torch.full((2,), 0.3))

    def test_the_target_gets_no_gradient(self):
        target = torch.ones(1, 2, 4, 4, requires_grad=True)
        one = torch.zeros(1, 2, 4, 4, requires_grad=True)
        feature_loss([one], [target]).sum().backward()
        assert target.grad is None and one.grad is not None

    def test_lists_must_match(self):
        with pytest.raises(ValueError, match="1 maps against 2"):
            feature_loss([torch.ones(1, 1, 1, 1)], [torch.ones(1, 1, 1, 1)] * 2)


class TestLandmarks:
    def test_a_shift_counts_in_percent_of_the_side(self):
        points = torch.rand(3, 68, 2)
        assert landmark_loss(points + torch.tensor([0.03, 0.04]), points) == pytest.approx(
            [5.0] * 3, rel=1e-4
        )

    def test_the_mouth_counts_more_than_the_jaw(self):
        points = torch.rand(1, 68, 2)
        jaw, mouth = points.clone(), points.clone()
        jaw[:, 8] += 0.1
        mouth[:, 57] += 0.1
        assert landmark_loss(mouth, points).item() > 4 * landmark_loss(jaw, points).item()


class TestExpression:
    def test_agrees_with_the_measure_of_evaluation(self):
        rng = np.random.default_rng(0)
        for _ in range(5):
            points = MEAN_FACE[:, :2] + rng.normal(0, 1.0, (68, 2))
            ours = expression_features(torch.from_numpy(points)[None])[0].numpy()
            # The two are upright by other points, so they agree to a small part of the spread.
            assert np.abs((ours - measured_features(points)) / MEASURED_SPREAD).mean() < 1.0
            straight = expression_features(torch.from_numpy(3 * points + 7)[None])[0].numpy()
            assert np.allclose(ours, straight, atol=1e-6)

    def test_an_open_mouth_is_punished_and_another_face_shape_is_not(self):
        points = face_points()
        open_mouth = points.clone()
        open_mouth[:, [57, 58, 56, 65, 66, 67], 1] += 6
        larger = points * 1.3 - 20
        assert expression_loss(larger, points).item() == pytest.approx(0, abs=1e-3)
        assert expression_loss(open_mouth, points).item() > 0.5

    def test_gradient_closes_the_mouth(self):
        points = face_points().double()
        target = points.clone()
        points[:, [65, 66, 67], 1] += 1
        points.requires_grad_()
        expression_loss(points, target).sum().backward()
        assert points.grad[0, 66, 1] > 0 > points.grad[0, 62, 1]


class TestColourAndMask:
    def test_brightness_is_seen_in_patches_and_hue_is_not(self):
        photo, mask = smooth(1, 64, 1), torch.ones(1, 1, 64, 64)
        checker = 0.2 * (-1.0) ** torch.arange(64).add(torch.arange(64)[:, None])
        red = torch.tensor([0.2, -0.1, -0.1]).view(1, 3, 1, 1)
        assert brightness_loss(photo + checker + red, photo, mask).item() == pytest.approx(0, abs=1e-5)
        assert brightness_loss(photo + 0.2, photo, mask).item() == pytest.approx(0.2, abs=1e-4)

    def test_hue_is_held_in_smaller_patches(self):
        photo, mask = smooth(1, 128, 1), torch.ones(1, 1, 128, 128)
        # Squares of four pixels: half of a patch of brightness, a whole one of hue.
        blocks = (-1.0) ** (torch.arange(128) // 4 + torch.arange(128)[:, None] // 4)
        hue = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1) * blocks
        assert brightness_loss(photo + 0.3 * blocks, photo, mask).item() == pytest.approx(0, abs=1e-5)
        assert hue_loss(photo + 0.3 * blocks, photo, mask).item() == pytest.approx(0, abs=1e-5)
        assert hue_loss(photo + 0.3 * hue, photo, mask).item() == pytest.approx(0.2, abs=1e-4)

    def test_colours_outside_the_face_do_not_count(self):
        photo, mask = smooth(1, 64, 2), torch.zeros(1, 1, 64, 64)
        mask[..., 16:48, 16:48] = 1
        changed = torch.where(mask > 0, photo, photo + torch.tensor([1.0, 0.5, 0.2]).view(1, 3, 1, 1))
        for loss in (brightness_loss, hue_loss):
            assert loss(changed, photo, mask).item() == pytest.approx(0, abs=1e-6)

    def test_mask_is_cross_entropy(self):
        logits = torch.tensor([0.0, 2.0]).view(1, 1, 1, 2)
        mask = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
        expected = (np.log(2) + np.log1p(np.exp(2.0))) / 2
        assert mask_loss(logits, mask).item() == pytest.approx(expected, rel=1e-5)
