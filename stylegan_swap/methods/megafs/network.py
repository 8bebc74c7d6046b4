"""MegaFS's network: hierarchical encoder, code swapper and a generator that starts from a structure tensor.

On the road photo → detect → align → **encoder → swapper → generator** → paste this is the middle of
Zhu et al. 2021, "One Shot Face Swapping on Megapixels" (CVPR).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator
from torch import Tensor, nn
from typing_extensions import Self

from inversion import HieRFE, Latents
from inversion.hierfe import BLOCKS, PLANES, SPLITS
from stylegan_swap.nn.blocks.code_swapper import CodeSwapper
from stylegan_swap.nn.stylegan2.config import PublishedConfig
from stylegan_swap.nn.stylegan2.generator import Generator, Noise

SWAPS = {"ftm": "megafs_ftm", "injection": "megafs_injection", "lcr": "megafs_lcr"}


class MegaFSConfig(PublishedConfig):
    """What rebuilds a :class:`MegaFSNetwork`; the defaults are the published 1024-pixel network.

    Attributes:
        swap: "ftm" (face transfer module), "injection" (ID injection) or "lcr" (latent code replacement).
        split: rows from the encoder's three maps; None takes the published split of the size.
        blocks: units per stage of the encoder's backbone.
        planes: inner width per stage.

    Raises:
        ValueError: if a value is out of range; the message names it.
    """

    method: ClassVar[str] = "megafs"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "1024": {},
        "256": {"size": 256},
        "64": {
            "size": 64,
            "style_dim": 128,
            "n_mlp": 2,
            "max_channels": 64,
            "split": (3, 3, 4),
            "blocks": (1, 1, 1, 1, 1),
            "planes": (8, 16, 32, 64, 64),
        },
        "tiny": {
            "size": 64,
            "style_dim": 32,
            "n_mlp": 2,
            "max_channels": 16,
            "split": (3, 3, 4),
            "blocks": (1, 1, 1, 1, 1),
            "planes": (4, 4, 8, 8, 8),
        },
    }

    swap: str = "ftm"
    split: tuple[int, ...] | None = None
    blocks: tuple[int, ...] = BLOCKS
    planes: tuple[int, ...] = PLANES

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        if self.swap not in SWAPS:
            raise ValueError(f"swap must be one of {', '.join(SWAPS)}, got {self.swap!r}.")
        if self.split is None and self.size not in SPLITS:
            raise ValueError(f"split must be given at size {self.size}; it is known at {sorted(SPLITS)}.")
        if sum(self.rows) != self.n_latent:
            raise ValueError(f"split must add up to {self.n_latent} rows, got {self.rows}.")
        return self

    @property
    def rows(self) -> tuple[int, ...]:
        """The split in force."""
        return SPLITS[self.size] if self.split is None else self.split


class MegaFSNetwork(nn.Module):
    """Encoder, swapper and generator; state-dict prefixes ``encoder.``, ``swapper.``, ``generator.``.

    Args:
        config: what to build; None builds the published network.
    """

    def __init__(self, config: MegaFSConfig | None = None) -> None:
        super().__init__()
        self.config = config = MegaFSConfig() if config is None else config
        self.encoder = HieRFE(
            config.rows,
            config.style_dim,
            width=config.channels[4],
            blocks=config.blocks,
            planes=config.planes,
        )
        self.swapper = CodeSwapper.from_preset(SWAPS[config.swap], config.n_latent, config.style_dim)
        self.generator = Generator(config.size, config.style_dim, config.n_mlp, config.channels)

    def forward(
        self,
        identity: Tensor,
        attribute: Latents,
        *,
        strength: float = 1.0,
        noise: Noise = "buffer",
    ) -> tuple[Tensor, Tensor]:
        """Mix the codes and synthesise, with the attribute photo's structure tensor under all of it.

        Args:
            identity: codes of the identity photo ``[batch, L, D]``.
            attribute: codes and structure of the attribute photo.
            strength: 0..1; 1 is the published swap, 0 the attribute photo's own codes.
            noise: see ``Generator.forward``.

        Returns:
            The image ``[batch, 3, S, S]``, RGB around [-1, 1] (not clipped), and the mixed codes.
        """
        wplus = self.swapper(identity, attribute.wplus, structure=strength, appearance=strength)
        return self.synthesise(Latents(wplus, attribute.structure), noise=noise), wplus

    def synthesise(self, latents: Latents, *, noise: Noise = "buffer") -> Tensor:
        """Codes and structure → image ``[batch, 3, S, S]``, not clipped."""
        output = self.generator(
            latents.wplus, structure=latents.structure, noise=noise, return_features=False
        )
        return output.image
