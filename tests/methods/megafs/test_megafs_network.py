"""MegaFS's network: the recorded generator and swap, and its configuration."""

from __future__ import annotations

import golden
import pytest
import torch
import torch.nn.functional as F

from inversion import Latents
from stylegan_swap.methods.megafs.method import stretched
from stylegan_swap.methods.megafs.network import MegaFSConfig, MegaFSNetwork
from stylegan_swap.nn.stylegan2.generator import Generator

TINY = {"size": 64, "style_dim": 32, "n_mlp": 2, "max_channels": 16, "split": (3, 3, 4)}
TINY |= {"blocks": (1, 1, 1, 1, 1), "planes": (4, 4, 8, 8, 8)}


@golden.mark
@torch.no_grad()
@pytest.mark.parametrize("size", [256, pytest.param(1024, marks=pytest.mark.slow)])
def test_official_generator(size):
    known = golden.case(f"megafs_generator_{size}")
    network = known.fill(Generator(**known.config)).eval()
    wplus, structure = known.input("wplus").tanh(), known.input("struct")
    for name, start in (("img", structure), ("img_const", None)):
        image = network(wplus, structure=start).image
        known.check(f"{name}_pool64", F.adaptive_avg_pool2d(image, 64))
        known.check(f"{name}_stats", torch.stack([image.mean((2, 3)), image.std((2, 3), correction=0)], 2))


@golden.mark
@pytest.mark.slow
@torch.no_grad()
def test_official_swap():
    known = golden.case("megafs_swap_e2e")
    with torch.device("meta"):
        network = MegaFSNetwork()
    network = network.to_empty(device="cpu").eval()
    own = network.state_dict()
    kept = Generator(8).to_rgbs[0].upsample.kernel
    for part, unit in known.manifest["unit"].items():
        for name, value in getattr(network, part).state_dict().items():
            full = f"{part}.{name}"
            own[full].copy_(kept if name.endswith("kernel") else known.array(name, value.shape, unit))
    target, source = (
        F.interpolate(known.input(name), size=(256, 256), mode="bilinear") * 3
        for name in ("target", "source")
    )
    latents = network.encoder(torch.cat([target, source]))
    known.check("latents", latents.wplus)
    known.check("struct", latents.structure)
    image, wplus = network(latents.wplus[1:], Latents(latents.wplus[:1], latents.structure[:1]))
    known.check("swapped", wplus)
    known.check("img_pool64", F.adaptive_avg_pool2d(image, 64))
    known.check("img_minmax", torch.stack([image.min(), image.max()]))
    known.check("img_stats", torch.stack([image.mean((2, 3)), image.std((2, 3), correction=0)], 2))
    known.check("denorm_pool64", F.adaptive_avg_pool2d((stretched(image) + 1) * 127.5, 64))


@torch.no_grad()
@pytest.mark.parametrize("swap", ["ftm", "injection", "lcr"])
def test_what_each_photo_gives(swap):
    torch.manual_seed(0)
    network = MegaFSNetwork(MegaFSConfig(**TINY, swap=swap)).eval()
    latents = network.encoder(3 * torch.randn(2, 3, 256, 256))
    attribute = Latents(latents.wplus[:1], latents.structure[:1])
    image, wplus = network(latents.wplus[1:], attribute)
    assert image.shape == (1, 3, 64, 64) and wplus.shape == (1, 10, 32)
    assert torch.equal(wplus[:, :4], attribute.wplus[:, :4])
    assert not torch.allclose(wplus[:, 4:], attribute.wplus[:, 4:], atol=1e-3)
    if swap == "lcr":
        assert torch.equal(wplus[:, 4:], latents.wplus[1:, 4:])
    still, same = network(latents.wplus[1:], attribute, strength=0.0)
    assert torch.equal(same, attribute.wplus)
    assert torch.equal(still, network.synthesise(attribute))
    without = network.synthesise(Latents(attribute.wplus))
    assert not torch.allclose(still, without, atol=1e-3)


def test_the_published_numbers():
    config = MegaFSConfig()
    assert config.rows == (4, 6, 8) and config.n_latent == 18
    assert config.channels == {
        4: 512,
        8: 512,
        16: 512,
        32: 512,
        64: 512,
        128: 256,
        256: 128,
        512: 64,
        1024: 32,
    }
    assert MegaFSConfig(size=256).rows == (3, 4, 7)
    with torch.device("meta"):
        network = MegaFSNetwork(config)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert count["encoder"] == 242_013_248 and count["swapper"] == 66_196_480


def test_a_configuration_survives_json_and_refuses_what_is_wrong():
    config = MegaFSConfig(**TINY, swap="lcr")
    assert MegaFSConfig.from_dict({**config.to_dict(), "split": [3, 3, 4]}) == config
    assert config.to_dict()["method"] == "megafs"
    for change, message in (
        ({"swap": "copy"}, "swap must be one of"),
        ({"size": 100}, "power of two"),
        ({"size": 1.5}, "size should be a valid integer"),
        ({"split": (3, 3, 3)}, "add up to 10"),
        ({"split": None}, "split must be given at size 64"),
        ({"split": 5}, "split should be a valid tuple"),
        ({"colour": 1}, "unknown configuration keys"),
        ({"method": "fslsd"}, "'fslsd', not of 'megafs'"),
    ):
        with pytest.raises(ValueError, match=message):
            MegaFSConfig.from_dict({**config.to_dict(), **change})
