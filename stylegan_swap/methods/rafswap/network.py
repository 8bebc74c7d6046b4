"""RAFSwap's network: an encoder of region tokens, a StyleGAN2 generator, and a mask from its features.

On the road photo → detect → align → **encoder → swapper → generator** → paste this is the middle of Xu et
al. 2022, "Region-Aware Face Swapping" (CVPR).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import model_validator
from torch import Tensor, nn
from typing_extensions import Self

from inversion.irse import UNITS, WIDTH
from stylegan_swap.methods.rafswap.encoder import RegionEncoder, RegionIdentity
from stylegan_swap.methods.rafswap.mask_predictor import MaskPredictor
from stylegan_swap.nn.stylegan2.config import PublishedConfig
from stylegan_swap.nn.stylegan2.generator import Generator, Noise

MASK_SIZE = 256


class RAFSwapConfig(PublishedConfig):
    """What rebuilds a :class:`RAFSwapNetwork`; the defaults are the published 1024-pixel network.

    Attributes:
        depth: transformer blocks.
        heads: attention heads.
        trunk_width: channels of the first stage of the IR-SE trunk; less than 64 is for tests.
        trunk_units: units per stage.

    Raises:
        ValueError: if a value is out of range; the message names it.
    """

    method: ClassVar[str] = "rafswap"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "1024": {},
        "256": {"size": 256},
        "64": {
            "size": 64,
            "style_dim": 64,
            "n_mlp": 2,
            "max_channels": 64,
            "trunk_width": 16,
            "trunk_units": (1, 1, 1, 1),
        },
        "tiny": {
            "size": 64,
            "style_dim": 32,
            "n_mlp": 2,
            "max_channels": 16,
            "trunk_width": 16,
            "trunk_units": (1, 1, 1, 1),
        },
    }

    depth: int = 1
    heads: int = 8
    trunk_width: int = WIDTH
    trunk_units: tuple[int, ...] = UNITS

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.depth < 0 or self.heads < 1 or self.trunk_width * 8 % self.heads:
            raise ValueError(
                f"heads must divide {self.trunk_width * 8} and depth be at least 0, got heads={self.heads}, "
                f"depth={self.depth}."
            )
        return self


@dataclass(frozen=True)
class RAFSwapOutput:
    """What a swap gives.

    Attributes:
        image: ``[batch, 3, S, S]``, RGB around [-1, 1], not clipped.
        mask: ``[batch, 1, m, m]`` in 0..1 with m = min(256, S), 1 = ``image``.
        wplus: codes ``[batch, L, D]``.
    """

    image: Tensor
    mask: Tensor
    wplus: Tensor


class RAFSwapNetwork(nn.Module):
    """Encoder, generator, mask predictor; state-dict prefixes ``encoder.``, ``generator.``, ``mask.``.

    ``latent_avg`` ``[L, D]`` is added to the encoder's codes.

    Args:
        config: what to build; None builds the published network.
    """

    latent_avg: Tensor

    def __init__(self, config: RAFSwapConfig | None = None) -> None:
        super().__init__()
        self.config = config = RAFSwapConfig() if config is None else config
        self.encoder = RegionEncoder(
            config.n_latent,
            config.style_dim,
            depth=config.depth,
            heads=config.heads,
            trunk_width=config.trunk_width,
            trunk_units=config.trunk_units,
        )
        self.generator = Generator(config.size, config.style_dim, config.n_mlp, config.channels)
        self.mask = MaskPredictor(min(MASK_SIZE, config.size), config.channels)
        self.register_buffer("latent_avg", torch.zeros(config.n_latent, config.style_dim))

    def codes(self, x_attr: Tensor, regions: Tensor, identity: RegionIdentity) -> Tensor:
        """Codes of the swap ``[batch, L, D]``; arguments as in ``RegionEncoder.forward``."""
        return self.encoder(x_attr, regions, identity) + self.latent_avg

    def forward(self, wplus: Tensor, *, noise: Noise = "buffer") -> RAFSwapOutput:
        """Synthesise codes and say where the face in the image belongs.

        Args:
            wplus: ``[batch, L, D]``.
            noise: see ``Generator.forward``.
        """
        first: dict[int, Tensor] = {}

        def watch(resolution: int, hidden: Tensor) -> Tensor:
            if resolution <= self.mask.size:
                first[resolution] = hidden
            return hidden

        output = self.generator(wplus, noise=noise, blend=watch)
        return RAFSwapOutput(output.image, self.mask(first, output.features), wplus)
