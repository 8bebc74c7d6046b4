"""pSp, e4e and ArcFace against recorded outputs of the official code."""

from __future__ import annotations

import golden
import pytest
import torch
from torch import Tensor, nn

from inversion import (
    IRSE50,
    BackboneEncoderIntoW,
    BackboneEncoderIntoWPlus,
    E4EEncoder,
    GradualStyleEncoder,
    crop_identity,
)

pytestmark = [golden.mark, pytest.mark.slow]


def watch_units(network: nn.Module, wanted: dict[str, str], largest: int = 32) -> dict[str, Tensor]:
    """Record the channel means of submodules as the golden cases do, pooled to at most `largest`."""
    seen: dict[str, Tensor] = {}

    def recorder(name: str):
        def record(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            mean = output.mean(1, keepdim=True)
            seen[name] = (
                mean if mean.shape[-1] <= largest else nn.functional.adaptive_avg_pool2d(mean, largest)
            )

        return record

    for name, path in wanted.items():
        network.get_submodule(path).register_forward_hook(recorder(name))
    return seen


@torch.no_grad()
def test_psp():
    known = golden.case("psp_encoder")
    encoder = known.fill(GradualStyleEncoder(n_styles=known.config["n_styles"])).eval()
    units = {f"body{i}_mean_c": f"body.{i}" for i in (6, 20, 23)}
    seen = watch_units(encoder, units | {"input_layer_mean_c": "input_layer"})
    known.check("codes", encoder.codes(known.input("image")))
    assert len(seen) == 4
    for name, value in seen.items():
        known.check(name, value)


@torch.no_grad()
def test_psp_of_fslsd_has_eighteen_rows():
    known = golden.case("fslsd_psp_encoder")
    encoder = known.fill(GradualStyleEncoder(n_styles=18)).eval()
    image = nn.functional.interpolate(known.input("image"), size=(256, 256), mode="bilinear") * 3
    known.check("latents", encoder(image).wplus)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "build"),
    [("psp_encoder_w", BackboneEncoderIntoW), ("psp_encoder_wplus", BackboneEncoderIntoWPlus)],
)
def test_last_layer_encoders(name: str, build: type[BackboneEncoderIntoW | BackboneEncoderIntoWPlus]):
    known = golden.case(name)
    encoder = build(n_styles=known.config["n_styles"]).eval()
    own = {k for k in encoder.state_dict() if not k.startswith(("input_layer.", "body."))}
    assert own == set(known.manifest["state"])
    known.fill(encoder, strict=False)
    image = known.input("image")
    known.check(
        "codes", encoder.code(image) if isinstance(encoder, BackboneEncoderIntoW) else encoder.codes(image)
    )


@torch.no_grad()
def test_e4e_at_every_recorded_stage():
    known = golden.case("e4e_encoder")
    encoder = E4EEncoder(n_styles=10).eval()
    assert {k: list(v.shape) for k, v in encoder.state_dict().items()} == golden.case("psp_encoder").manifest[
        "state"
    ]
    known.fill(encoder)
    image = known.input("image")
    known.check("codes_inference", encoder.codes(image))
    for stage in (0, 2, 5, 8):
        encoder.set_stage(stage)
        known.check(f"codes_stage{stage}", encoder.codes(image))


@torch.no_grad()
def test_arcface():
    known = golden.case("arcface_irse50")
    network = known.fill(IRSE50()).eval()
    seen = watch_units(network, {f"body{i}_mean_c": f"body.{i}" for i in (2, 6, 20, 23)}, largest=56)
    known.check("emb", network(known.input("face112")))
    assert len(seen) == 4
    for name, value in seen.items():
        known.check(name, value)
    crop = crop_identity(known.input("face256"))
    known.check("crop_pooled", crop)
    known.check("emb_idloss_crop", network(crop))
