"""LandmarkNet: units, heat maps, gradients, and what the shipped weights see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.nn.perception.landmark_net import LandmarkNet, target_maps
from stylegan_swap.weights.landmark_net import load_landmark_net


def test_points_are_the_means_of_the_maps():
    torch.manual_seed(0)
    output = LandmarkNet().eval()(torch.rand(2, 3, 96, 96) * 2 - 1)
    maps = output.log_maps.exp()
    assert torch.allclose(maps.sum((2, 3)), torch.ones(2, 68), atol=1e-4)
    centres = (torch.arange(64) + 0.5) / 64
    assert torch.allclose(output.points[..., 0], (maps.sum(2) * centres).sum(2), atol=1e-5)
    assert torch.allclose(output.points[..., 1], (maps.sum(3) * centres).sum(2), atol=1e-5)


@pytest.mark.parametrize("position", [(0.5, 0.25), (0.3, 0.8)])
def test_a_drawn_target_has_its_mean_at_the_point(position):
    points = torch.tensor(position).expand(1, 68, 2)
    maps = target_maps(points, sigma=1.5)
    centres = (torch.arange(64) + 0.5) / 64
    found = torch.stack([(maps.sum(2) * centres).sum(2), (maps.sum(3) * centres).sum(2)], 2)
    assert torch.allclose(found, points, atol=1e-4)


def test_pixels_put_the_centre_of_the_first_pixel_at_zero():
    output = LandmarkNet().eval()(torch.zeros(1, 3, 128, 128))
    assert torch.allclose(output.pixels(256), output.points * 256 - 0.5)


def test_it_is_small_and_differentiable():
    network = LandmarkNet().eval()
    assert sum(p.numel() for p in network.parameters()) < 1_000_000
    x = torch.rand(1, 3, 128, 128, requires_grad=True)
    network(x).points[0, 62].sum().backward()
    assert x.grad.abs().sum() > 0


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="aligned images"):
        LandmarkNet()(torch.zeros(1, 3, 64, 32))


def test_shipped_weights_agree_with_dlib_on_public_photographs(
    astronaut, astronaut_face, hopper, hopper_face
):
    network = load_landmark_net()
    for photo, face in ((astronaut, astronaut_face), (hopper, hopper_face)):
        alignment = ffhq_alignment(face.landmarks, 256)
        truth = alignment.to_crop(face.landmarks)
        with torch.no_grad():
            found = network(from_pixels(alignment.crop(photo))).pixels(256)[0].numpy()
        eyes = np.linalg.norm(truth[36:42].mean(0) - truth[42:48].mean(0))
        assert np.linalg.norm(found - truth, axis=1).mean() < 0.06 * eyes
