"""The identity photo itself in the generator: silent at first, blind in holes, gone with the dial."""

from __future__ import annotations

import pytest
import torch

from stylegan_swap.methods.default.detail import LIGHT, DetailPhoto, IdentityDetail, relit
from stylegan_swap.methods.default.inside import InsideFeatures
from stylegan_swap.methods.default.network import NetworkConfig, SwapNetwork
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity

SIZE = 64
CHANNELS = {4: 8, 8: 8, 16: 8, 32: 8, 64: 4}


def photos(seed: int, batch: int = 2) -> torch.Tensor:
    coarse = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=SIZE, mode="bilinear")


def points(seed: int, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 68, 2, generator=torch.Generator().manual_seed(seed)) * SIZE


def views(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return InsideFeatures.views(photos(seed), points(2))


def photo(seed: int = 1, batch: int = 2) -> DetailPhoto:
    everywhere = torch.ones(batch, 1, SIZE, SIZE)
    return DetailPhoto(torch.cat([photos(seed, batch), everywhere], 1), points(2, batch))


@pytest.fixture(scope="module")
def trained() -> IdentityDetail:
    """With projections that are no longer zero."""
    torch.manual_seed(0)
    detail = IdentityDetail(SIZE, CHANNELS, 16)
    for project in detail.project.values():
        torch.nn.init.normal_(project.weight)
    return detail.requires_grad_(False)


def test_shapes_and_silence_at_first():
    entries = IdentityDetail(SIZE, CHANNELS, 16)(photo(), views(3), points(2))
    assert {r: tuple(e.shape) for r, e in entries.items()} == {32: (2, 8, 32, 32), 64: (2, 4, 64, 64)}
    assert not any(entry.any() for entry in entries.values())
    with pytest.raises(ValueError, match="at least 32"):
        IdentityDetail(16, CHANNELS)


def test_it_begins_to_learn_although_silent():
    torch.manual_seed(0)
    detail = IdentityDetail(SIZE, CHANNELS, 16)
    sum(e.sum() for e in detail(photo(), views(3), points(2)).values()).backward()
    assert all(p.weight.grad.abs().sum() > 0 for p in detail.project.values())


def test_the_photo_matters_and_holes_do_not(trained):
    base = trained(photo(), views(3), points(2))
    other = trained(photo(seed=5), views(3), points(2))
    assert all(not torch.allclose(base[r], other[r], atol=1e-3) for r in base)
    holed, painted = photo(), photo()
    for face in (holed, painted):
        face.image[:, 3, 20:40, 20:40] = 0
    painted.image[:, :3, 20:40, 20:40] = 0.7
    one, two = (trained(face, views(3), points(2)) for face in (holed, painted))
    assert all(torch.equal(one[r], two[r]) for r in one)
    assert not torch.allclose(one[64], base[64], atol=1e-4)


def test_without_landmarks_nothing_is_added_to_that_face(trained):
    some = photo().without(torch.tensor([True, False]))
    entries, whole = trained(some, views(3), points(2)), trained(photo(), views(3), points(2))
    assert not entries[64][0].any() and not entries[32][0].any()
    assert torch.allclose(entries[64][1], whole[64][1], atol=1e-5)


def test_light_is_taken_over_and_structure_stays():
    fine = 0.02 * torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    dark, bright = torch.full((1, 3, SIZE, SIZE), -0.4), torch.full((1, 3, 32, 32), 0.3)
    everywhere = torch.ones(1, 1, SIZE, SIZE)
    result = relit(dark + fine, everywhere, bright)
    assert result.mean() == pytest.approx(0.3, abs=0.01)
    # Light multiplies: 0.65 against 0.3 in 0..1.
    assert result.std() / fine.std() == pytest.approx(0.65 / 0.3, rel=0.15)
    assert torch.allclose(relit(dark, torch.zeros_like(everywhere), bright), dark, atol=1e-5)
    half = everywhere.clone()
    half[..., SIZE // 2 :] = 0
    mixed = relit(dark, half, bright)
    patch = SIZE // LIGHT
    assert torch.allclose(mixed[..., : SIZE // 2 - patch], torch.tensor(0.3), atol=0.01)


@pytest.fixture(scope="module")
def network() -> SwapNetwork:
    torch.manual_seed(0)
    network = SwapNetwork(NetworkConfig.preset("tiny"), DlibIdentity()).eval().requires_grad_(False)
    for project in network.detail.project.values():
        torch.nn.init.normal_(project.weight)
    return network


def test_a_person_brings_the_photo_along(network):
    person = network.identity_codes(photos(1), points(2))
    assert person.photo is not None and len(person.photo) == 2
    with_photo = network(person, photos(3), points(4))
    codes_alone = network(network.identity_codes(photos(1)), photos(3), points(4))
    assert not torch.allclose(with_photo.image, codes_alone.image, atol=1e-3)
    assert torch.equal(with_photo.mask, codes_alone.mask)
    blind = network(person, photos(3))
    assert torch.equal(blind.image, network(network.identity_codes(photos(1)), photos(3)).image)
    assert person.without_photo().photo is None


def test_dials_at_zero_forget_the_photo_too(network):
    results = [
        network(network.identity_codes(photos(s), points(2)), photos(3), points(4), structure=0.0).image
        for s in (1, 5)
    ]
    assert torch.equal(*results)
    person = network.identity_codes(photos(1), points(2))
    each = network(person, photos(3), points(4), structure=torch.tensor([0.0, 1.0])).image
    assert torch.allclose(each[0], results[0][0], atol=1e-4)
    assert torch.allclose(each[1], network(person, photos(3), points(4)).image[1], atol=1e-4)


def test_of_several_photos_the_most_typical_is_kept(network):
    person = network.identity_codes(torch.cat([photos(1), photos(1), photos(9)])[[0, 2, 4]], points(2, 3))
    mean = person.mean()
    assert mean.photo is not None and len(mean.photo) == 1
    assert torch.equal(mean.photo.image[0], person.photo.image[0])
    assert torch.equal(mean.expand(3).photo.image, mean.photo.image.expand(3, -1, -1, -1))


def test_landmarks_follow_the_photo_to_the_networks_size(network):
    large = torch.nn.functional.interpolate(photos(1), size=2 * SIZE, mode="nearest")
    own, given = points(2), (points(2) + 0.5) * 2 - 0.5
    small, person = network.identity_codes(photos(1), own), network.identity_codes(large, given)
    assert torch.allclose(person.photo.landmarks, small.photo.landmarks, atol=1e-4)
    assert torch.allclose(person.photo.image, small.photo.image, atol=0.05)
