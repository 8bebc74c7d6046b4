"""Networks built around their weights: the same as built and filled, and nothing is allocated for others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.fslsd.network import FSLSDConfig, FSLSDNetwork
from stylegan_swap.methods.megafs.network import MegaFSConfig, MegaFSNetwork
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork
from stylegan_swap.weights.filled import build_filled

TRUNK = {"trunk_width": 16, "trunk_units": (1, 1, 1, 1)}
SYSTEMS = {
    "megafs": lambda: MegaFSNetwork(
        MegaFSConfig(
            size=32,
            style_dim=16,
            n_mlp=1,
            max_channels=8,
            split=(2, 3, 3),
            blocks=(1, 1, 1, 1, 1),
            planes=(2, 2, 2, 2, 2),
        )
    ),
    "fslsd": lambda: FSLSDNetwork(
        FSLSDConfig(size=32, style_dim=16, n_mlp=1, max_channels=8, identity_rows=4, points=3, **TRUNK)
    ),
    "rafswap": lambda: RAFSwapNetwork(RAFSwapConfig(size=32, style_dim=16, n_mlp=1, max_channels=8, **TRUNK)),
}


@pytest.mark.parametrize("name", SYSTEMS)
@torch.no_grad()
def test_published_networks_are_the_same(name):
    torch.manual_seed(0)
    built = SYSTEMS[name]().eval()
    before = torch.random.get_rng_state()
    filled = build_filled(SYSTEMS[name], built.state_dict(), "a file").eval()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(not value.is_meta for value in (*filled.parameters(), *filled.buffers()))
    mine, theirs = filled.state_dict(), built.state_dict()
    assert list(mine) == list(theirs) and all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert mine["generator.input.input"].data_ptr() != theirs["generator.input.input"].data_ptr()
    codes = torch.randn(1, built.config.n_latent, 16)
    assert torch.equal(filled.generator(codes).image, built.generator(codes).image)
    if name == "fslsd":
        maps = torch.rand(1, 6, 256, 256)
        assert torch.equal(filled.landmark_encoder(maps), built.landmark_encoder(maps))
        x, mask = torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
        assert torch.equal(filled.render(codes, x, mask).image, built.render(codes, x, mask).image)


class WithConstants(nn.Module):
    """A number that no checkpoint holds, as a buffer or as a plain attribute."""

    def __init__(self, plain: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(2))
        if plain:
            self.table = torch.arange(2.0)
        else:
            self.register_buffer("table", torch.arange(2.0), persistent=False)


@pytest.mark.parametrize("plain", [True, False])
def test_constants_keep_their_numbers(plain):
    before = torch.random.get_rng_state()
    filled = build_filled(lambda: WithConstants(plain), {"scale": torch.tensor([3.0, 4.0])}, "a file")
    assert torch.equal(filled.table, torch.arange(2.0)) and torch.equal(
        filled.scale, torch.tensor([3.0, 4.0])
    )
    assert torch.equal(torch.random.get_rng_state(), before)


def test_weights_that_do_not_fit_cost_no_memory():
    def huge() -> nn.Module:
        return nn.Linear(1 << 20, 1 << 20)

    with pytest.raises(CheckpointError, match=r"weight: file \[1, 1\], network \[1048576, 1048576\]"):
        build_filled(huge, {"weight": torch.ones(1, 1), "bias": torch.ones(1 << 20)}, "a file")
