"""The perceptual term without its foreign backbone, and with a stand-in for it."""

import pytest
import torch
from torch import nn

from stylegan_swap.errors import MissingDependencyError
from stylegan_swap.losses import perceptual
from stylegan_swap.losses.features import feature_loss
from stylegan_swap.losses.perceptual import PerceptualLoss
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.recognisers.dlib_resnet import DlibResNet


@pytest.fixture(scope="module")
def identity():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DlibIdentity(DlibResNet())


def test_without_the_backbone_it_is_dlib(identity, tmp_path):
    loss = PerceptualLoss(identity, folder=tmp_path)
    assert loss.kind == "dlib"
    assert loss.state_dict() == {}
    assert not list(loss.parameters())
    torch.manual_seed(1)
    a, b = torch.rand(2, 3, 64, 64, requires_grad=True), torch.rand(2, 3, 64, 64)
    distance = loss(a, b)
    want = feature_loss(identity.features(a)[:3], identity.features(b)[:3])
    torch.testing.assert_close(distance, want)
    assert distance.shape == (2,)
    assert torch.equal(loss(b, b), torch.zeros(2))
    distance.sum().backward()
    assert a.grad.abs().sum() > 0
    assert all(p.grad is None for p in identity.parameters())


def test_lpips_alone_says_what_is_missing(identity, tmp_path):
    with pytest.raises(MissingDependencyError, match="alexnet"):
        PerceptualLoss(identity, "lpips", tmp_path)
    with pytest.raises(ValueError, match="'auto'"):
        PerceptualLoss(identity, "vgg")


def test_with_the_backbone_it_is_lpips(monkeypatch, identity):
    class Stand(nn.Module):
        def forward(self, a, b):
            return (a - b).square().mean((1, 2, 3), keepdim=True)

    monkeypatch.setattr(perceptual, "lpips_network", lambda net, folder: Stand())
    loss = PerceptualLoss(identity)
    assert loss.kind == "lpips"
    a = torch.rand(2, 3, 8, 8, requires_grad=True)
    b = torch.rand(2, 3, 8, 8, requires_grad=True)
    assert torch.equal(loss(a, b), (a - b).square().mean((1, 2, 3)))
    loss(a, b).sum().backward()
    assert b.grad is None
    assert PerceptualLoss(identity, "dlib").kind == "dlib"


def test_building_it_leaves_the_random_stream_alone(identity, tmp_path):
    torch.manual_seed(3)
    want = torch.rand(1)
    torch.manual_seed(3)
    PerceptualLoss(identity, folder=tmp_path)
    assert torch.equal(torch.rand(1), want)


def test_unequal_shapes_are_refused(identity, tmp_path):
    loss = PerceptualLoss(identity, folder=tmp_path)
    with pytest.raises(ValueError, match="equal shapes"):
        loss(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 128, 128))
