"""pSp, e4e and ArcFace: recorded outputs through the converter, kinds and rows from shapes, round trips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import golden
import pytest
import torch
from torch import Tensor, nn

from inversion import (
    IRSE50,
    BackboneEncoderIntoW,
    BackboneEncoderIntoWPlus,
    GradualStyleEncoder,
    crop_identity,
)
from inversion.w_discriminator import LatentDiscriminator
from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.detect import convert_file, recognise
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.weights.stylegan_formats import arcface, e4e, psp
from stylegan_swap.weights.stylegan_formats.converted import Converted, load_converted

PSP_OPTS = {"encoder_type": "GradualStyleEncoder", "output_size": 64, "start_from_latent_avg": True}
E4E_OPTS = {"encoder_type": "Encoder4Editing", "stylegan_size": 64, "start_from_latent_avg": True}


def on_meta(build: Any, *arguments: Any, **options: Any) -> dict[str, Tensor]:
    """Names and shapes alone: enough for everything but numbers."""
    with torch.device("meta"):
        return build(*arguments, **options).state_dict()


def checkpoint(
    encoder: dict[str, Tensor], opts: dict | None, size: int = 64, rows: int = 10
) -> dict[str, Any]:
    decoder = on_meta(Generator, size)
    state = {f"encoder.{n}": v for n, v in encoder.items()} | {f"decoder.{n}": v for n, v in decoder.items()}
    content: dict[str, Any] = {"state_dict": state, "latent_avg": torch.zeros(rows, 512)}
    return content | ({} if opts is None else {"opts": opts})


def through_a_file(content: Any, tmp_path: Path) -> Converted:
    file = tmp_path / "file.pt"
    torch.save(content, file)
    converted = convert_file(file)
    file.unlink()
    return converted


def golden_encoder(known: golden.GoldenCase, build: type[nn.Module]) -> dict[str, Tensor]:
    with torch.device("meta"):
        shapes = {n: v.shape for n, v in build(n_styles=10).state_dict().items()}
    state = known.state(shapes=shapes)
    return {f"encoder.{n}": v.long() if n.endswith("tracked") else v for n, v in state.items()}


@golden.mark
@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "build", "opts", "kind", "output"),
    [
        ("psp_encoder", GradualStyleEncoder, PSP_OPTS, "psp", "codes"),
        ("e4e_encoder", GradualStyleEncoder, E4E_OPTS, "e4e", "codes_inference"),
        (
            "psp_encoder_w",
            BackboneEncoderIntoW,
            {"encoder_type": "BackboneEncoderUsingLastLayerIntoW"},
            "psp_w",
            "codes",
        ),
        (
            "psp_encoder_wplus",
            BackboneEncoderIntoWPlus,
            {"encoder_type": "BackboneEncoderUsingLastLayerIntoWPlus"},
            "psp_wplus",
            "codes",
        ),
    ],
)
def test_official_encoders(name, build, opts, kind, output, tmp_path: Path):
    known = golden.case(name)
    state = golden_encoder(known, build)
    average = torch.full((10, 512), 0.5)
    content = {"state_dict": state, "latent_avg": average, "opts": opts}
    if kind == "psp_w":
        # Its rows follow from the generator beside it.
        content["state_dict"] = state | {f"decoder.{n}": v for n, v in Generator(64).state_dict().items()}
    converted = through_a_file(content, tmp_path)
    assert converted.config["encoder"]["kind"] == kind
    assert converted.config["encoder"]["n_styles"] == 10
    folder = converted.save(tmp_path / "ours").parent
    del content, converted
    saved = load_converted(folder)
    encoder = saved.build("encoder")
    codes = encoder(known.input("image")).wplus - average
    known.check(output, codes[:, 0] if kind == "psp_w" else codes)
    back = (e4e.to_e4e if kind == "e4e" else psp.to_psp)(saved)
    assert {n for n in back["state_dict"] if n.startswith("encoder.")} == set(state)
    assert all(torch.equal(back["state_dict"][n], value) for n, value in state.items())
    assert torch.equal(back["latent_avg"], average)


@golden.mark
@pytest.mark.slow
@torch.no_grad()
def test_official_recogniser(tmp_path: Path):
    known = golden.case("arcface_irse50")
    state = known.state()
    converted = through_a_file(state, tmp_path)
    saved = load_converted(converted.save(tmp_path / "ours").parent)
    network = saved.build("identity")
    known.check("emb", network(known.input("face112")))
    known.check("emb_idloss_crop", network(crop_identity(known.input("face256"))))
    back = arcface.to_arcface(saved)
    assert set(back) == set(state)
    assert all(torch.equal(back[n], value) for n, value in state.items())


@golden.mark
@torch.no_grad()
def test_official_judge_of_codes():
    known = golden.case("e4e_w_discriminator")
    content = checkpoint(on_meta(GradualStyleEncoder, 10), E4E_OPTS)
    content |= {"discriminator_state_dict": known.state(), "global_step": 7}
    converted = e4e.convert(content, "e4e.pt")
    known.check("logits", converted.build("code_discriminator")(known.input("w")))
    assert converted.notes == ("left out: global_step, opts",)
    back = e4e.to_e4e(converted)["discriminator_state_dict"]
    assert all(torch.equal(back[n], value) for n, value in known.state().items())


@pytest.mark.parametrize(
    ("encoder", "opts", "name", "kind"),
    [
        (GradualStyleEncoder, PSP_OPTS, "psp", "psp"),
        (GradualStyleEncoder, E4E_OPTS, "e4e", "e4e"),
        (GradualStyleEncoder, {"output_size": 64}, "psp", "psp"),
        (GradualStyleEncoder, {"stylegan_size": 64}, "e4e", "e4e"),
        (BackboneEncoderIntoW, {"encoder_type": "BackboneEncoderUsingLastLayerIntoW"}, "psp", "psp_w"),
        (BackboneEncoderIntoW, {"encoder_type": "SingleStyleCodeEncoder"}, "e4e", "psp_w"),
        (BackboneEncoderIntoWPlus, {"output_size": 64}, "psp", "psp_wplus"),
    ],
)
def test_kinds_and_round_trip(encoder, opts, name, kind):
    content = checkpoint(on_meta(encoder, 10), opts)
    found = recognise(content, "file.pt")
    assert found.name == name
    converted = found.convert(content, "file.pt")
    assert converted.config["encoder"] == {
        "kind": kind,
        "n_styles": 10,
        "style_dim": 512,
        "input_nc": 3,
        "adds_latent_avg": True,
    }
    assert converted.config["generator"]["size"] == 64
    back = found.back(converted)
    assert back["state_dict"].keys() == content["state_dict"].keys()
    assert all(back["state_dict"][n] is v for n, v in _as_stored(content, converted).items())
    again = recognise(back, "back.pt").convert(back, "back.pt")
    assert again.config == converted.config


def _as_stored(content: dict, converted: Converted) -> dict[str, Tensor]:
    parts = {"encoder": "encoder", "decoder": "generator"}
    return {n: converted.parts[parts[n.split(".")[0]]][n.split(".", 1)[1]] for n in content["state_dict"]}


def test_published_size_and_other_inputs():
    encoder = on_meta(GradualStyleEncoder, 18, input_nc=19)
    opts = {"output_size": 1024, "start_from_latent_avg": False}
    content = checkpoint(encoder, opts, size=1024, rows=18)
    converted = psp.convert(content, "psp.pt")
    assert converted.config["encoder"] | {"kind": 0, "style_dim": 0} == {
        "kind": 0,
        "n_styles": 18,
        "style_dim": 0,
        "input_nc": 19,
        "adds_latent_avg": False,
    }
    assert converted.config["generator"]["channels"]["1024"] == 32


def test_a_checkpoint_without_options_is_ambiguous():
    content = checkpoint(on_meta(GradualStyleEncoder, 10), None)
    with pytest.raises(CheckpointError, match=r"may be of psp or e4e.*--from"):
        recognise(content, "file.pt")
    assert recognise(content, "file.pt", "e4e").convert(content, "f").config["encoder"]["kind"] == "e4e"


def test_another_encoder():
    state = on_meta(GradualStyleEncoder, 10)
    state.pop("latlayer1.weight")
    with pytest.raises(CheckpointError, match=r"missing \(latlayer1\.weight\)"):
        psp.convert(checkpoint(state, PSP_OPTS), "file.pt")
    bare = {n: v for n, v in state.items() if n.startswith(("input_layer", "body"))}
    with pytest.raises(CheckpointError, match="none of pSp's or e4e's"):
        psp.convert(checkpoint(bare, PSP_OPTS), "file.pt")


def test_wrong_way_back():
    content = checkpoint(on_meta(GradualStyleEncoder, 10), E4E_OPTS)
    with pytest.raises(CheckpointError, match="no encoder of pSp"):
        psp.to_psp(e4e.convert(content, "e4e.pt"))
    with pytest.raises(CheckpointError, match="no recogniser"):
        arcface.to_arcface(e4e.convert(content, "e4e.pt"))


def test_recogniser_round_trip():
    state = on_meta(IRSE50)
    converted = arcface.convert(state, "model_ir_se50.pth")
    assert converted.notes == ()
    back = arcface.to_arcface(converted)
    assert back.keys() == state.keys()
    assert all(back[name].shape == value.shape for name, value in state.items())
    assert recognise(back, "back.pth").name == "arcface"


def test_recogniser_without_counters():
    state = on_meta(IRSE50)
    short = {n: v for n, v in state.items() if not n.endswith("tracked")}
    converted = arcface.convert(short, "model_ir_se50.pth")
    assert set(converted.parts["identity"]) == set(state)
    assert converted.notes
    with pytest.raises(CheckpointError, match="missing"):
        arcface.convert({n: v for n, v in state.items() if n != "body.3.res_layer.1.weight"}, "x.pth")


def test_judge_sizes():
    content = checkpoint(on_meta(GradualStyleEncoder, 10), E4E_OPTS)
    content["discriminator_state_dict"] = on_meta(LatentDiscriminator, 512, 3)
    assert e4e.convert(content, "f").config["code_discriminator"] == {"style_dim": 512, "n_mlp": 3}
