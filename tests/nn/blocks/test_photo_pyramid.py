"""A network of twice the side goes on where the smaller one stopped."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stylegan_swap.methods.default.network import NetworkConfig, SwapNetwork
from stylegan_swap.methods.default.start import start_from
from stylegan_swap.nn.blocks.photo_pyramid import pyramid_sides
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.training.start_weights import StartWeights

SMALL = NetworkConfig(
    size=128, style_dim=32, n_mlp=1, base_channels=16, min_channels=8, encoder_size=64, encoder_width=8,
    attribute_width=16, detail_width=16,
)  # fmt: skip


def parts_of(network: SwapNetwork) -> dict[str, dict[str, torch.Tensor]]:
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in network.state_dict().items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    return parts


def test_sides():
    for size, sides in ((64, [64]), (128, [128]), (256, [128, 256]), (1024, [128, 256, 512, 1024])):
        assert pyramid_sides(size) == sides


@torch.no_grad()
def test_twice_the_side_begins_with_the_same_image():
    torch.manual_seed(0)
    small = SwapNetwork(SMALL).eval()
    for parameter in small.detail.project.parameters():
        parameter.normal_()
    large = SwapNetwork(NetworkConfig(**{**SMALL.to_dict(), "size": 256})).eval()
    anew = start_from(large, StartWeights("weights", parts_of(small), config={"size": 128}))
    assert "detail.from_image.256.weight" in anew and "detail.from_image.128.weight" not in anew
    # A smooth photo, so that nothing is lost between both sides.
    x = F.interpolate(torch.rand(2, 3, 8, 8) * 2 - 1, (256, 256), mode="bicubic").clamp(-1, 1)
    points = torch.rand(2, 68, 2) * 150 + 50
    before, after = (
        network(network.identity_codes(x, points), x.flip(0), points.flip(0), noise="none")
        for network in (small, large)
    )
    assert after.image.shape == (2, 3, 256, 256)
    error = (F.adaptive_avg_pool2d(after.image, 128) - before.image).abs().mean() / before.image.std()
    assert error < 0.03
    wanted = F.interpolate(before.mask_logits, (256, 256), mode="bilinear", align_corners=False)
    assert (after.mask_logits - wanted).abs().mean() < 0.05 * before.mask_logits.std() + 0.01


def test_what_the_finer_side_adds_can_be_learned():
    torch.manual_seed(0)
    large = SwapNetwork(NetworkConfig(**{**SMALL.to_dict(), "size": 256}))
    start_from(large, StartWeights("weights", parts_of(SwapNetwork(SMALL)), config={"size": 128}))
    x, points = torch.rand(1, 3, 256, 256) * 2 - 1, torch.rand(1, 68, 2) * 200
    output = large(large.identity_codes(x, points), x, points)
    (output.image.square().mean() + output.mask_logits.square().mean()).backward()
    for name in (
        "generator.to_rgbs.5.conv.weight",
        "attributes.mask_head.256.weight",
        "attributes.down.128.weight",
    ):
        assert large.get_parameter(name).grad.abs().max() > 0, name


@torch.no_grad()
def test_a_discriminator_takes_over_the_smaller_ones_blocks():
    torch.manual_seed(0)
    small, large = (Discriminator(size, {2**k: 8 for k in range(2, 7)}) for size in (32, 64))
    own = {name: tensor.clone() for name, tensor in large.state_dict().items()}
    large.load_state_dict(large.grown(small.state_dict()))
    # Behind the first block both are one network.
    features = torch.randn(4, 8, 32, 32)
    expected = small.final_conv  # the same modules from here on
    assert torch.equal(expected[0].weight, large.final_conv[0].weight)
    ours, theirs = features, features
    for block in list(large.convs)[2:]:
        ours = block(ours)
    for block in list(small.convs)[1:]:
        theirs = block(theirs)
    assert torch.equal(ours, theirs)
    assert torch.equal(large.state_dict()["convs.1.conv1.0.weight"], own["convs.1.conv1.0.weight"])
    assert large.grown(own).keys() == own.keys()
