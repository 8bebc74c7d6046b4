"""NetworkConfig: the numbers that rebuild a swap network, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from typing_extensions import Self

from stylegan_swap.errors import CheckpointError
from stylegan_swap.nn.blocks.code_swapper import PRESETS as SWAPPER_PRESETS
from stylegan_swap.nn.stylegan2.config import StyleGANSettings

MIN_CHANNELS = 16


class NetworkConfig(StyleGANSettings):
    """Everything needed to build a :class:`~stylegan_swap.methods.default.network.SwapNetwork`.

    Attributes:
        base_channels: channels of the generator up to 32 pixels; they halve with every doubling
            from there, down to ``min_channels``.
        min_channels: fewest channels of a generator block.
        published_channels: use the table of the published FFHQ generator instead (512 up to 64
            pixels, then halving).
        encoder_size: side the photograph is resized to for the encoder.
        encoder_width: channels of the encoder's pyramid.
        attribute_width: channels of the attribute entries at 8, 16 and 32 pixels.
        swapper: preset of the swapper.
        policy: letters per row instead of the preset's, or None.
        residual_drop: how often the identity photo's own codes are dropped in training.
        mask_gradient: whether image losses may move the predicted mask; off, only its own
            supervision does, and it cannot shrink into a copy.
        detail_width: channels of the network that reads the identity photo itself, see
            ``detail``; 0: only its codes enter.
        prior_rank: directions of the stored distribution of codes that ``generate`` draws from; 0 has
            none, and it draws from the generator's mapping network.

    Raises:
        ValueError: if a value is out of range; the message names it.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {
            "size": 64,
            "style_dim": 64,
            "n_mlp": 2,
            "base_channels": 32,
            "encoder_size": 64,
            "encoder_width": 16,
            "attribute_width": 16,
            "detail_width": 16,
        },
        "128": {"size": 128, "encoder_size": 128, "detail_width": 64},
        "256": {"detail_width": 48},
        "512": {"size": 512, "detail_width": 48},
        "1024": {"size": 1024, "detail_width": 48},
        # The shape of the published 1024-pixel generator.
        "ffhq": {"size": 1024, "style_dim": 512, "published_channels": True, "detail_width": 64},
    }

    base_channels: PositiveInt = 256
    min_channels: PositiveInt = MIN_CHANNELS
    published_channels: bool = False
    encoder_size: Annotated[int, Field(ge=64)] = 256
    encoder_width: PositiveInt = 96
    attribute_width: PositiveInt = 64
    swapper: str = "default"
    policy: str | None = None
    residual_drop: Annotated[float, Field(ge=0, le=1)] = 0.3
    mask_gradient: bool = False
    detail_width: NonNegativeInt = 0
    prior_rank: NonNegativeInt = 0

    @model_validator(mode="after")
    def _check_swapper(self) -> Self:
        if self.swapper not in SWAPPER_PRESETS:
            raise ValueError(f"swapper must be one of {sorted(SWAPPER_PRESETS)}, got {self.swapper!r}.")
        if self.policy is not None and (len(self.policy) != self.n_latent or set(self.policy) - set("TSF")):
            raise ValueError(f"policy must be {self.n_latent} letters of T, S, F, got {self.policy!r}.")
        return self

    @property
    def channels(self) -> dict[int, int]:
        """Channels of the generator per resolution, 4..S."""
        full = 64 if self.published_channels else 32
        base = 512 if self.published_channels else self.base_channels
        floor = min(self.min_channels, base)
        sides = [2**k for k in range(2, self.size.bit_length())]
        return {side: max(base * full // max(side, full), floor) for side in sides}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote; absent keys take their defaults.

        Raises:
            CheckpointError: if a key is unknown or a value does not fit.
        """
        if "converted_from" in values:
            raise CheckpointError(
                f"These are networks converted from {values['converted_from']}, not a swap network: "
                "training starts from them (--start)."
            )
        try:
            return super().from_dict(values)
        except ValueError as error:
            raise CheckpointError(f"The network's configuration does not fit: {error}") from error
