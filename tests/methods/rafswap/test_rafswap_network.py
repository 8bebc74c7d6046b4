"""RAFSwap's modules and swap against recorded outputs, and what must hold of them."""

from __future__ import annotations

import golden
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_swap.methods.rafswap.encoder import RegionEncoder
from stylegan_swap.methods.rafswap.mask_predictor import MaskPredictor
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork
from stylegan_swap.methods.rafswap.region_tokens import RegionProjector, RegionTokenizer, TransformerBlock
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.nn.stylegan2.generator import Generator

TINY = RAFSwapConfig(
    size=64, style_dim=32, n_mlp=2, max_channels=16, trunk_width=16, trunk_units=(1, 1, 1, 1)
)


def enlarged(known: golden.GoldenCase, name: str, size: int = 256) -> Tensor:
    return F.interpolate(known.input(name), size=(size, size), mode="bilinear") * 3


def regions(known: golden.GoldenCase, *names: str) -> Tensor:
    coarse = torch.stack([known.input(name)[:, 0] for name in names])
    return (F.interpolate(coarse, size=(64, 64), mode="nearest") > 0.5).float()


def stats(x: Tensor) -> Tensor:
    return torch.stack([x.mean((2, 3)), x.std((2, 3), correction=0)], 2)


@golden.mark
@torch.no_grad()
def test_official_tokenizer():
    known = golden.case("rafswap_tokenizer")
    tokenizer = known.fill(RegionTokenizer(known.config["inchl"]))
    masks = regions(known, "mask", "mask2")
    masks[1, 2] = 0
    known.check("out", tokenizer(known.input("feat"), masks))
    known.check("out16", tokenizer(known.input("feat16"), masks))
    empty = tokenizer(known.input("feat"), masks)[1, 2]
    assert torch.equal(empty, tokenizer.fc[0].bias)


@golden.mark
@torch.no_grad()
def test_official_transformer_block():
    known = golden.case("rafswap_transformer_block")
    known.check("out", known.fill(TransformerBlock()).eval()(known.input("tokens")))


@golden.mark
@torch.no_grad()
def test_official_projector():
    known = golden.case("rafswap_projector")
    projector = known.fill(RegionProjector())
    feature, tokens = known.input("feat"), known.input("tokens")
    out = projector(feature, tokens, regions(known, "mask"))
    known.check("out_pool8", F.adaptive_avg_pool2d(out, 8))
    known.check("out_stats", stats(out))


@golden.mark
@torch.no_grad()
def test_a_batch_is_projected_sample_by_sample_where_the_official_code_mixes_it():
    known = golden.case("rafswap_projector")
    projector = known.fill(RegionProjector())
    feature, tokens, masks = known.input("feat2"), known.input("tokens2"), regions(known, "mask", "mask2")
    both = projector(feature, tokens, masks)
    for i in (0, 1):
        alone = projector(feature[i : i + 1], tokens[i : i + 1], masks[i : i + 1])
        torch.testing.assert_close(both[i : i + 1], alone, atol=1e-5, rtol=1e-5)
    # The recorded batch: features repeated class by class against masks in the order of samples.
    small = F.interpolate(masks, size=(8, 8), mode="nearest").reshape(8, 1, 8, 8)
    mixed = (feature.repeat(4, 1, 1, 1) * small).unflatten(0, (2, 4)).mean(1)
    official = projector.attend(mixed, feature, tokens)
    known.check("out_b2_pool4", F.adaptive_avg_pool2d(official, 4))
    assert (official - both).abs().max() > 0.1


@golden.mark
@torch.no_grad()
def test_official_mask_predictor():
    known = golden.case("rafswap_mask_predictor")
    predictor = known.fill(MaskPredictor(256)).eval()
    first, second = (
        {
            r: F.interpolate(known.input(f"f{r}_{side}"), size=(r, r), mode="bilinear")
            for r in predictor.resolutions
        }
        for side in (0, 1)
    )
    mask = predictor(first, second)
    known.check("mask_pool64", F.adaptive_avg_pool2d(mask, 64))
    known.check("mask_stats", stats(mask))


@golden.mark
@pytest.mark.slow
@torch.no_grad()
def test_official_discriminator():
    known = golden.case("rafswap_discriminator_256")
    network = known.fill(Discriminator(256, group=4)).eval()
    known.check("logit", network(enlarged(known, "image")))


@golden.mark
@pytest.mark.slow
@torch.no_grad()
def test_official_encoder():
    known = golden.case("rafswap_encoder")
    encoder = known.fill(RegionEncoder()).eval()
    identity = encoder.describe(enlarged(known, "source"), regions(known, "mask_source"))
    target = enlarged(known, "target")
    known.check("latents", encoder(target, regions(known, "mask_target"), identity))


@golden.mark
@pytest.mark.slow
@torch.no_grad()
def test_official_swap():
    known = golden.case("rafswap_swap_e2e")
    with torch.device("meta"):
        network = RAFSwapNetwork()
    network = network.to_empty(device="cpu").eval()
    network.latent_avg.zero_()
    kernel = Generator(8).to_rgbs[0].upsample.kernel
    parts = {"encoder": network.encoder, "decoder": network.generator, "mask": network.mask}
    for part, module in parts.items():
        for name, value in module.state_dict().items():
            array = known.array(name, value.shape, known.manifest["unit"][part])
            value.copy_(kernel if name.endswith("kernel") else array)
    target = enlarged(known, "target")
    identity = network.encoder.describe(enlarged(known, "source"), regions(known, "mask_source"))
    wplus = network.codes(target, regions(known, "mask_target"), identity)
    known.check("latents", wplus)
    output = network(wplus)
    image, mask = F.adaptive_avg_pool2d(output.image, 256), output.mask
    known.check("img256_pool64", F.adaptive_avg_pool2d(image, 64))
    known.check("img256_stats", stats(image))
    known.check("mask_pool64", F.adaptive_avg_pool2d(mask, 64))
    for name, weight in (("blend", mask), ("blend_dilated", F.max_pool2d(mask, 3, 1, 1))):
        known.check(f"{name}_pool64", F.adaptive_avg_pool2d(image * weight + target * (1 - weight), 64))


@torch.no_grad()
def test_pixels_outside_all_regions_get_nothing():
    torch.manual_seed(0)
    projector = RegionProjector(16)
    feature, tokens = torch.randn(1, 16, 8, 8), torch.randn(1, 4, 16)
    masks = torch.zeros(1, 4, 64, 64)
    masks[0, 1, 16:32, 16:32] = 1
    change = (projector(feature, tokens, masks) - feature).abs().amax(1)[0]
    assert (change[2:4, 2:4] > 1e-3).all()
    change[2:4, 2:4] = 0
    assert not change.any()


@torch.no_grad()
def test_each_region_has_its_own_tokens():
    torch.manual_seed(0)
    encoder = RegionEncoder(4, 8, trunk_width=16, trunk_units=(1, 1, 1, 1)).eval()
    tokenize = encoder.token[0]
    feature, masks = torch.randn(1, 32, 64, 64), torch.zeros(1, 4, 64, 64)
    for region in range(4):
        masks[0, region, 8 * region : 8 * region + 8] = 1
    before = tokenize(feature, masks)
    feature[:, :, 8:16] += 1
    changed = (tokenize(feature, masks) - before).abs().amax(2)[0]
    assert changed[1] > 1e-3 and changed[[0, 2, 3]].max() == 0


def test_the_published_numbers():
    with torch.device("meta"):
        network = RAFSwapNetwork()
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert count["encoder"] == 273_110_208 and count["mask"] == 1_844_865


@torch.no_grad()
def test_the_average_belongs_to_the_codes_and_the_mask_to_the_image():
    torch.manual_seed(0)
    network = RAFSwapNetwork(TINY).eval()
    face, masks = torch.rand(2, 3, 256, 256), torch.ones(2, 4, 64, 64)
    identity = network.encoder.describe(face, masks)
    before = network.codes(face, masks, identity)
    network.latent_avg += 1
    torch.testing.assert_close(network.codes(face, masks, identity), before + 1)
    output = network(before)
    assert output.image.shape == (2, 3, 64, 64) and output.mask.shape == (2, 1, 64, 64)
    assert output.mask.min() > 0 and output.mask.max() < 1
    torch.testing.assert_close(output.image, network.generator(before).image)


def test_what_does_not_fit_is_refused():
    encoder = RegionEncoder(4, 8, trunk_width=16, trunk_units=(1, 1, 1, 1))
    with pytest.raises(ValueError, match="RegionEncoder reads"):
        encoder.describe(torch.zeros(1, 3, 128, 128), torch.zeros(1, 4, 64, 64))
    with pytest.raises(ValueError, match=r"regions must be \[1, 4, s, s\]"):
        encoder.describe(torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="heads must divide"):
        TransformerBlock(12, 8)
    with pytest.raises(ValueError, match="heads must divide"):
        RAFSwapConfig(heads=7)
    with pytest.raises(ValueError, match="MaskPredictor: size 16"):
        MaskPredictor(16, {8: 4})
