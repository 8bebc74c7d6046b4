"""LPIPS, FID and KID: never without their files, and right arithmetic with stand-ins for the networks."""

from __future__ import annotations

import warnings

import pytest
import torch
import torchvision
from torch import nn

from stylegan_swap.errors import CheckpointError, MissingDependencyError
from stylegan_swap.metrics.perceptual import (
    INCEPTION_FILE,
    fid,
    inception,
    kid,
    lpips_distance,
)
from stylegan_swap.weights.backbones import LPIPS_FILES, backbone_file, lpips_network


class FirstPixels(nn.Module):
    """Features that are pixels: what the distances must be is then known."""

    num_features = 3

    def forward(self, x):
        return x[:, :, 0, 0].float()


def images(count: int, seed: int, shift: int = 0) -> torch.Tensor:
    noise = torch.randint(0, 100, (count, 3, 1, 1), generator=torch.Generator().manual_seed(seed))
    return (noise + shift).to(torch.uint8)


def test_missing_files_are_named(tmp_path):
    for load in (lpips_network, lambda folder: lpips_network("vgg", folder), inception):
        with pytest.raises(MissingDependencyError, match=r"is not in .*put it there"):
            load(folder=tmp_path)


def test_the_place_is_torchs_own(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / INCEPTION_FILE
    place.parent.mkdir()
    place.touch()
    assert backbone_file(INCEPTION_FILE) == place


def test_lpips_with_a_file(tmp_path):
    """Any weights will do to see that the file is read, and that equal pictures have distance 0."""
    torch.manual_seed(0)
    alexnet = torchvision.models.alexnet()
    torch.save(
        {k: v for k, v in alexnet.state_dict().items() if k.startswith("features")},
        tmp_path / LPIPS_FILES["alex"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = lpips_network("alex", tmp_path)
    torch.testing.assert_close(network.net.slice1[0].weight, alexnet.features[0].weight)
    torch.testing.assert_close(network.net.slice5[0].weight, alexnet.features[10].weight)
    a = torch.rand(2, 3, 64, 64) * 2 - 1
    noise = torch.randn(a.shape)
    assert lpips_distance(a, a, network).tolist() == [0.0, 0.0]
    far = [float(lpips_distance(a, a + grade * noise, network).mean()) for grade in (0.05, 0.2, 0.8)]
    assert 0 < far[0] < far[1] < far[2]
    with pytest.raises(ValueError, match="equal shapes"):
        lpips_distance(a, a[:1], network)


def test_wrong_files_are_told(tmp_path):
    file = tmp_path / LPIPS_FILES["alex"]
    torch.save({"features.0.weight": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="not the weights"):
        lpips_network("alex", tmp_path)
    file.write_bytes(b"<html>")
    with pytest.raises(CheckpointError, match="web page, not weights"):
        lpips_network("alex", tmp_path)
    with pytest.raises(ValueError, match="alex or vgg"):
        lpips_network("resnet", tmp_path)


def test_inception_needs_its_package_too(tmp_path):
    (tmp_path / INCEPTION_FILE).touch()
    with pytest.raises(MissingDependencyError, match="pip install torch-fidelity"):
        inception(tmp_path)


def test_fid_of_a_shift_is_its_square():
    """Equal covariances: what remains is |μ₁ − μ₂|², three channels of 20²."""
    photos = images(200, 0)
    assert fid([photos], [photos], FirstPixels()) == pytest.approx(0, abs=1e-3)
    split = photos.split(64)
    assert fid([photos + 20], split, FirstPixels()) == pytest.approx(1200, rel=1e-4)


def test_kid_is_zero_for_the_same_distribution():
    near, spread = kid([images(300, 1)], [images(300, 2)], FirstPixels(), subset_size=100)
    far, _ = kid([images(300, 1, shift=60)], [images(300, 2)], FirstPixels(), subset_size=100)
    assert abs(near) < spread
    assert far > 10 * spread
    assert kid([images(300, 1)], [images(300, 2)], FirstPixels(), subset_size=100) == (near, spread)
