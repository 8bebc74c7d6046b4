"""The textbook's networks give the images of ours, so their times may be compared."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from stylegan_swap.evaluation.bench.generator import random_generator
from stylegan_swap.methods.megafs.network import MegaFSConfig, MegaFSNetwork

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.append(BENCHMARKS)

import bench_ops  # noqa: E402
from textbook.generator import TextbookGenerator  # noqa: E402
from textbook.megafs import TextbookMegaFS  # noqa: E402

WITHIN = 1e-4


def codes(network, batch: int) -> torch.Tensor:
    stream = torch.Generator().manual_seed(1)
    return torch.randn(batch, network.n_latent, network.style_dim, generator=stream)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("single_channel", [False, True])
def test_the_textbook_generator_gives_our_image(batch, single_channel):
    network = random_generator(64)
    wplus = codes(network, batch)
    with torch.inference_mode():
        theirs = TextbookGenerator(network, single_channel=single_channel)(wplus)
        ours = network(wplus, return_features=False).image
        laid_out = network.for_inference()(wplus, return_features=False).image
    for image in (ours, laid_out):
        assert (image - theirs).abs().max() < WITHIN * theirs.abs().max()
    assert theirs.std() > 0.1


def test_noise_takes_part():
    """Otherwise the textbook's would be faster than it is."""
    network = random_generator(32)
    recipe, wplus = TextbookGenerator(network), codes(network, 1)
    with torch.inference_mode():
        image = recipe(wplus)
        network.noises.get_buffer("noise_2").zero_()
        assert (recipe(wplus) - image).abs().max() > 1e-2


def test_the_textbook_megafs_gives_our_image():
    torch.manual_seed(0)
    config = MegaFSConfig(
        size=256, style_dim=32, max_channels=16, blocks=(1, 1, 1, 1, 1), planes=(4, 4, 8, 8, 8)
    )
    network = MegaFSNetwork(config).eval().requires_grad_(False)
    recipe = TextbookMegaFS(network)
    network.generator.for_inference()
    photo, identity = torch.rand(2, 3, 256, 256) * 2 - 1, codes(network.generator, 2) * 0.1
    with torch.inference_mode():
        theirs = recipe(identity, photo)
        ours, _ = network(identity, network.encoder(photo))
    assert (ours - theirs).abs().max() < WITHIN * theirs.abs().max()


@pytest.mark.parametrize("batch", [1, 2])
def test_every_operation_gives_what_the_textbook_gives(batch):
    layer = bench_ops.Layer(16, batch, torch.float32, "cpu")
    checked = 0
    for name, ours, theirs, like, least in layer.operations():
        assert least > 0
        if name == "noise, bias, activation":
            # Ours finds bias and gains folded into the convolution before it.
            continue
        mine, other = ours(), theirs()
        assert mine.shape == other.shape == like.shape, name
        assert (mine - other).abs().max() < WITHIN * other.abs().max(), name
        checked += 1
    assert checked == 5
