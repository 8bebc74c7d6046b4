"""Tuning to one person: it changes that person's copy alone, repeatably, and does what it is told to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylegan_swap import Swapper
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.faces.detection.landmarks import MIRRORED
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.methods.default.network import IdentityCodes
from stylegan_swap.methods.default.refine import (
    PARTS,
    RefinedPerson,
    StrangerFaces,
    moved_view,
    refine_person,
)


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint) -> Swapper:
    return Swapper.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def network(tiny):
    return tiny.method.network


@pytest.fixture(scope="module")
def person(tiny, astronaut) -> IdentityCodes:
    return tiny.prepare(astronaut).prepared


def state_of(network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_the_shipped_network_stays_bit_by_bit(network, person):
    before = state_of(network)
    refined = refine_person(network, person, 4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())
    moved = {
        name.split(".")[0]
        for name, value in refined.network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved == set(PARTS)
    assert not any(p.requires_grad for p in refined.network.parameters())
    # What is not tuned is not copied either.
    assert refined.network.encoder is network.encoder and refined.network.attributes is network.attributes


def test_a_seed_repeats_it(network, person):
    once, again, other = (refine_person(network, person, 3, seed=seed) for seed in (1, 1, 2))
    name = "generator.convs.0.conv.weight"
    weights = [each.network.state_dict()[name] for each in (once, again, other)]
    # Sums of gradients are rounded as memory happens to lie, and Adam enlarges that: equal to a thousandth.
    assert (weights[0] - weights[1]).abs().max() < 1e-3 < (weights[0] - weights[2]).abs().max()


def test_it_leaves_the_random_stream_alone(network, person):
    torch.manual_seed(4)
    want = torch.rand(2)
    torch.manual_seed(4)
    refine_person(network, person, 1)
    assert torch.equal(torch.rand(2), want)


def test_tuning_further_goes_on_from_there(network, person):
    steps = []
    first = refine_person(network, person, 2, on_step=lambda step, _: steps.append(step))
    second = refine_person(network, first, 2)
    assert steps == [1, 2] and isinstance(second, RefinedPerson)
    name = "generator.convs.0.conv.weight"
    shift = [
        float((each.network.state_dict()[name] - network.state_dict()[name]).abs().mean())
        for each in (first, second)
    ]
    assert shift[1] > shift[0] > 0


def test_one_person_at_a_time_and_people_without_a_photo(network, person):
    several = IdentityCodes(person.embedding.expand(2, -1), person.wplus.expand(2, -1, -1))
    with pytest.raises(ValueError, match="one person at a time, got 2"):
        refine_person(network, several, 1)
    refined = refine_person(network, person.without_photo(), 3)
    assert refined.photo is None and refined.wplus is None


def test_strangers_do_not_depend_on_the_order(network):
    one, other = StrangerFaces(network, 0), StrangerFaces(network, 0)
    last = other[5][0]
    assert torch.equal(one[2][0], other[2][0]) and torch.equal(one[5][0], last)
    assert one[2][0].shape == (1, 3, 64, 64) and one[2][1].shape == (1, 68, 2)
    assert (one[2][0] - one[5][0]).abs().mean() > 1e-3


def test_a_moved_view_takes_its_landmarks_along(astronaut, astronaut_face):
    alignment = ffhq_alignment(astronaut_face.landmarks, 128)
    points = torch.from_numpy(alignment.to_crop(astronaut_face.landmarks))[None].float()
    image = torch.zeros(1, 1, 128, 128)
    # A soft dot on the tip of the nose.
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    nose = points[0, 30]
    image[0, 0] = torch.exp(-((columns - nose[0]) ** 2 + (rows - nose[1]) ** 2) / 18)
    stream, mirrored = torch.Generator().manual_seed(0), set()
    for _ in range(8):
        view, moved = moved_view(image, points, stream)
        weight = view[0, 0] / view.sum()
        centre = torch.stack([(weight * columns).sum(), (weight * rows).sum()])
        assert (centre - moved[0, 30]).abs().max() < 0.5
        # The numbers of the points follow the mirror: the left eye stays on the left.
        assert moved[0, 36:42, 0].mean() < moved[0, 42:48, 0].mean()
        order = points[0, torch.from_numpy(MIRRORED.copy())]
        flipped = torch.stack([127 - order[:, 0], order[:, 1]], 1)
        near = [float((moved[0] - each).norm(dim=1).mean()) for each in (points[0], flipped)]
        assert min(near) < 12
        mirrored.add(near[1] < near[0])
    assert mirrored == {True, False}


def test_through_the_library(tiny, astronaut, hopper):
    plain, refined = tiny.prepare(astronaut), tiny.prepare(astronaut, refine=3, seed=1)
    assert isinstance(refined.prepared, RefinedPerson) and refined.method == plain.method
    assert torch.equal(refined.embedding, plain.embedding)
    before, after = tiny(plain, hopper), tiny(refined, hopper)
    apart = np.abs(np.asarray(before.image).astype(int) - np.asarray(after.image))
    assert apart.max() > 1
    # The mask is not tuned, so the rest of the photo is the photo's.
    assert np.array_equal(before.mask, after.mask)
    assert np.array_equal(np.asarray(after.image)[after.mask == 0], hopper[after.mask == 0])
    at_once = tiny(plain, hopper, refine=3, seed=1)
    again = tiny(refined, hopper, seed=1).faces[0].aligned
    assert (at_once.faces[0].aligned - again).abs().max() < 0.02
    # The person given is not changed by refining for one call.
    assert np.array_equal(np.asarray(tiny(plain, hopper).image), np.asarray(before.image))


@pytest.mark.parametrize("steps", [-1, 1.5, True, "3"])
def test_impossible_steps_are_refused_before_reading_anything(tiny, steps):
    for call in (lambda: tiny.prepare("missing.png", refine=steps), lambda: tiny("a", "b", refine=steps)):
        with pytest.raises(UnsupportedOptionError, match="refine is a whole number from 0"):
            call()


def test_methods_without_a_network_to_tune_say_so(astronaut):
    warp = Swapper.from_pretrained("warp")
    with pytest.raises(UnsupportedOptionError, match="'warp' has no option 'refine'"):
        warp.prepare(astronaut, refine=5)


@pytest.mark.exhaustive
def test_the_default_network_comes_nearer(astronaut, hopper, astronaut_face):
    """Real numbers, with the weights that ship: ten steps, judged on a photo that tuning does not see."""
    swapper = Swapper.from_pretrained("default", device="cpu")
    method = swapper.method
    person = swapper.prepare(astronaut)
    refined = method.refine(person.prepared, 10)
    alignment = ffhq_alignment(astronaut_face.landmarks, method.size)
    own = from_pixels(alignment.crop(astronaut))
    recogniser, loss = method.network.identity, []
    face = swapper(person, hopper).faces[0]
    attribute = from_pixels(face.alignment.crop(hopper))
    points = torch.from_numpy(face.alignment.to_crop(face.landmarks))[None]
    for prepared in (person.prepared, refined):
        swapped = method.swap_aligned(prepared, attribute, points)
        result = swapped.mask * swapped.image + (1 - swapped.mask) * attribute
        loss.append(float(recogniser.distance(*recogniser.embed(torch.cat([result, own])))))
    assert loss[1] < loss[0] - 0.01
