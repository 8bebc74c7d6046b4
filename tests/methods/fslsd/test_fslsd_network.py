"""FSLSD's network: the recorded swap, what each input gives, and its configuration."""

from __future__ import annotations

import golden
import pytest
import torch
import torch.nn.functional as F

from stylegan_swap.methods.fslsd.network import FSLSDConfig, FSLSDNetwork
from stylegan_swap.nn.blocks.code_swapper import CodeSwapper
from stylegan_swap.nn.stylegan2.generator import Generator

TINY = {"size": 64, "style_dim": 32, "n_mlp": 2, "max_channels": 8, "identity_rows": 7, "points": 3}
TINY |= {"trunk_width": 16, "trunk_units": (1, 1, 1, 1)}


@golden.mark
@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("size", [256, 1024])
def test_official_swap(size):
    known = golden.case(f"fslsd_swap_e2e_{size}")
    with torch.device("meta"):
        network = FSLSDNetwork(FSLSDConfig(size=size))
    # The codes of the 256-pixel case have 18 rows too; pSp's encoder has a case of its own.
    network.swapper = CodeSwapper("S" * 11 + "T" * 7, edit=2.0)
    network.encoder = torch.nn.Module()
    network = network.to_empty(device="cpu").eval()
    parts = {
        "encoder_lmk": network.landmark_encoder,
        "bald_model": network.swapper.edit,
        "generator": network.generator,
        "encoder_target": network.target_encoder,
        "decoder": network.decoder,
    }
    sums = {"encoder_target": Generator(8).to_rgbs[0].upsample.kernel / 4}
    for part, module in parts.items():
        for name, value in module.state_dict().items():
            if name.endswith("kernel"):
                value.copy_(sums.get(part, Generator(8).to_rgbs[0].upsample.kernel))
            else:
                value.copy_(known.array(name, value.shape, known.manifest["unit"][part]))

    def enlarged(name, side):
        return F.interpolate(known.input(name), size=(side, side), mode="bilinear") * 3

    direction = network.landmark_encoder(enlarged("landmark_maps", 256))
    known.check("direction", direction)
    source, target = known.input("w_source"), known.input("w_target")
    plain = CodeSwapper(network.swapper.policy)(source, target, direction=direction)
    known.check("fused", plain)
    codes = network.swapper(source, target, direction=direction)
    known.check("bald", codes)
    mask = (F.interpolate(known.input("mask"), size=(size, size), mode="nearest") > -0.5).float()
    rows = network.generator.n_latent
    image = network.render(codes[:, :rows], enlarged("target", size), mask).image
    known.check("img_pool64", F.adaptive_avg_pool2d(image, 64))
    known.check("img_stats", torch.stack([image.mean((2, 3)), image.std((2, 3), correction=0)], 2))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return FSLSDNetwork(FSLSDConfig(**TINY)).eval()


@torch.no_grad()
def test_what_each_input_gives(network):
    identity, attribute, direction = torch.randn(1, 10, 32), torch.randn(1, 10, 32), torch.randn(1, 7, 32)
    photo, mask = torch.rand(1, 3, 64, 64) * 2 - 1, torch.ones(1, 1, 64, 64)
    output = network(identity, attribute, direction, photo, mask)
    assert output.image.shape == output.side.shape == (1, 3, 64, 64)
    moved = identity.clone()
    moved[:, :7] += direction
    mixed = torch.cat([moved[:, :7], attribute[:, 7:]], 1)
    torch.testing.assert_close(output.wplus, network.swapper.edit(mixed))
    torch.testing.assert_close(output.side, network.generator(output.wplus).image)
    # All face: the photo does not enter; no face: the codes do not.
    assert torch.equal(output.image, network(identity, attribute, direction, -photo, mask).image)
    outside = network(identity, attribute, direction, photo, 0 * mask).image
    assert torch.equal(outside, network(attribute, identity, direction, photo, 0 * mask).image)
    assert not torch.allclose(outside, output.image, atol=1e-3)


@torch.no_grad()
def test_the_average_belongs_to_the_codes(network):
    face = torch.rand(1, 3, 256, 256)
    before = network.invert(face)
    network.latent_avg += 1
    torch.testing.assert_close(network.invert(face), before + 1)
    assert "latent_avg" in network.state_dict()


def test_the_published_numbers():
    config = FSLSDConfig()
    with torch.device("meta"):
        network = FSLSDNetwork(config)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert count["landmark_encoder"] == 108_554_496 and count["swapper"] == 4_727_808
    assert count["target_encoder"] == 8_647_232 and count["decoder"] == 14_941_619
    assert count["encoder"] == 267_136_704
    assert network.swapper.policy == "S" * 11 + "T" * 7


def test_a_configuration_survives_json_and_refuses_what_is_wrong():
    config = FSLSDConfig(**TINY)
    assert FSLSDConfig.from_dict({**config.to_dict(), "trunk_units": [1, 1, 1, 1]}) == config
    for change, message in (({"identity_rows": 11}, r"in 0\.\.10"), ({"points": 0}, "points should be")):
        with pytest.raises(ValueError, match=message):
            FSLSDConfig.from_dict({**config.to_dict(), **change})
