"""The network behind the method protocol, with random weights: contract, loading, codes, dials."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from inversion import Latents
from stylegan_swap.errors import CheckpointError
from stylegan_swap.faces.geometry.face_shape import shaped_landmarks
from stylegan_swap.methods.default.method import DefaultMethod
from stylegan_swap.methods.default.network import NetworkConfig, SwapNetwork
from stylegan_swap.methods.registry import build_method

NAME = "default"


def test_codes_have_the_shape_of_wplus(method, pair, swapped):
    latents = method.invert(pair[0])
    assert isinstance(latents, Latents)
    assert latents.wplus.shape == swapped.wplus.shape == (2, 10, 64)
    assert latents.wplus.dtype == torch.float32
    assert not torch.allclose(latents.wplus[0], latents.wplus[1], atol=1e-3)


def test_without_structure_the_codes_are_the_attribute_photos(method, pair):
    faces, points = pair
    off = method.swap_aligned(
        method.prepare(faces, points), faces.flip(0), points.flip(0), {"structure": 0.0}
    )
    torch.testing.assert_close(off.wplus, method.invert(faces.flip(0)).wplus, atol=1e-5, rtol=0)


def test_landmarks_reach_the_network(method, pair, swapped):
    faces, points = pair
    moved = method.swap_aligned(method.prepare(faces, points), faces.flip(0), points.flip(0) + 5)
    assert (moved.image - swapped.image).abs().max() > 1e-4


def test_features_are_put_where_the_person_has_them(method, pair, swapped):
    faces, points = pair
    person, others = method.prepare(faces, points), (faces.flip(0), points.flip(0))
    moved = torch.from_numpy(
        np.stack([shaped_landmarks(*each) for each in zip(points.numpy(), others[1].numpy(), strict=True)])
    )
    assert (moved - others[1]).abs().max() > 1
    torch.testing.assert_close(swapped.landmarks, moved, atol=1e-3, rtol=0)
    off = method.swap_aligned(person, *others, {"structure": 0.0}).landmarks
    assert off is None
    alone = method.swap_aligned(person.without_photo(), *others).landmarks
    assert alone is None
    unknown = torch.full_like(others[1], torch.nan)
    assert method.swap_aligned(person, others[0], unknown).landmarks is None


def test_a_seed_draws_noise_and_repeats_it(method, pair):
    faces, points = pair
    person = method.prepare(faces[:1], points[:1])
    first, again, other = (
        method.swap_aligned(person, faces[1:], points[1:], {"seed": seed}).image for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and (first - other).abs().mean() > 1e-4


def test_combining_takes_the_mean(method, pair):
    parts = [method.prepare(face[None]) for face in pair[0]]
    mean = method.combine(parts)
    assert len(mean) == 1
    torch.testing.assert_close(mean.embedding, (parts[0].embedding + parts[1].embedding) / 2)
    torch.testing.assert_close(mean.wplus, (parts[0].wplus + parts[1].wplus) / 2)
    alone = method.combine([part.without_photo() for part in parts])
    assert alone.wplus is None and torch.equal(alone.embedding, mean.embedding)


def test_generating(method):
    first, again, other = (method.generate(None, 3, 0.7, seed) for seed in (0, 0, 1))
    assert first.shape == (3, 3, 64, 64) and first.abs().max() <= 1
    assert torch.equal(first, again) and not torch.allclose(first, other, atol=1e-3)
    assert (first[0] - first[1]).abs().mean() > 1e-3
    average = method.generate(None, 3, 0.0, 0)
    torch.testing.assert_close(average[0], average[2], atol=1e-4, rtol=0)
    wide = method.generate(None, 3, 1.0, 0)
    assert (wide - average).abs().mean() > (first - average).abs().mean() > 1e-4


def test_the_colour_rows_of_a_larger_network_follow_their_dial():
    torch.manual_seed(0)
    network = SwapNetwork(NetworkConfig.preset("tiny", size=128))
    method = DefaultMethod(network, device=torch.device("cpu"), dtype=torch.float32)
    faces = torch.rand(2, 3, 128, 128) * 2 - 1
    person = method.prepare(faces[:1])
    plain, coloured = (
        method.swap_aligned(person, faces[1:], None, {"appearance": dial}) for dial in (0.0, 1.0)
    )
    moved = (plain.wplus - coloured.wplus).abs().amax((0, 2))
    assert moved[11] > 0.01 and not moved[:11].any()
    assert (plain.image - coloured.image).abs().max() > 1e-4


def test_it_needs_weights():
    with pytest.raises(CheckpointError, match=r"'default' needs weights: .* 'warp'"):
        DefaultMethod.from_pretrained(None, device=torch.device("cpu"), dtype=torch.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 3}, "colour"),
        ({"size": 65}, "power of two"),
        ({"style_dim": 32}, "generator"),
        ({"policy": "T" * 10}, "F rows need cells"),
        ({"base_channels": 10**7}, "cannot be built here"),
    ],
    ids=["unknown key", "bad value", "other network", "policy without its cells", "no memory for it"],
)
def test_weights_that_do_not_fit_are_named(weights_of, tmp_path, change, message):
    folder = shutil.copytree(weights_of("default"), tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    config["network"].update(change)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message) as caught:
        build_method("default", folder, torch.device("cpu"), torch.float32)
    assert str(folder) in str(caught.value)


def test_a_black_and_white_photo_stays_one(method, pair):
    faces, points = pair
    gray = faces.mean(1, keepdim=True).expand_as(faces)
    both = torch.cat([gray[:1], faces[1:]])
    image = method.swap_aligned(method.prepare(faces, points), both, points).image
    spread = (image.amax(1) - image.amin(1)).mean((1, 2))
    assert spread[0] == 0 and spread[1] > 0.01


def test_frames_of_glasses_stay_in_front(method, pair, monkeypatch):
    """Hopper's glasses are left out of the mask; with nobody's glasses seen the mask is whole."""
    faces, points = pair
    worn = method.swap_aligned(method.prepare(faces, points), faces, points).mask
    monkeypatch.setattr("stylegan_swap.methods.default.method.wears_glasses", lambda *_: False)
    whole = method.swap_aligned(method.prepare(faces, points), faces, points).mask
    less = (whole - worn).amax((1, 2, 3)) / whole.amax((1, 2, 3))
    assert sorted(less > 0.5) == [False, True]
