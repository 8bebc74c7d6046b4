"""Every encoder under the common contract, and what is particular to each."""

from __future__ import annotations

import pytest
import torch
from encoder_contract import EncoderContract
from torch import Tensor, nn

from inversion import (
    BackboneEncoderIntoW,
    BackboneEncoderIntoWPlus,
    E4EEncoder,
    GradualStyleEncoder,
    IRSE50Trunk,
    Latents,
    LightEncoder,
    as_latent_avg,
    crop_identity,
    progressive_stage,
)


class ToyTrunk(nn.Module):
    """A face network of the right shapes."""

    feature_channels = (4, 6, 8, 10)

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, c, 1) for c in self.feature_channels)

    def features(self, x: Tensor) -> list[Tensor]:
        sizes = (35, 17, 8, 4)
        return [
            conv(nn.functional.adaptive_avg_pool2d(x, s)) for conv, s in zip(self.convs, sizes, strict=True)
        ]


def light(n_latent: int = 10, latent_avg: Tensor | None = None) -> LightEncoder:
    return LightEncoder(ToyTrunk(), n_latent=n_latent, style_dim=32, width=16, latent_avg=latent_avg)


class TestLight(EncoderContract):
    def build(self, latent_avg=None):
        return light(latent_avg=latent_avg)


@pytest.mark.slow
class TestPSP(EncoderContract):
    def build(self, latent_avg=None):
        return GradualStyleEncoder(8, 64, latent_avg=latent_avg)


@pytest.mark.slow
class TestSegmentationPSP(EncoderContract):
    input_nc = 19

    def build(self, latent_avg=None):
        return GradualStyleEncoder(4, 32, input_nc=19, latent_avg=latent_avg)


@pytest.mark.slow
class TestE4E(EncoderContract):
    def build(self, latent_avg=None):
        return E4EEncoder(8, 64, latent_avg=latent_avg)


@pytest.mark.slow
class TestIntoW(EncoderContract):
    def build(self, latent_avg=None):
        return BackboneEncoderIntoW(8, 64, latent_avg=latent_avg)


@pytest.mark.slow
class TestIntoWPlus(EncoderContract):
    def build(self, latent_avg=None):
        return BackboneEncoderIntoWPlus(8, 64, latent_avg=latent_avg)


def test_the_trunk_of_the_light_encoder_is_frozen_and_not_stored_but_moves_along():
    encoder = light()
    trunk = encoder.trunk
    assert not any(p.requires_grad for p in trunk.parameters())
    assert set(encoder.state_dict()) == {n for n, _ in encoder.named_parameters()} | {"latent_avg"}
    own = {id(p) for p in encoder.parameters()}
    assert not own & {id(p) for p in trunk.parameters()}
    encoder.double()
    assert next(trunk.parameters()).dtype == torch.float64
    assert encoder(torch.zeros(1, 3, 64, 64, dtype=torch.float64)).wplus.dtype == torch.float64


def test_every_parameter_of_the_light_encoder_learns():
    torch.manual_seed(0)
    encoder = light()
    wplus = encoder(torch.randn(2, 3, 64, 64)).wplus
    (wplus * torch.randn_like(wplus)).sum().backward()
    idle = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@torch.no_grad()
def test_light_rows_read_the_level_of_their_resolution():
    torch.manual_seed(0)
    encoder = light().eval()
    x = torch.randn(1, 3, 64, 64)
    features = encoder.trunk.features(x)
    before = encoder(x, features).wplus
    changed = [features[0] + 1, *features[1:]]
    moved = (encoder(x, changed).wplus - before).abs().amax((0, 2)) > 0
    assert moved.tolist() == [False] * 7 + [True] * 3


def test_a_trunk_must_be_a_module_with_four_features():
    class NotAModule:
        feature_channels = (1, 2, 3, 4)

    with pytest.raises(TypeError, match=r"nn\.Module"):
        LightEncoder(NotAModule())  # type: ignore[arg-type]
    trunk = ToyTrunk()
    trunk.feature_channels = (4, 6)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="four features"):
        LightEncoder(trunk)


def test_latents_check_their_shapes():
    with pytest.raises(ValueError, match="wplus"):
        Latents(torch.zeros(14, 512))
    with pytest.raises(ValueError, match="structure"):
        Latents(torch.zeros(2, 14, 512), torch.zeros(1, 512, 4, 4))
    latents = Latents(torch.zeros(2, 14, 8), torch.zeros(2, 3, 4, 4)).to(torch.float64)
    assert len(latents) == 2
    assert latents.wplus.dtype == latents.structure.dtype == torch.float64


def test_an_average_code_is_brought_to_the_number_of_rows():
    for shape in ((8,), (1, 8), (6, 8), (9, 8)):
        average = torch.randn(shape)
        rows = as_latent_avg(average, 6, 8)
        assert rows.shape == (6, 8)
        assert torch.equal(rows[5], average.reshape(-1, 8)[min(5, average.numel() // 8 - 1)])


def test_an_average_code_that_does_not_fit_is_refused():
    for shape in ((7,), (3, 8)):
        with pytest.raises(ValueError, match="latent_avg"):
            as_latent_avg(torch.zeros(shape), 6, 8)


def test_trunk_taps_have_the_published_sizes():
    with torch.device("meta"):
        taps = IRSE50Trunk().taps(torch.zeros(1, 3, 256, 256))
    assert [tuple(t.shape[1:]) for t in taps] == [(128, 64, 64), (256, 32, 32), (512, 16, 16)]


def test_published_encoders_have_the_published_number_of_parameters():
    with torch.device("meta"):
        count = sum(p.numel() for p in GradualStyleEncoder(18).parameters())
    assert count == 267_136_704


def test_the_identity_crop_keeps_its_place_at_every_size():
    ramp = torch.linspace(0, 1, 256).view(1, 1, 1, -1).expand(1, 3, 256, -1)
    at_256 = crop_identity(ramp)
    at_1024 = crop_identity(nn.functional.interpolate(ramp, size=(1024, 1024), mode="bilinear"))
    assert at_256.shape == (1, 3, 112, 112)
    assert torch.allclose(at_256, at_1024, atol=2e-3)
    assert float(at_256[0, 0, 0, 0]) == pytest.approx(float(ramp[0, 0, 0, 32:34].mean()), abs=1e-3)
    with pytest.raises(ValueError, match="square"):
        crop_identity(torch.zeros(1, 3, 64, 32))


def test_progressive_stages_follow_the_published_schedule():
    stages = [progressive_stage(s, 18) for s in (0, 19_999, 20_000, 21_999, 22_000, 52_000, 10**6)]
    assert stages == [0, 0, 1, 1, 2, 17, 17]
    with pytest.raises(ValueError, match="step"):
        progressive_stage(-1, 18)


def test_e4e_stages_are_checked_and_capped():
    with torch.device("meta"):
        encoder = E4EEncoder(6, 16)
    assert encoder.stage == 5
    encoder.set_stage(18)
    assert encoder.stage == 5
    with pytest.raises(ValueError, match="stage"):
        encoder.set_stage(-1)
