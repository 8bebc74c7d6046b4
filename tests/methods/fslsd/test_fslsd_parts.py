"""FSLSD's modules, each against its recorded output, and what must hold of them."""

from __future__ import annotations

import golden
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_swap.methods.fslsd.blend_decoder import BlendDecoder, mask_chain
from stylegan_swap.methods.fslsd.landmark_encoder import LandmarkEncoder
from stylegan_swap.methods.fslsd.point_maps import point_maps
from stylegan_swap.methods.fslsd.target_encoder import TargetEncoder
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.nn.stylegan2.generator import Generator

SIZES = [256, pytest.param(1024, marks=pytest.mark.slow)]
CHANNELS = {8: 6, 16: 5, 32: 4}


def enlarged(known: golden.GoldenCase, name: str, size: int, gain: float = 3) -> Tensor:
    return F.interpolate(known.input(name), size=(size, size), mode="bilinear") * gain


def check_features(known: golden.GoldenCase, features: dict[int, Tensor]) -> None:
    for r, feature in features.items():
        known.check(f"f{r}_pool4", F.adaptive_avg_pool2d(feature, 4))
        stats = torch.stack([feature.mean((2, 3)), feature.std((2, 3), correction=0)], 2)
        known.check(f"f{r}_stats", stats)


@golden.mark
@torch.no_grad()
def test_official_point_maps():
    known = golden.case("fslsd_landmark_maps")
    maps = point_maps(torch.tensor(known.manifest["landmarks"], dtype=torch.float64)[None])
    known.check("sum_per_map", maps.sum((2, 3)))
    known.check("pool64", F.adaptive_avg_pool2d(maps, 64))
    for lit, expected in zip(maps[0], known.manifest["nonzero_row_col"], strict=True):
        assert lit.nonzero().flatten().tolist() == expected


@golden.mark
@pytest.mark.slow
@torch.no_grad()
def test_official_landmark_encoder():
    known = golden.case("fslsd_landmark_encoder")
    encoder = known.fill(LandmarkEncoder(known.config["mark_nums"])).eval()
    known.check("direction", encoder(enlarged(known, "landmark_maps", 256)))


@golden.mark
@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
def test_official_target_encoder(size):
    known = golden.case(f"fslsd_target_encoder_{size}")
    encoder = known.fill(TargetEncoder(size)).eval()
    features = encoder(enlarged(known, "target", size))
    assert sorted(features) == [2**k for k in range(3, size.bit_length())]
    check_features(known, features)


@golden.mark
@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
def test_official_generator_features(size):
    known = golden.case(f"fslsd_generator_{size}")
    features = known.fill(Generator(**known.config)).eval()(known.input("wplus")).features
    check_features(known, {r: feature for r, feature in features.items() if r >= 8})


@golden.mark
@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
def test_official_decoder(size):
    known = golden.case(f"fslsd_decoder_{size}")
    decoder = known.fill(BlendDecoder(size)).eval()
    source, target = (
        {r: enlarged(known, f"{side}{r}", r, gain=1) for r in decoder.resolutions} for side in ("src", "tgt")
    )
    mask = (F.interpolate(known.input("mask"), size=(size, size), mode="nearest") > -0.5).float()
    for r, level in mask_chain(mask, size).items():
        known.check(f"mask{r}_pool64" if r > 64 else f"mask{r}", F.adaptive_avg_pool2d(level, min(r, 64)))
    image = decoder(source, target, mask)
    known.check("img_pool64", F.adaptive_avg_pool2d(image, 64))
    known.check("img_stats", torch.stack([image.mean((2, 3)), image.std((2, 3), correction=0)], 2))


@golden.mark
@pytest.mark.slow
@torch.no_grad()
def test_official_discriminator_sees_no_spread():
    known = golden.case("fslsd_discriminator_256")
    network = known.fill(Discriminator(256, group=1)).eval()
    known.check("logit", network(enlarged(known, "image", 256)))


def test_a_map_has_one_pixel_or_none():
    points = torch.tensor(
        [[[3.9, 0.0], [-0.4, 7.99], [-1, -1], [8, 2], [2, -3], [float("nan"), 1], [1e30, 1]]]
    )
    maps = point_maps(points, 8)
    assert maps.shape == (1, 7, 8, 8)
    assert maps[0, 0].nonzero().tolist() == [[0, 3]] and maps[0, 1].nonzero().tolist() == [[7, 0]]
    assert not maps[0, 2:].any()
    with pytest.raises(ValueError, match="K, 2"):
        point_maps(points[0])


@torch.no_grad()
def test_the_mask_chooses_the_pyramid():
    torch.manual_seed(0)
    decoder = BlendDecoder(32, CHANNELS)
    ours, theirs, other = ({r: torch.randn(1, c, r, r) for r, c in CHANNELS.items()} for _ in range(3))
    ones, zeros = torch.ones(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    image = decoder(ours, theirs, ones)
    assert image.shape == (1, 3, 32, 32)
    assert torch.equal(image, decoder(ours, other, ones))
    assert not torch.allclose(image, decoder(other, theirs, ones), atol=1e-3)
    assert torch.equal(decoder(ours, theirs, zeros), decoder(other, theirs, zeros))


def test_every_mask_comes_from_64_samples():
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 4:20, 4:20] = 1
    changed = mask.clone()
    changed[..., 16, 16] = 0  # not among the four pixels around any of the 8×8 sampling points
    chain, other = mask_chain(mask, 32), mask_chain(changed, 32)
    assert list(chain) == [8, 16, 32] and all(torch.equal(chain[r], other[r]) for r in chain)
    assert 0 < chain[32][0, 0, 3, 12] < 1
    with pytest.raises(ValueError, match="mask must be"):
        mask_chain(mask, 64)


@torch.no_grad()
def test_a_direction_depends_on_both_faces():
    torch.manual_seed(0)
    encoder = LandmarkEncoder(4, 8, 5, trunk_width=16, trunk_units=(1, 1, 1, 1)).eval()
    points = torch.tensor([[[50.0, 60], [100, 200], [30, 30], [70, 90]]])
    direction = encoder(point_maps(points))
    assert direction.shape == (1, 5, 8)
    for moved in (0, 2):
        other = points.clone()
        other[:, moved] += 40
        assert not torch.equal(encoder(point_maps(other)), direction)
    with pytest.raises(ValueError, match=r"reads \[batch, 4, 256, 256\]"):
        encoder(torch.zeros(1, 4, 128, 128))


def test_what_does_not_fit_is_refused():
    for build in (TargetEncoder, BlendDecoder):
        with pytest.raises(ValueError, match=r"size 32 from 16 on needs channels at \[16\]"):
            build(32, {8: 4, 32: 4})
        with pytest.raises(ValueError, match="size 8 from 16 on"):
            build(8)
    with pytest.raises(ValueError, match="two faces"):
        LandmarkEncoder(5, 8, trunk_width=16)
    with pytest.raises(ValueError, match="two faces"):
        LandmarkEncoder(4, 8, rows=3, trunk_width=16)
    with pytest.raises(ValueError, match="four stages"):
        LandmarkEncoder(4, 8, trunk_units=(1, 1))
    with pytest.raises(ValueError, match="TargetEncoder reads"):
        TargetEncoder(32, CHANNELS)(torch.zeros(1, 3, 16, 16))
