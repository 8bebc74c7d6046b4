"""HieRFE: recorded outputs of the official encoder, the contract, and its options."""

from __future__ import annotations

import golden
import pytest
import torch
import torch.nn.functional as F
from encoder_contract import EncoderContract

from inversion import HieRFE

TINY = {"width": 12, "blocks": (1, 1, 1, 1, 1), "planes": (4, 4, 4, 4, 4)}


@golden.mark
@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("size", [256, 1024])
def test_official_encoder(size):
    known = golden.case(f"megafs_hierfe_{size}")
    encoder = known.fill(HieRFE(known.config["num_latents"])).eval()
    image = F.interpolate(known.input("image"), size=(256, 256), mode="bilinear") * 3
    latents = encoder(image)
    known.check("latents", latents.wplus)
    known.check("struct", latents.structure)
    maps, _ = encoder.fpn(image)
    for side, fused in zip((8, 16, 32), maps, strict=True):
        known.check(f"p{side}_pool4", F.adaptive_avg_pool2d(fused, 4))
        known.check(f"p{side}_stats", torch.stack([fused.mean((2, 3)), fused.std((2, 3), correction=0)], 2))


class TestHieRFE(EncoderContract):
    def build(self, latent_avg=None):
        if latent_avg is not None:
            pytest.skip("no average is added to its codes")
        return HieRFE((2, 2, 3), 16, **TINY)


@torch.no_grad()
def test_codes_lie_inside_one_and_the_structure_has_both_signs():
    torch.manual_seed(0)
    latents = HieRFE((2, 2, 3), 16, **TINY).eval()(3 * torch.randn(1, 3, 256, 256))
    assert latents.wplus.abs().max() < 1
    assert latents.structure.shape == (1, 12, 4, 4)
    assert latents.structure.min() < 0 < latents.structure.max()


@torch.no_grad()
def test_omega_only_drops_the_structure_alone():
    torch.manual_seed(0)
    full = HieRFE((2, 2, 3), 16, **TINY).eval()
    less = HieRFE((2, 2, 3), 16, **TINY, structure=False).eval()
    dropped = {name for name in full.state_dict() if name not in less.state_dict()}
    assert dropped and all(name.startswith(("fpn.backbone.layer5.", "fpn.output4.")) for name in dropped)
    less.load_state_dict({k: v for k, v in full.state_dict().items() if k not in dropped})
    image = torch.randn(1, 3, 256, 256)
    assert less(image).structure is None
    torch.testing.assert_close(less(image).wplus, full(image).wplus)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="three maps"):
        HieRFE((3, 4))
    with pytest.raises(ValueError, match="five stages"):
        HieRFE((1, 1, 1), 8, blocks=(1, 1), planes=(4, 4))
    with pytest.raises(ValueError, match=r"reads \[batch, 3, 256, 256\]"):
        HieRFE((1, 1, 1), 8, **TINY)(torch.zeros(1, 3, 128, 128))
