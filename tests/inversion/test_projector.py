"""Projection and pivotal tuning on a small generator: they find what is there, and change nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from inversion import (
    Inversion,
    Latents,
    code_statistics,
    peak_signal_to_noise,
    pivotal_tuning,
    project,
    with_tuned,
)
from inversion.pivotal import nearby
from inversion.projector import noise_regularize
from stylegan_swap.nn.stylegan2.generator import Generator

SIDE, WIDTH, ROWS = 16, 16, 6


def pixels(a, b):
    """A distance that is no perceptual one, but quick: mean squared difference at half the side."""
    pool = torch.nn.functional.avg_pool2d
    return (pool(a, 2) - pool(b, 2)).square().mean((1, 2, 3))


@pytest.fixture(scope="module")
def generator() -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Generator(SIDE, WIDTH, 2, channels={4: 16, 8: 16, 16: 16}, lr_mlp=1.0)
        for name, parameter in network.named_parameters():
            if name.endswith("noise.weight"):
                torch.nn.init.constant_(parameter, 0.1)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def average(generator) -> tuple[torch.Tensor, float]:
    return code_statistics(generator.mapping, WIDTH, 500)


@pytest.fixture(scope="module")
def target(generator) -> torch.Tensor:
    code = generator.mapping(torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(3)))
    return generator(code).image.clamp(-1, 1)


def before(generator, average, target) -> float:
    return peak_signal_to_noise(generator(average[0][None]).image.clamp(-1, 1), target)


def test_statistics_are_those_of_the_codes(generator, average):
    codes = generator.mapping(torch.randn(500, WIDTH, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(average[0], codes.mean(0), atol=1e-5, rtol=1e-4)
    spread = (codes - codes.mean(0)).norm(dim=1).square().mean().sqrt()
    assert average[1] == pytest.approx(float(spread), rel=1e-4)


@pytest.mark.parametrize(("space", "gain"), [("w", 4.0), ("w+", 4.0)])
def test_a_generated_face_is_found_again(generator, average, target, space, gain):
    losses = []
    found = project(
        generator,
        target,
        pixels,
        start=average[0],
        spread=average[1],
        space=space,
        steps=60,
        on_step=lambda step, loss: losses.append((step, loss)),
    )
    assert found.wplus.shape == (1, ROWS, WIDTH)
    assert bool((found.wplus == found.wplus[:, :1]).all()) == (space == "w")
    assert [step for step, _ in losses] == list(range(1, 61))
    assert losses[-1][1] < losses[0][1]
    psnr = peak_signal_to_noise(found.reconstruction, target)
    assert psnr > before(generator, average, target) + gain
    # Code and noise say all: the generator alone gives the same picture.
    again = generator(found.wplus, noise=list(found.noise)).image.clamp(-1, 1)
    torch.testing.assert_close(again, found.reconstruction)
    for number, one in enumerate(found.noise):
        assert not one.requires_grad, number
        assert float(one.mean()) == pytest.approx(0, abs=1e-5)
        assert float(one.std()) == pytest.approx(1, abs=1e-4)


def test_it_starts_where_an_encoder_ended_and_keeps_its_structure(generator, average, target):
    code = generator.broadcast(average[0][None])
    structure = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(1))
    found = project(
        generator, target, pixels, start=Latents(code, structure), spread=0.0, steps=1, optimise_noise=False
    )
    # The rate of the first step is 0.
    torch.testing.assert_close(found.wplus, code)
    assert torch.equal(found.structure, structure) and found.noise is None
    torch.testing.assert_close(found.reconstruction, generator(code, structure=structure).image.clamp(-1, 1))


def test_the_noise_term_keeps_the_picture_out_of_the_noise(generator, average, target):
    told = []
    for weight in (0.0, 1e5):
        found = project(
            generator, target, pixels, start=average[0], spread=0.0, steps=40, noise_weight=weight
        )
        told.append(float(noise_regularize(found.noise)))
    assert told[1] < 0.5 * told[0]


def test_the_gradient_of_the_noise_term_is_exact():
    noise = torch.randn(2, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    small = torch.randn(1, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    inputs = (noise.requires_grad_(), small.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: noise_regularize([a, b]), inputs)


def test_a_seed_repeats_projection(generator, average, target):
    def run(seed: int) -> Inversion:
        return project(generator, target, pixels, start=average[0], spread=average[1], steps=5, seed=seed)

    once, again, other = run(1), run(1), run(2)
    assert torch.equal(once.wplus, again.wplus) and torch.equal(once.noise[0], again.noise[0])
    assert not torch.equal(once.wplus, other.wplus)


def test_projection_leaves_the_generator_alone(generator, average, target):
    state = {name: value.clone() for name, value in generator.state_dict().items()}
    project(generator, target, pixels, start=average[0], spread=1.0, steps=3)
    assert all(torch.equal(value, state[name]) for name, value in generator.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in generator.parameters())


def test_what_projection_refuses(generator, target):
    for change, message in (
        ({"space": "z"}, "'w' or 'w\\+'"),
        ({"steps": 0}, "at least 1"),
        ({"lr": 0.0}, "above 0"),
        ({"target": torch.zeros(2, 3, SIDE, SIDE)}, "one image"),
        ({"target": torch.zeros(1, 3, 32, 32)}, "the generator draws"),
        ({"start": torch.zeros(1, 4, WIDTH)}, "the start must be"),
    ):
        arguments = {"target": target, "start": torch.zeros(WIDTH), "spread": 1.0, "steps": 1} | change
        with pytest.raises(ValueError, match=message):
            project(generator, arguments.pop("target"), pixels, **arguments)


def test_pivotal_tuning_comes_nearer_and_keeps_the_pivot(generator, average, target):
    pivot = Latents(generator.broadcast(average[0][None]))
    state = {name: value.clone() for name, value in generator.state_dict().items()}
    found = pivotal_tuning(generator, target, pivot, pixels, steps=40, lr=1e-2)
    assert peak_signal_to_noise(found.reconstruction, target) > before(generator, average, target) + 8
    assert torch.equal(found.wplus, pivot.wplus)
    # Nothing of the shipped generator moved, and the copy's weights give the picture.
    assert all(torch.equal(value, state[name]) for name, value in generator.state_dict().items())
    assert not any(name.startswith("style.") for name in found.tuned)
    own = with_tuned(generator, found.tuned)
    torch.testing.assert_close(own(found.wplus).image.clamp(-1, 1), found.reconstruction)
    again = pivotal_tuning(generator, target, pivot, pixels, steps=40, lr=1e-2)
    assert torch.equal(again.reconstruction, found.reconstruction)


def test_pivotal_tuning_uses_the_projected_noise_and_stops_when_near_enough(generator, average, target):
    noise = tuple(generator.make_noise(1, torch.Generator().manual_seed(5)))
    pivot = Inversion(generator.broadcast(average[0][None]), noise=noise)
    steps = []
    found = pivotal_tuning(
        generator, target, pivot, pixels, steps=50, enough=1e9, on_step=lambda step, _: steps.append(step)
    )
    assert steps == [] and found.noise is not None
    expected = generator(pivot.wplus, noise=list(noise)).image.clamp(-1, 1)
    torch.testing.assert_close(found.reconstruction, expected)


def test_locality_keeps_other_faces(generator, average, target):
    pivot = Latents(generator.broadcast(average[0][None]))
    other = generator.broadcast(
        generator.mapping(torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(9)))
    )
    moved = []
    for weight in (0.0, 3.0):
        found = pivotal_tuning(
            generator,
            target,
            pivot,
            pixels,
            steps=30,
            lr=1e-2,
            locality_weight=weight,
            locality_radius=1e9,
            sample=lambda seed: other,
        )
        image = with_tuned(generator, found.tuned)(other, noise="none").image
        moved.append(float((image - generator(other, noise="none").image).abs().mean()))
    assert moved[1] < 0.5 * moved[0]


def test_the_nearby_code():
    pivot, other = torch.zeros(1, ROWS, WIDTH), torch.zeros(1, WIDTH)
    other[0, 0] = 4.0
    found = nearby(pivot, other, 2.0)
    assert float(found.norm()) == pytest.approx(2.0)
    torch.testing.assert_close(found / found.norm(), other[:, None].expand_as(pivot) / (4 * math.sqrt(ROWS)))
    torch.testing.assert_close(nearby(pivot, other, 1e9), other[:, None].expand_as(pivot))


def test_what_pivotal_tuning_refuses(generator, target):
    pivot = Latents(torch.zeros(1, ROWS, WIDTH))
    with pytest.raises(ValueError, match="one photograph"):
        pivotal_tuning(generator, target.repeat(2, 1, 1, 1), pivot, pixels)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        pivotal_tuning(generator, target, pivot, pixels, steps=0)
    with pytest.raises(ValueError, match="sample="):
        pivotal_tuning(generator, target, pivot, pixels, locality_weight=0.1)
    with pytest.raises(ValueError, match=r"another generator's: no\.such"):
        with_tuned(generator, {"no.such": torch.zeros(1)})


def test_psnr():
    image = torch.zeros(1, 3, 4, 4)
    assert peak_signal_to_noise(image, image) == math.inf
    # 2 is the peak: an error of 0.2 everywhere is a tenth of it.
    assert peak_signal_to_noise(image + 0.2, image) == pytest.approx(20.0, abs=1e-4)
    with pytest.raises(ValueError, match="equal shapes"):
        peak_signal_to_noise(image, image[..., :2])


def test_an_inversion_is_of_one_photo():
    with pytest.raises(ValueError, match="one photograph"):
        Inversion(torch.zeros(2, ROWS, WIDTH))
    one = Inversion(
        torch.zeros(1, ROWS, WIDTH), noise=(torch.zeros(1, 1, 4, 4),), tuned={"a": torch.ones(2)}, psnr=3.0
    )
    moved = one.to(torch.float64)
    assert isinstance(moved, Inversion) and moved.psnr == 3.0
    assert moved.wplus.dtype == moved.noise[0].dtype == moved.tuned["a"].dtype == torch.float64
