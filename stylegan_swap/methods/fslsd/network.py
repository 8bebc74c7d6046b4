"""FSLSD's network: two inversions, a landmark direction, a generator, and a decoder that blends its features.

On the road photo → detect → align → **encoder → swapper → generator** → paste this is the middle of Xu et
al. 2022, "High-resolution Face Swapping via Latent Semantics Disentanglement" (CVPR).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from inversion import GradualStyleEncoder
from inversion.irse import UNITS, WIDTH
from stylegan_swap.methods.fslsd.blend_decoder import BlendDecoder
from stylegan_swap.methods.fslsd.landmark_encoder import LandmarkEncoder
from stylegan_swap.methods.fslsd.target_encoder import TargetEncoder
from stylegan_swap.nn.blocks.code_swapper import APPEARANCE_ROW, CodeSwapper
from stylegan_swap.nn.stylegan2.config import PublishedConfig
from stylegan_swap.nn.stylegan2.generator import Generator, Noise


class FSLSDConfig(PublishedConfig):
    """What rebuilds an :class:`FSLSDNetwork`; the defaults are the published 1024-pixel network.

    Attributes:
        identity_rows: leading rows that are the identity's; the script takes 11, the paper 7.
        edit: coefficient of the edit that removes the identity's hair.
        points: landmarks per face; the published weights read 106.
        trunk_width: channels of the first stage of both IR-SE trunks; less than 64 is for tests.
        trunk_units: units per stage of both.

    Raises:
        ValueError: if a value is out of range; the message names it.
    """

    method: ClassVar[str] = "fslsd"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "1024": {},
        "256": {"points": 68, "edit": 0.0, "identity_rows": 7, "size": 256},
        "64": {
            "points": 68,
            "edit": 0.0,
            "identity_rows": 7,
            "size": 64,
            "style_dim": 64,
            "n_mlp": 2,
            "max_channels": 64,
            "trunk_width": 16,
            "trunk_units": (1, 1, 1, 1),
        },
        "tiny": {
            "points": 68,
            "edit": 0.0,
            "identity_rows": 7,
            "size": 64,
            "style_dim": 32,
            "n_mlp": 2,
            "max_channels": 16,
            "trunk_width": 16,
            "trunk_units": (1, 1, 1, 1),
        },
    }

    identity_rows: int = APPEARANCE_ROW
    edit: float = 2.0
    points: PositiveInt = 106
    trunk_width: int = WIDTH
    trunk_units: tuple[int, ...] = UNITS

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        if not 0 <= self.identity_rows <= self.n_latent:
            raise ValueError(f"identity_rows must lie in 0..{self.n_latent}, got {self.identity_rows}.")
        return self


@dataclass(frozen=True)
class FSLSDOutput:
    """What a swap gives.

    Attributes:
        image: the decoder's image ``[batch, 3, S, S]``, RGB around [-1, 1], not clipped.
        side: the generator's own image, which the training losses look at.
        wplus: mixed and edited codes ``[batch, L, D]``.
    """

    image: Tensor
    side: Tensor
    wplus: Tensor


class FSLSDNetwork(nn.Module):
    """pSp encoder, landmark encoder, swapper, generator, target encoder and decoder.

    State-dict prefixes: ``encoder.``, ``landmark_encoder.``, ``swapper.``, ``generator.``,
    ``target_encoder.``, ``decoder.``, and ``latent_avg``, the average that pSp's codes lack.

    Args:
        config: what to build; None builds the published network.
    """

    latent_avg: Tensor

    def __init__(self, config: FSLSDConfig | None = None) -> None:
        super().__init__()
        self.config = config = FSLSDConfig() if config is None else config
        rows, width = config.n_latent, config.style_dim
        trunk_width, trunk_units = config.trunk_width, config.trunk_units
        self.encoder = GradualStyleEncoder(rows, width, trunk_width=trunk_width, trunk_units=trunk_units)
        self.landmark_encoder = LandmarkEncoder(
            2 * config.points, width, trunk_width=trunk_width, trunk_units=trunk_units
        )
        policy = "S" * config.identity_rows + "T" * (rows - config.identity_rows)
        self.swapper = CodeSwapper(policy, width, edit=config.edit)
        self.generator = Generator(config.size, width, config.n_mlp, config.channels)
        self.target_encoder = TargetEncoder(config.size, config.channels)
        self.decoder = BlendDecoder(config.size, config.channels)
        self.register_buffer("latent_avg", torch.zeros(rows, width))

    def invert(self, x: Tensor) -> Tensor:
        """Codes ``[batch, L, D]`` of aligned faces ``[batch, 3, 256, 256]``, RGB in [-1, 1]."""
        return self.encoder(x).wplus + self.latent_avg

    def forward(
        self,
        identity: Tensor,
        attribute: Tensor,
        direction: Tensor,
        x_attr: Tensor,
        mask: Tensor,
        *,
        structure: float = 1.0,
        noise: Noise = "buffer",
    ) -> FSLSDOutput:
        """Move, mix and edit the codes, synthesise, and blend with the attribute photo's features.

        Args:
            identity: codes of the identity photo ``[batch, L, D]``.
            attribute: codes of the attribute photo, alike.
            direction: from the landmark encoder ``[batch, n, D]``.
            x_attr: the attribute photo ``[batch, 3, S, S]``, RGB in [-1, 1].
            mask: what is face in it ``[batch, 1, S, S]``.
            structure: 0..1 over the identity's rows; 1 is the published swap.
            noise: see ``Generator.forward``.
        """
        wplus = self.swapper(identity, attribute, direction=direction, structure=structure)
        return self.render(wplus, x_attr, mask, noise=noise)

    def render(self, wplus: Tensor, x_attr: Tensor, mask: Tensor, *, noise: Noise = "buffer") -> FSLSDOutput:
        """Synthesise finished codes and blend; arguments as in :meth:`forward`."""
        output = self.generator(wplus, noise=noise)
        image = self.decoder(output.features, self.target_encoder(x_attr), mask)
        return FSLSDOutput(image, output.image, wplus)
