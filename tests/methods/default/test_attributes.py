"""Attribute encoder: what passes where, heat maps, mask pyramid."""

from __future__ import annotations

import pytest
import torch

from stylegan_swap.methods.default.attributes import AttributeEncoder, mask_pyramid
from stylegan_swap.nn.blocks.landmark_maps import landmark_maps
from stylegan_swap.nn.stylegan2.generator import Generator

SIZE = 128
CHANNELS = {4: 8, 8: 8, 16: 8, 32: 8, 64: 6, 128: 4}


@pytest.fixture(scope="module")
def encoder() -> AttributeEncoder:
    torch.manual_seed(0)
    return AttributeEncoder(SIZE, CHANNELS, width=16).eval()


def photos(seed: int, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def hidden_at(resolution: int) -> torch.Tensor:
    stream = torch.Generator().manual_seed(resolution)
    return torch.randn(1, CHANNELS[resolution], resolution, resolution, generator=stream)


@torch.no_grad()
def test_shapes(encoder):
    features = encoder(photos(0, batch=2))
    assert sorted(features.entries) == [8, 16, 32, 64, 128]
    assert all(e.shape[2:] == (r, r) for r, e in features.entries.items())
    assert {features.entries[r].shape[1] for r in (8, 16, 32)} == {16}
    assert features.mask_logits.shape == features.mask.shape == (2, 1, SIZE, SIZE)
    assert torch.equal(features.mask, features.mask_logits.sigmoid())


@torch.no_grad()
def test_nothing_of_the_attribute_photo_passes_inside_the_mask_from_64_on(encoder):
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[:, :, 20:100, 30:97] = 1
    one, two = (encoder.blender(encoder(photos(s)), mask) for s in (1, 2))
    for resolution in (64, 128):
        hidden = hidden_at(resolution)
        a, b = one(resolution, hidden), two(resolution, hidden)
        inside = (one.masks[resolution] == 1).expand_as(hidden)
        assert inside.any() and not inside.all()
        assert torch.equal(a[inside], hidden[inside])
        assert torch.equal(b[inside], hidden[inside])
        assert (a[~inside] != b[~inside]).all()


@torch.no_grad()
def test_outside_the_mask_nothing_of_the_generator_stays_from_64_on(encoder):
    blend = encoder.blender(encoder(photos(1)), torch.zeros(1, 1, SIZE, SIZE))
    for resolution in (64, 128):
        hidden = hidden_at(resolution)
        assert torch.equal(blend(resolution, hidden), blend(resolution, hidden + 3))


@torch.no_grad()
@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_below_64_the_attribute_photo_passes_everywhere_through_a_gate(encoder, resolution):
    full = torch.ones(1, 1, SIZE, SIZE)
    one, two = (encoder.blender(encoder(photos(s)), full) for s in (1, 2))
    hidden = hidden_at(resolution)
    a, b = one(resolution, hidden), two(resolution, hidden)
    assert ((a - b).abs().amax(1) > 0).all()
    assert ((a - one(resolution, hidden.flip(3))).abs().amax(1) > 0).any()


@torch.no_grad()
def test_a_closed_gate_leaves_the_generator_alone():
    torch.manual_seed(0)
    encoder = AttributeEncoder(SIZE, CHANNELS, width=16)
    encoder.inside["16"].gate.bias.fill_(-100.0)
    hidden = hidden_at(16)
    blend = encoder.blender(encoder(photos(1)))
    assert torch.allclose(blend(16, hidden), hidden, atol=1e-6)
    assert not torch.allclose(blend(8, hidden_at(8)), hidden_at(8), atol=1e-2)


@torch.no_grad()
def test_the_small_photo_enters_the_colours_at_32_pixels_alone(encoder):
    photo = photos(1)
    features = encoder(photo)
    blend = encoder.blender(features)
    image = torch.rand(1, 3, 32, 32)
    small = torch.nn.functional.avg_pool2d(photo, SIZE // 32)
    assert torch.allclose(features.small, small, atol=1e-6)
    blended = blend.image_hooks[32](32, image)
    share = ((blended - image) / (small - image)).flatten()
    share = share[(small - image).abs().flatten() > 0.05]
    assert share.min() > 0.3 and share.max() < 1
    assert list(blend.image_hooks) == [32]


@torch.no_grad()
def test_resolutions_without_an_entry_pass_unchanged(encoder):
    blend = encoder.blender(encoder(photos(1)))
    hidden = torch.randn(1, 4, 4, 4)
    assert blend(4, hidden) is hidden


@torch.no_grad()
def test_the_generator_takes_the_blender_as_its_hook(encoder):
    torch.manual_seed(0)
    generator = Generator(SIZE, 16, 1, channels=CHANNELS)
    wplus = torch.randn(1, generator.n_latent, 16)
    images = [generator(wplus, blend=encoder.blender(encoder(photos(s)))).image for s in (1, 2)]
    assert images[0].shape == (1, 3, SIZE, SIZE)
    assert not torch.allclose(images[0], images[1], atol=1e-3)
    assert not torch.allclose(images[0], generator(wplus).image, atol=1e-3)


def test_the_mask_pyramid_pools_by_area():
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :6] = 1
    pooled = mask_pyramid(mask, [8, 4])
    assert pooled[8][0, 0, 0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert pooled[4][0, 0, 0].tolist() == [1, 0.5, 0, 0]


def test_heat_maps_peak_at_their_points():
    landmarks = torch.full((1, 68, 2), 5.0)
    landmarks[0, 36:42] = torch.tensor([20.0, 30.0])
    landmarks[0, 48] = torch.tensor([40.0, 50.0])
    maps = landmark_maps(landmarks, 64, like=torch.zeros(1, 3, 64, 64))
    assert maps.shape == (1, 4, 64, 64)
    assert float(maps[0, 0, 30, 20]) == 1 == float(maps[0, 0].max())
    assert float(maps[0, 0, 5, 5]) < 1e-3
    assert float(maps[0, 2, 50, 40]) == 1
    assert float(maps[0, 3, 50, 40]) < 1e-3


def test_heat_maps_are_blank_without_usable_landmarks():
    landmarks = torch.rand(2, 68, 2) * 64
    landmarks[1, 3, 0] = torch.nan
    maps = landmark_maps(landmarks, 64, like=torch.zeros(2, 3, 64, 64))
    assert maps[0].any() and not maps[1].any()
    assert not landmark_maps(None, 64, like=torch.zeros(2, 3, 64, 64)).any()
    with pytest.raises(ValueError, match="landmarks must be"):
        landmark_maps(landmarks[:1], 64, like=torch.zeros(2, 3, 64, 64))


def test_heat_maps_are_differentiable():
    landmarks = (torch.rand(1, 68, 2) * 64).requires_grad_()
    maps = landmark_maps(landmarks, 64, like=torch.zeros(1, 3, 64, 64))
    (maps * torch.linspace(0, 1, 64)).sum().backward()
    assert landmarks.grad is not None
    assert landmarks.grad[0, 36:].any() and not landmarks.grad[0, :36].any()


@torch.no_grad()
def test_inside_the_face_only_the_small_photo_and_the_windows_are_seen(encoder):
    landmarks = torch.full((1, 68, 2), 64.0)
    landmarks[:, 36:42], landmarks[:, 42:48] = torch.tensor([48.0, 60.0]), torch.tensor([80.0, 60.0])
    landmarks[:, 48:] = torch.tensor([64.0, 92.0])
    photo = photos(1)
    # A pattern that vanishes in blocks of four pixels, over a cheek and over an eye.
    pattern = (torch.arange(SIZE) % 2 * 2.0 - 1).expand(SIZE, SIZE)
    cheek, eye = torch.zeros(2, SIZE, SIZE)
    cheek[70:80, 40:52] = eye[56:64, 44:52] = 1
    plain = encoder(photo, landmarks).entries
    on_cheek = encoder(photo + 0.3 * cheek * pattern, landmarks).entries
    on_eye = encoder(photo + 0.3 * eye * pattern, landmarks).entries
    for r in (8, 16, 32):
        assert torch.allclose(on_cheek[r], plain[r], atol=1e-3)
        assert (on_eye[r] - plain[r]).abs().max() > 20 * (on_cheek[r] - plain[r]).abs().max()
    assert not torch.allclose(on_cheek[64], plain[64], atol=1e-3)


@torch.no_grad()
def test_landmarks_change_what_enters_inside_the_face(encoder):
    landmarks = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(0)) * SIZE
    blank, drawn = encoder(photos(1)), encoder(photos(1), landmarks)
    assert all(not torch.allclose(blank.entries[r], drawn.entries[r], atol=1e-4) for r in (8, 16, 32))


def test_what_does_not_fit_is_refused(encoder):
    with pytest.raises(ValueError, match="power of two"):
        AttributeEncoder(100, CHANNELS)
    with pytest.raises(ValueError, match=r"lacks the resolutions \[256\]"):
        AttributeEncoder(256, CHANNELS)
    with pytest.raises(ValueError, match="reads"):
        encoder(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="mask must be"):
        encoder.blender(encoder(photos(1)), torch.ones(1, 1, 64, 64))
