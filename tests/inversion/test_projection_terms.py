"""Noise terms and schedule of projection: recorded values and by hand."""

import golden
import torch

from inversion.projector import noise_normalize, noise_regularize, projection_rate


@golden.mark
def test_official_terms():
    known = golden.case("inversion_terms")
    noises = [known.input(f"n{side}") for side in (4, 8, 16, 32)]
    known.check("noise_regularize", noise_regularize(noises).reshape(1), tol=1e-5)
    noise = 2 * noises[1] + 0.5
    noise_normalize([noise])
    known.check("noise_normalized_8", noise, tol=1e-6)
    rates = [projection_rate(t, known.config["lr0"]) for t in known.config["lr_times"]]
    known.check("lr", torch.tensor(rates), tol=1e-6)


def test_a_picture_in_the_noise_is_seen():
    torch.manual_seed(0)
    white = torch.randn(1, 1, 32, 32)
    smooth = torch.nn.functional.interpolate(torch.randn(1, 1, 8, 8), scale_factor=4, mode="bilinear")
    assert noise_regularize([white]) < 0.2 < noise_regularize([smooth / smooth.std()])
    # A map of columns: correlation 1 down, 1 across or −1; both scales of 16 px count.
    stripes = torch.ones(1, 1, 16, 16)
    assert noise_regularize([stripes]) == 4


def test_the_rate_rises_holds_and_falls():
    assert projection_rate(0.0, 0.1) == 0
    assert projection_rate(0.025, 0.1) == 0.05
    assert projection_rate(0.5, 0.1) == 0.1
    assert projection_rate(1.0, 0.1) == 0
