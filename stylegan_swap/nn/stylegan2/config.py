"""Settings of networks around a StyleGAN2 generator."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, PositiveInt

from stylegan_swap.nn.settings import NetworkSettings
from stylegan_swap.nn.stylegan2.generator import channels_for

MIN_SIZE, MAX_SIZE = 32, 2048


def _power_of_two(size: int) -> int:
    if not MIN_SIZE <= size <= MAX_SIZE or size & (size - 1):
        raise ValueError(f"be a power of two from {MIN_SIZE} to {MAX_SIZE}")
    return size


Side = Annotated[int, AfterValidator(_power_of_two)]


class StyleGANSettings(NetworkSettings):
    """Of a network with a code of its own per layer.

    Attributes:
        size: image side S, a power of two from 32 to 2048.
        style_dim: width D of a W+ row.
        n_mlp: layers of the mapping network.
    """

    size: Side = 256
    style_dim: PositiveInt = 256
    n_mlp: PositiveInt = 8

    @property
    def n_latent(self) -> int:
        """Rows L of W+: 2·log2(S) − 2."""
        return 2 * (self.size.bit_length() - 1) - 2


class PublishedConfig(StyleGANSettings):
    """The numbers of a published system's StyleGAN2 generator; the defaults are the FFHQ one's.

    Attributes:
        max_channels: upper limit of the channels per block; less than 512 is for tests.
    """

    size: Side = 1024
    style_dim: PositiveInt = 512
    max_channels: PositiveInt = 512

    @property
    def channels(self) -> dict[int, int]:
        """Channels of the generator per resolution, 4..S."""
        return {side: min(count, self.max_channels) for side, count in channels_for(self.size).items()}
