"""What every method of the registry must do, with tiny networks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from inversion import Latents
from stylegan_swap import Swapper, swap
from stylegan_swap.editing.invert import invert_face, redraw
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.methods.base.options import Choice, Option
from stylegan_swap.methods.base.protocol import AlignedSwap, HasLatents, Method, Refinable
from stylegan_swap.methods.base.published_files.detect import convert_file
from stylegan_swap.methods.base.published_files.write_foreign import write_foreign
from stylegan_swap.methods.registry import build_method, method_formats, method_names, method_of, method_spec
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.weights.store import load_weights

# ``copy`` has no identity in its result, ``paste`` no attribute face: that is what they are for.
BASELINES = ("copy", "paste")
# The colour rows of W+ begin at row 11; a network of 64 pixels has ten.
IDLE = {("default", "appearance"), ("default", "detail")}
# What a published file does not say: the official script has it.
UNSAID = {"fslsd": ("identity_rows",)}
WITH_WEIGHTS = [name for name in method_names() if method_spec(name).needs_weights]
PUBLISHED = sorted(method_formats())


@pytest.fixture(params=method_names())
def name(request) -> str:
    return request.param


def test_results_have_the_contracts_shapes_and_ranges_and_repeat(name, method, pair, swapped):
    assert isinstance(method, Method) and method.name == name and method.paper
    faces, points = pair
    size = faces.shape[-1]
    assert isinstance(swapped, AlignedSwap)
    assert swapped.image.shape == (2, 3, size, size) and swapped.mask.shape == (2, 1, size, size)
    for part in (swapped.image, swapped.mask, swapped.wplus):
        assert part is None or (part.dtype == torch.float32 and part.isfinite().all())
    assert swapped.image.abs().max() <= 1 and swapped.mask.min() >= 0 and swapped.mask.max() <= 1
    assert (swapped.mask.amax((1, 2, 3)) > 0.1).all() or name == "copy"
    assert swapped.wplus is None or (swapped.wplus.ndim == 3 and len(swapped.wplus) == 2)
    # Inputs stay as they are, ask for no gradient, and the same gives the same.
    watched, before = faces.clone().requires_grad_(), (faces.clone(), points.clone())
    again = method.swap_aligned(method.prepare(watched, points), watched.flip(0), points.flip(0))
    assert torch.equal(again.image, swapped.image) and torch.equal(again.mask, swapped.mask)
    assert not again.image.requires_grad and not again.mask.requires_grad and watched.grad is None
    assert torch.equal(watched, before[0]) and torch.equal(points, before[1])


def test_a_batch_is_its_faces_one_by_one(method, pair, swapped):
    faces, points = pair
    for k in (0, 1):
        person = method.prepare(faces[k : k + 1], points[k : k + 1])
        alone = method.swap_aligned(person, faces[1 - k][None], points[1 - k][None])
        torch.testing.assert_close(alone.image[0], swapped.image[k], atol=1e-3, rtol=0)
        torch.testing.assert_close(alone.mask[0], swapped.mask[k], atol=1e-3, rtol=0)
    # One person serves a batch; another number than one or one per face is refused.
    single = method.swap_aligned(method.prepare(faces[:1], points[:1]), faces, points)
    twice = method.prepare(faces[:1].repeat(2, 1, 1, 1), points[:1].repeat(2, 1, 1))
    torch.testing.assert_close(
        single.image, method.swap_aligned(twice, faces, points).image, atol=1e-3, rtol=0
    )
    with pytest.raises(ValueError, match="2 identities do not go with 3"):
        method.swap_aligned(twice, faces[[0, 1, 0]].contiguous(), points[[0, 1, 0]].contiguous())


def test_several_photos_of_a_person_become_one(method, pair, swapped):
    faces, points = pair
    parts = [method.prepare(faces[k : k + 1], points[k : k + 1]) for k in (0, 1)]
    both = method.swap_aligned(method.combine(parts), faces[[1, 0, 1]], points[[1, 0, 1]])
    assert len(both.image) == 3
    torch.testing.assert_close(both.image[0], both.image[2])
    same = method.swap_aligned(method.combine([parts[0], parts[0]]), faces[1:], points[1:])
    torch.testing.assert_close(same.image[0], swapped.image[0], atol=1e-3, rtol=0)


def test_both_photos_matter_at_any_side_and_without_landmarks(name, method, pair, swapped):
    faces, points = pair
    assert method.swap_aligned(method.prepare(faces), faces.flip(0)).image.isfinite().all()
    plain = method.swap_aligned(method.prepare(faces, points), faces, points)
    inside = (plain.mask > 0.5).expand_as(plain.image)
    if name not in BASELINES:
        # Same attribute photo, another person; same person, another attribute photo.
        assert (swapped.image.flip(0) - plain.image)[inside].abs().mean() > 1e-3
        assert (swapped.image - plain.image).abs().mean() > 1e-3
    large = F.interpolate(faces, scale_factor=2, mode="nearest")
    result = method.swap_aligned(method.prepare(large, (points + 0.5) * 2 - 0.5), faces, points)
    assert result.image.shape == plain.image.shape
    if name != "copy":
        apart = (swapped.image.flip(0) - plain.image)[inside].abs().mean()
        assert (result.image - plain.image)[inside].abs().mean() < 0.5 * apart


def test_declared_options_act_and_others_are_refused(name, method, pair, swapped):
    faces, points = pair
    person, others = method.prepare(faces, points), (faces.flip(0), points.flip(0))
    for option in method.options:
        if isinstance(option, Option):
            value = option.low if option.default != option.low else option.high
            wrong = option.high + 1
        elif isinstance(option, Choice):
            value, wrong = next(word for word in option.choices if word != option.default), "neither"
        else:
            value, wrong = 7, -1
        turned = method.swap_aligned(person, *others, {option.name: value})
        moved = not torch.allclose(turned.image, swapped.image, atol=1e-5)
        assert moved or (name, option.name) in IDLE, option.name
        with pytest.raises(UnsupportedOptionError, match=option.name):
            method.swap_aligned(person, *others, {option.name: wrong})
    with pytest.raises(UnsupportedOptionError, match=f"'{name}' has no option 'sharpness'"):
        method.swap_aligned(person, *others, {"sharpness": 1.0})


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_weights_are_saved_and_loaded_and_precision_is_kept_inside(name, method, weights, pair, swapped):
    stored, _ = load_weights(weights)
    state = method.network.state_dict()
    assert stored.keys() == state.keys() and all(torch.equal(stored[key], state[key]) for key in stored)
    assert not method.network.training and not any(p.requires_grad for p in method.network.parameters())
    assert method_of(weights / "model.safetensors") == name
    half = build_method(name, weights, torch.device("cpu"), torch.bfloat16)
    assert half.fingerprint == method.fingerprint
    faces, points = pair
    result = half.swap_aligned(half.prepare(faces, points), faces.flip(0), points.flip(0))
    parts = (result.image, result.mask, result.wplus)
    assert all(part is None or part.dtype == torch.float32 for part in parts)
    assert 0 < (result.image - swapped.image).abs().mean() < 0.1


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_codes_faces_from_them_and_tuning(name, method, pair):
    if not isinstance(method, HasLatents):
        return
    face = pair[0][:1]
    codes = method.invert(pair[0])
    assert isinstance(codes, Latents) and codes.wplus.dtype == torch.float32
    assert method.generate(codes, 1, 0.7, 0).shape == (2, 3, method.size, method.size)
    first, again, other = (method.generate(None, 2, 0.7, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.allclose(first, other, atol=1e-3)
    with pytest.raises(UnsupportedOptionError, match="weights that these codes go with"):
        method.generate(Latents(torch.zeros(1, 3, 5)), 1, 0.7, 0)
    codes, identity = method.invert(face), DlibIdentity()
    plain = invert_face(method, codes, face, identity)
    tuned = invert_face(method, codes, face, identity, pti=6)
    assert tuned.psnr > plain.psnr + 1 and torch.equal(tuned.wplus, codes.wplus)
    torch.testing.assert_close(redraw(method, tuned), tuned.reconstruction, atol=1e-5, rtol=0)
    assert (redraw(method, plain) - plain.reconstruction).abs().max() < 1e-5


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_go_there_and_back(name, method, weights, tmp_path):
    state, _ = load_weights(weights)
    files = write_foreign(weights, tmp_path / "published", name)
    assert files[0].name in method_formats()[name].published
    converted = convert_file(tmp_path / "published")
    config = method.network.config
    unsaid = {field: getattr(config, field) for field in UNSAID.get(name, ())}
    assert converted.format == name and converted.config.changed(**unsaid) == config
    assert converted.state.keys() == state.keys()
    assert all(torch.equal(converted.state[key], state[key]) for key in state)


@pytest.mark.parametrize("name", PUBLISHED)
def test_photographs_are_swapped_and_missing_weights_say_what_to_fetch(name, weights, astronaut, hopper):
    swapper = Swapper.from_pretrained(weights, device="cpu")
    result = swapper(astronaut, hopper)
    assert result.method == name and result.image.size == (hopper.shape[1], hopper.shape[0])
    assert result.mask.max() > 0.5 and result.faces[0].distance >= 0
    if not isinstance(swapper.method, Refinable):
        with pytest.raises(UnsupportedOptionError, match="no option 'refine'"):
            swapper.prepare("missing.png", refine=1)
    with pytest.raises(CheckpointError, match=f"'{name}' needs weights") as caught:
        swap(astronaut, hopper, method=name)
    assert "\n" not in str(caught.value) and f"download {name}" in str(caught.value)
    assert method_formats()[name].published[0] in str(caught.value)
