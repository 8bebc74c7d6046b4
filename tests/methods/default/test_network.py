"""The assembled network: contract of the default, its budget, its configuration."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from inversion import Latents
from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.default.network import (
    IdentityCodes,
    NetworkConfig,
    SwapNetwork,
    parameter_count,
    stored_bytes,
)
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity

TINY = NetworkConfig.preset("tiny")


@pytest.fixture(scope="module")
def identity() -> DlibIdentity:
    return DlibIdentity()


def build(identity: DlibIdentity, **changes) -> SwapNetwork:
    torch.manual_seed(0)
    network = SwapNetwork(TINY.changed(**changes), identity)
    # Noise weights start at zero; a trained network has others.
    for name, parameter in network.generator.named_parameters():
        if name.endswith("noise.weight"):
            torch.nn.init.constant_(parameter, 0.1)
    # So do the projections of the identity photo.
    for project in network.detail.project.values():
        torch.nn.init.normal_(project.weight)
    return network


@pytest.fixture(scope="module")
def network(identity) -> SwapNetwork:
    return build(identity).eval()


def photos(seed: int, batch: int = 2, size: int = 64) -> torch.Tensor:
    coarse = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")


def points(seed: int, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 68, 2, generator=torch.Generator().manual_seed(seed)) * 64


@torch.no_grad()
def test_shapes(network):
    out = network(photos(1), photos(2), points(3))
    assert out.image.shape == (2, 3, 64, 64)
    assert out.mask.shape == out.mask_logits.shape == (2, 1, 64, 64)
    assert out.wplus.shape == (2, 10, 64)
    assert torch.equal(out.mask, out.mask_logits.sigmoid())
    latents = network.invert(photos(1))
    assert isinstance(latents, Latents)
    assert latents.wplus.shape == (2, 10, 64)


@torch.no_grad()
def test_identity_can_be_prepared_once(network):
    person = network.identity_codes(photos(1))
    prepared, direct = network(person, photos(2)), network(photos(1), photos(2))
    assert torch.equal(prepared.image, direct.image)
    assert torch.equal(person.wplus, network.invert(photos(1)).wplus)
    embedding = network.identity.standardise(network.identity.embed(photos(1)))
    assert torch.allclose(person.embedding, embedding, atol=1e-4)
    one = network.identity_codes(photos(1, batch=1))
    assert network(one, photos(2)).image.shape[0] == 2


@torch.no_grad()
def test_several_photos_make_one_person_and_a_person_needs_no_photo(network):
    codes = network.identity_codes(photos(1, batch=3))
    person = codes.mean()
    assert torch.allclose(person.embedding[0], codes.embedding.mean(0))
    with_photo = network(person, photos(2)).image
    virtual = network(person.without_photo(), photos(2)).image
    assert virtual.isfinite().all() and not torch.equal(virtual, with_photo)
    with pytest.raises(ValueError, match="3 identities"):
        network(codes, photos(2))


@torch.no_grad()
def test_both_photos_matter(network):
    base = network(photos(1), photos(2)).image
    assert not torch.allclose(base, network(photos(5), photos(2)).image, atol=1e-3)
    assert not torch.allclose(base, network(photos(1), photos(5)).image, atol=1e-3)
    assert not torch.allclose(base, network(photos(1), photos(2), points(3)).image, atol=1e-4)


@torch.no_grad()
def test_dials_at_zero_forget_the_identity(network):
    off = {"structure": 0.0, "appearance": 0.0}
    one, other = (network(photos(s), photos(2), **off) for s in (1, 5))
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.wplus, network.invert(photos(2)).wplus)


@torch.no_grad()
def test_batch_of_two_is_two_singles(network):
    both = network(photos(1), photos(2), points(3))
    for i in range(2):
        one = network(photos(1)[i : i + 1], photos(2)[i : i + 1], points(3)[i : i + 1])
        scale = float(both.image.abs().max())
        assert torch.allclose(one.image[0], both.image[i], atol=1e-4 * scale)
        assert torch.allclose(one.mask[0], both.mask[i], atol=1e-4)


@torch.no_grad()
def test_the_seed_decides(identity):
    one, two = build(identity).eval(), build(identity).eval()
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )
    images = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        images.append(one(photos(1), photos(2), noise="random").image)
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    assert torch.equal(one(photos(1), photos(2)).image, two(photos(1), photos(2)).image)


@torch.no_grad()
def test_bfloat16_autocast_is_close(network):
    exact = network(photos(1), photos(2), points(3)).image
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(photos(1), photos(2), points(3)).image.float()
    assert rough.isfinite().all()
    correlation = torch.corrcoef(torch.stack([exact.flatten(), rough.flatten()]))[0, 1]
    assert float(correlation) > 0.99


def test_one_backward_reaches_every_parameter(identity):
    network = build(identity, residual_drop=0.0).train()
    person = network.identity_codes(photos(1), points(4))
    out = network(person, photos(2), points(3), appearance=0.5)
    stream = torch.Generator().manual_seed(0)
    loss = (out.image * torch.randn(out.image.shape, generator=stream)).sum() + out.mask_logits.square().sum()
    loss.backward()
    idle = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    # A swap starts from photographs; the mapping network serves generate() alone.
    mapping = {n for n, _ in network.named_parameters() if n.startswith("generator.style.")}
    assert idle == mapping and mapping


@pytest.mark.parametrize("allowed", [False, True])
def test_image_losses_move_the_mask_only_where_allowed(identity, allowed: bool):
    network = build(identity, mask_gradient=allowed)
    network(photos(1), photos(2)).image.square().sum().backward()
    moved = any(p.grad is not None and p.grad.any() for p in network.attributes.mask_head.parameters())
    assert moved is allowed


@torch.no_grad()
def test_a_given_mask_replaces_the_predicted_one(network):
    mask = torch.ones(2, 1, 64, 64)
    inside = network(photos(1), photos(2), mask=mask)
    assert not torch.allclose(inside.image, network(photos(1), photos(2), mask=1 - mask).image, atol=1e-3)
    assert torch.equal(inside.mask, network(photos(1), photos(2)).mask)


@torch.no_grad()
def test_photos_of_any_side_and_their_landmarks_are_brought_to_size(network):
    seen = []
    hook = network.attributes.register_forward_pre_hook(lambda _m, args: seen.append(args))
    small, large = photos(2), photos(2, size=128)
    landmarks = torch.full((2, 68, 2), 31.5)
    network(photos(1, size=200), small, landmarks)
    network(photos(1, size=200), large, (landmarks + 0.5) * 2 - 0.5)
    hook.remove()
    assert torch.allclose(seen[0][1], seen[1][1])
    assert seen[1][0].shape == (2, 3, 64, 64)
    assert torch.allclose(seen[0][0], seen[1][0], atol=0.1)
    with pytest.raises(ValueError, match="square"):
        network(photos(1), photos(2)[..., 1:])


def test_the_state_has_its_prefixes_and_no_recogniser(network, identity):
    assert {k.split(".")[0] for k in network.state_dict()} == {
        "generator",
        "encoder",
        "swapper",
        "attributes",
        "detail",
    }
    recogniser = {p.data_ptr() for p in identity.parameters()}
    assert not recogniser & {p.data_ptr() for p in network.parameters()}
    assert not recogniser & {t.data_ptr() for t in network.state_dict().values()}


@torch.no_grad()
def test_the_state_rebuilds_the_network(network, identity):
    torch.manual_seed(9)
    other = SwapNetwork(NetworkConfig.from_dict(network.config.to_dict()), identity).eval()
    assert not torch.equal(other(photos(1), photos(2)).image, network(photos(1), photos(2)).image)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(photos(1), photos(2)).image, network(photos(1), photos(2)).image)


@torch.no_grad()
def test_a_copy_moves_with_its_own_recogniser(network):
    twin = copy.deepcopy(network).double()
    assert twin.identity is twin.encoder.trunk
    assert twin.identity is not network.identity
    assert next(network.identity.parameters()).dtype == torch.float32
    assert twin(photos(1).double(), photos(2).double()).image.dtype == torch.float64


@torch.no_grad()
def test_channels_last_changes_the_layout_and_not_the_result(network):
    twin = copy.deepcopy(network).channels_last()
    weight = twin.encoder.branch[1].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    images = [n(photos(1), photos(2), points(3)).image for n in (network, twin)]
    assert torch.allclose(*images, atol=1e-4 * float(images[0].abs().max()))


@pytest.mark.parametrize("name", ["128", "256"])
def test_the_default_stays_in_its_budget(identity, name: str):
    network = SwapNetwork(NetworkConfig.preset(name), identity)
    assert 8_000_000 < parameter_count(network) <= 12_000_000
    assert stored_bytes(network) <= 24_000_000
    assert 5_000_000 < parameter_count(network.generator) < 7_000_000


def test_presets_name_the_right_networks():
    rows = {name: NetworkConfig.preset(name).n_latent for name in NetworkConfig.presets}
    assert rows == {"tiny": 10, "128": 12, "256": 14, "512": 16, "1024": 18, "ffhq": 18}
    assert NetworkConfig(detail_width=48) == NetworkConfig.preset("256")
    channels = NetworkConfig.preset("256").channels
    assert channels == {4: 256, 8: 256, 16: 256, 32: 256, 64: 128, 128: 64, 256: 32}
    published = NetworkConfig.preset("ffhq").channels
    assert published == {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}


@pytest.mark.parametrize("name", list(NetworkConfig.presets))
def test_configurations_survive_json(name: str):
    config = NetworkConfig.preset(name)
    assert NetworkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 100}, "power of two"),
        ({"size": 4096}, "power of two"),
        ({"size": "256"}, "size should be a valid integer"),
        ({"style_dim": 0}, "style_dim"),
        ({"n_mlp": True}, "n_mlp should be a valid integer"),
        ({"encoder_size": 32}, "encoder_size"),
        ({"residual_drop": 1.5}, "residual_drop"),
        ({"swapper": "nope"}, "swapper"),
        ({"policy": "TTF"}, "14 letters"),
        ({"policy": "T" * 13 + "X"}, "T, S, F"),
        ({"colour": 1}, "unknown configuration keys"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict, message: str):
    with pytest.raises(CheckpointError, match=message):
        NetworkConfig.from_dict(changes)
    if message != "unknown configuration keys":
        with pytest.raises(ValueError, match=message):
            NetworkConfig(**changes)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="no network preset"):
        NetworkConfig.preset("2048")
    assert NetworkConfig.preset("128", policy="T" * 12).policy == "T" * 12


@torch.no_grad()
@pytest.mark.parametrize("swapper", ["megafs_ftm", "megafs_injection", "megafs_lcr", "fslsd", "unified"])
def test_every_swapper_preset_assembles(identity, swapper: str):
    network = build(identity, swapper=swapper).eval()
    assert network(photos(1), photos(2)).image.isfinite().all()


@torch.no_grad()
def test_a_policy_of_ones_own(identity):
    network = build(identity, policy="F" * 10).eval()
    out = network(photos(1), photos(2))
    assert not torch.isclose(out.wplus, network.invert(photos(2)).wplus).all(2).any()


def test_identity_codes_count_and_expand():
    codes = IdentityCodes(torch.zeros(1, 128), torch.zeros(1, 10, 64)).expand(3)
    assert len(codes) == 3
    assert codes.wplus is not None and codes.wplus.shape == (3, 10, 64)
