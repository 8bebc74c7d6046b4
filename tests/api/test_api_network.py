"""``Swapper`` with a network: dials, seeds, batches, codes; untrained weights that must not look trained."""

from __future__ import annotations

import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from inversion import peak_signal_to_noise
from stylegan_swap import Latents, Swapper
from stylegan_swap.errors import StyleganSwapWarning, UnsupportedOptionError
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.methods.default.method import DefaultMethod
from stylegan_swap.methods.default.network import NetworkConfig, SwapNetwork
from stylegan_swap.weights.store import save_weights

# Rows and width of the codes of the tiny network: 2·log2(64) − 2 and its preset's.
ROWS, WIDTH = 10, 64


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint) -> Swapper:
    return Swapper.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def larger(tiny) -> Swapper:
    """128 pixels: the smallest side with rows of colour, from row 11 on."""
    config = tiny.method.network.config.changed(size=128)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SwapNetwork(config)
    return Swapper(DefaultMethod(network, device=torch.device("cpu"), dtype=torch.float32))


def pixels_of(result) -> np.ndarray:
    return np.asarray(result.image)


def difference(result, attribute) -> np.ndarray:
    """Mean over the channels of the absolute difference, in grey levels, [H, W]."""
    return np.abs(pixels_of(result)[..., :3].astype(int) - attribute).mean(axis=2)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", ["structure", "appearance"])
def test_dials_out_of_range_are_refused_before_reading_anything(tiny, name, value):
    with pytest.raises(UnsupportedOptionError, match=f"{name} is a dial from 0 to 1"):
        tiny("missing.png", "missing.png", **{name: value})


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5])
def test_impossible_seeds_are_refused(tiny, seed):
    with pytest.raises(UnsupportedOptionError, match="seed"):
        tiny("missing.png", "missing.png", seed=seed)
    with pytest.raises(UnsupportedOptionError, match="seed"):
        tiny.generate(seed=seed)


def test_numpy_seeds_are_seeds(tiny):
    [drawn], [again] = tiny.generate(seed=3), tiny.generate(seed=np.int64(3))
    assert np.array_equal(np.asarray(drawn), np.asarray(again))


@pytest.fixture(scope="module")
def codes_alone(larger, astronaut):
    """The astronaut without a photo: Hopper's features, and so his own codes, stay as they are."""
    person = larger.prepare(astronaut)
    return replace(person, prepared=replace(person.prepared, photo=None))


@pytest.mark.parametrize("name", ["structure", "appearance"])
def test_dials_work(larger, codes_alone, hopper, name):
    low, middle, high = (larger(codes_alone, hopper, **{name: value}) for value in (0.0, 0.5, 1.0))
    assert (low.faces[0].wplus - high.faces[0].wplus).abs().max() > 1e-3
    moved = (low.faces[0].wplus != high.faces[0].wplus).any(1)
    assert 0 < int(moved.sum()) < len(moved), "a dial moves its own rows and no others"
    assert difference(low, pixels_of(high)).max() > 0
    apart = (low.faces[0].aligned - high.faces[0].aligned).abs().mean()
    assert (low.faces[0].aligned - middle.faces[0].aligned).abs().mean() < apart


def test_structure_works_at_64_pixels(tiny, astronaut, hopper):
    low, high = (tiny(astronaut, hopper, structure=value) for value in (0.0, 1.0))
    assert difference(low, pixels_of(high)).max() > 1


def test_structure_moves_features_too(larger, astronaut, hopper):
    person = larger.prepare(astronaut)
    whole, half, none = (
        larger(person, hopper, structure=share).faces[0].aligned for share in (1.0, 0.5, 0.0)
    )
    assert 0 < (half - none).abs().mean() < (whole - none).abs().mean()


def test_dials_move_different_rows(larger, codes_alone, hopper):
    base = larger(codes_alone, hopper, structure=0.0).faces[0].wplus
    moved = []
    for dials in ({"structure": 1.0}, {"structure": 0.0, "appearance": 1.0}):
        rows = (larger(codes_alone, hopper, **dials).faces[0].wplus - base).abs().amax(1) > 0
        moved.append(set(rows.nonzero().flatten().tolist()))
    assert moved[0]
    assert moved[1]
    assert moved[0].isdisjoint(moved[1])


def test_seed_draws_noise(tiny, astronaut, hopper):
    once, again, other, stored = (tiny(astronaut, hopper, seed=seed) for seed in (3, 3, 4, None))
    assert np.array_equal(pixels_of(once), pixels_of(again))
    for different in (other, stored):
        assert (once.faces[0].aligned - different.faces[0].aligned).abs().mean() > 1e-3
    assert (once.seed, stored.seed) == (3, None)


def test_aligned_faces_in_batches(tiny):
    generator = torch.Generator().manual_seed(0)
    x_id, x_attr = (torch.rand(3, 3, 64, 64, generator=generator) * 2 - 1 for _ in range(2))
    y, mask = tiny.swap_aligned(x_id, x_attr)
    assert y.shape == (3, 3, 64, 64)
    assert mask.shape == (3, 1, 64, 64)
    assert -1 <= y.min() < y.max() <= 1
    for index in range(3):
        alone, _ = tiny.swap_aligned(x_id[index : index + 1], x_attr[index : index + 1])
        torch.testing.assert_close(alone[0], y[index], atol=2e-4, rtol=0)
    one_for_all, _ = tiny.swap_aligned(x_id[:1], x_attr)
    torch.testing.assert_close(one_for_all[0], y[0], atol=2e-4, rtol=0)
    assert (one_for_all[1] - y[1]).abs().max() > 1e-3
    with pytest.raises(ValueError, match="2 identities do not go with 3"):
        tiny.swap_aligned(x_id[:2], x_attr)


def test_inversion_and_generation(tiny, astronaut, hopper):
    codes = tiny.invert(astronaut)
    assert isinstance(codes, Latents)
    assert codes.wplus.shape == (1, ROWS, WIDTH)
    assert codes.wplus.dtype == torch.float32
    assert (codes.wplus - tiny.invert(hopper).wplus).abs().max() > 1e-3
    [image] = tiny.generate(codes)
    assert image.size == (64, 64)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.asarray(tiny.generate(codes)[0]))
    moved = Latents(codes.wplus + 1.0, codes.structure)
    assert np.abs(np.asarray(image).astype(int) - np.asarray(tiny.generate(moved)[0])).max() > 2


def test_inversion_says_how_good_it_is(tiny, astronaut):
    with pytest.warns(StyleganSwapWarning, match=r"redraw the face poorly .*steps=, pti="):
        plain = tiny.invert(astronaut)
    assert plain.photo.shape == plain.reconstruction.shape == (1, 3, 64, 64)
    assert plain.distance > 0.6 and plain.noise is None and plain.tuned is None
    [image] = tiny.generate(plain)
    drawn = from_pixels(np.asarray(image))
    assert peak_signal_to_noise(drawn, plain.photo) == pytest.approx(plain.psnr, abs=0.05)
    before = {name: value.clone() for name, value in tiny.method.network.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StyleganSwapWarning)
        projected, tuned, both, again = (
            tiny.invert(astronaut, **chosen)
            for chosen in ({"steps": 12}, {"pti": 12}, {"steps": 6, "pti": 6}, {"steps": 12})
        )
    assert min(projected.psnr, tuned.psnr, both.psnr) > plain.psnr + 2
    assert torch.equal(tuned.wplus, plain.wplus) and tuned.noise is None and tuned.tuned
    assert not torch.equal(projected.wplus, plain.wplus) and projected.tuned is None
    assert len(both.noise) == 9 and both.tuned
    assert torch.equal(projected.wplus, again.wplus)
    assert all(torch.equal(value, before[name]) for name, value in tiny.method.network.state_dict().items())
    for one in (projected, tuned, both):
        redrawn = from_pixels(np.asarray(tiny.generate(one)[0]))
        assert peak_signal_to_noise(redrawn, one.photo) == pytest.approx(one.psnr, abs=0.05)


@pytest.mark.parametrize("chosen", [{"steps": -1}, {"pti": 0.5}, {"seed": -1}])
def test_impossible_inversions_are_refused_before_reading_anything(tiny, chosen):
    with pytest.raises(UnsupportedOptionError, match=next(iter(chosen))):
        tiny.invert("missing.png", **chosen)


def test_new_people(tiny):
    people = [np.asarray(image).astype(int) for image in tiny.generate(n=3, truncation_psi=1.0, seed=5)]
    assert [person.shape for person in people] == [(64, 64, 3)] * 3
    assert np.abs(people[0] - people[1]).max() > 2
    again = [np.asarray(image) for image in tiny.generate(n=3, truncation_psi=1.0, seed=5)]
    assert all(np.array_equal(*pair) for pair in zip(people, again, strict=True))
    assert np.abs(people[0] - np.asarray(tiny.generate(truncation_psi=1.0, seed=6)[0])).max() > 2
    average = [np.asarray(image).astype(int) for image in tiny.generate(n=2, truncation_psi=0.0, seed=5)]
    assert np.abs(average[0] - average[1]).max() <= 1
    assert np.abs(average[0] - np.asarray(tiny.generate(truncation_psi=0.0, seed=6)[0])).max() <= 1
    with pytest.raises(UnsupportedOptionError, match="at least 1, got 0"):
        tiny.generate(n=0)


def test_codes_of_another_network_are_refused(tiny):
    with pytest.raises(UnsupportedOptionError, match=r"10.*64"):
        tiny.generate(Latents(torch.zeros(1, 14, 256)))
    with pytest.raises(UnsupportedOptionError, match="structure"):
        tiny.generate(Latents(torch.zeros(1, ROWS, WIDTH), torch.zeros(1, 3, 4, 4)))


def test_loading_does_not_depend_on_the_random_state(tiny, tiny_checkpoint, astronaut, hopper):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        other = Swapper.from_pretrained(tiny_checkpoint, device="cpu")
    assert np.array_equal(pixels_of(tiny(astronaut, hopper)), pixels_of(other(astronaut, hopper)))
    people = [np.asarray(each.generate(seed=1)[0]) for each in (tiny, other)]
    assert np.array_equal(*people)


def blurred(image: np.ndarray) -> np.ndarray:
    """The image through 32 pixels."""
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[:2], interpolation=cv2.INTER_LINEAR)


def test_random_weights_hide_no_paste(tiny, astronaut, astronaut_face, hopper, hopper_face):
    """Mutation check: with untrained weights the face is garbage, and only the face.

    The predicted mask of untrained weights is about 0.5 everywhere, so half of the attribute photo shines
    through, and its colours at 32 pixels pass by design; what is finer than that resembles neither photo,
    and the recogniser sees nobody it knows.
    """
    result = tiny(astronaut, hopper)
    [face] = result.faces
    inside = result.mask > 0
    assert 0.1 < face.mask.mean() < 0.9
    assert difference(result, hopper)[inside].mean() > 20
    assert difference(result, hopper)[~inside].max() == 0
    made = face.aligned.numpy().transpose(1, 2, 0)
    for photo, found in ((hopper, hopper_face), (astronaut, astronaut_face)):
        crop = ffhq_alignment(found.landmarks, 64).crop(photo)
        finer = [each - blurred(each) for each in (made, crop.astype(np.float32))]
        assert abs(np.corrcoef(finer[0].ravel(), finer[1].ravel())[0, 1]) < 0.2
    assert face.distance > 0.6
    assert abs(face.similarity) < 0.3


def test_a_person_of_other_weights_is_refused(tiny_checkpoint, astronaut, tmp_path):
    torch.manual_seed(5)
    network = SwapNetwork(NetworkConfig.preset("tiny"))
    save_weights(tmp_path, network.state_dict(), network.config.to_dict())
    one, again, other = (
        Swapper.from_pretrained(path) for path in (tiny_checkpoint, tiny_checkpoint, tmp_path)
    )
    person = one.prepare(astronaut)
    assert again(person, astronaut).faces
    with pytest.raises(UnsupportedOptionError, match="prepare it again"):
        other(person, astronaut)
