"""RAFSwap behind the method protocol, with tiny random weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stylegan_swap.faces.masks.parsing import LABELS
from stylegan_swap.methods.rafswap.method import RAFSwapMethod
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork

NAME = "rafswap"


def test_the_identity_enters_by_tokens_and_as_a_whole(method, pair, swapped):
    faces, points = pair
    person = method.prepare(faces, points)
    assert person.tokens.shape == (2, 12, 128) and person.overall.shape == (2, 128)
    for part in ("tokens", "overall"):
        other = method.combine([person])
        vars(other)[part] = getattr(person, part)[:1]
        moved = method.swap_aligned(other, faces[1:], points[1:])
        same = method.swap_aligned(method.combine([person]), faces[1:], points[1:])
        assert (moved.wplus - same.wplus).abs().max() > 1e-4, part


def test_codes_are_those_of_a_swap_with_oneself(method, pair):
    faces, _ = pair
    own = method.swap_aligned(method.prepare(faces), faces)
    torch.testing.assert_close(own.wplus, method.invert(faces).wplus)


def test_the_mask_stays_at_the_face(method, pair, swapped):
    assert swapped.mask[:, 0, :4, :4].max() == 0
    assert swapped.mask.max() > 0.1


class Bands:
    """A parser whose classes lie in bands, in MaskGAN's numbers."""

    order = "maskgan"

    def __call__(self, x):
        labels = torch.zeros(len(x), 512, 512)
        for row, name in enumerate(("lower_lip", "nose", "left_brow", "right_eye", "skin")):
            labels[:, 64 * row : 64 * row + 64] = LABELS["maskgan"][name]
        return labels


def test_a_parser_draws_the_regions_and_parity_composes_at_the_masks_size():
    torch.manual_seed(0)
    network = RAFSwapNetwork(
        RAFSwapConfig(
            size=512, style_dim=16, n_mlp=2, max_channels=16, trunk_width=16, trunk_units=(1, 1, 1, 1)
        )
    )
    method = RAFSwapMethod(network, parser=Bands(), parity=True)
    assert method.size == 256
    faces = torch.rand(1, 3, 256, 256) * 2 - 1
    regions = method._regions(faces, None)
    assert regions.shape == (1, 4, 64, 64)
    for region in range(4):
        assert (regions[0, region, 8 * region : 8 * region + 8] == 1).all() and regions[
            0, region
        ].sum() == 512
    swapped = method.swap_aligned(method.prepare(faces), faces)
    assert swapped.image.shape == (1, 3, 256, 256) and swapped.mask.shape == (1, 1, 256, 256)
    output = network(swapped.wplus)
    torch.testing.assert_close(swapped.image, F.adaptive_avg_pool2d(output.image, 256).clamp(-1, 1))
    torch.testing.assert_close(swapped.mask, F.max_pool2d(output.mask, 3, 1, 1))
    large = RAFSwapMethod(network).swap_aligned(
        method.prepare(faces), F.interpolate(faces, (512, 512)), torch.rand(1, 68, 2) * 300 + 100
    )
    assert large.image.shape[-1] == large.mask.shape[-1] == 512
