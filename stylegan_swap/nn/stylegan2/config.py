"""What the configurations of the published systems share: the size of their StyleGAN2 generator.

It is what ``config.json`` beside converted weights holds. On the road photo → detect → align →
**encoder → swapper → generator** → paste it fixes the size of the networks in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

from stylegan_swap.nn.stylegan2.generator import channels_for

MIN_SIZE, MAX_SIZE = 32, 2048
Config = TypeVar("Config", bound="PublishedConfig")


@dataclass(frozen=True)
class PublishedConfig:
    """The numbers of a StyleGAN2 generator; the defaults are the published FFHQ one's.

    Attributes:
        size: image side S, a power of two.
        style_dim: width D of a W+ row.
        n_mlp: layers of the mapping network.
        max_channels: upper limit of the channels per block; less than 512 is for tests.

    Raises:
        ValueError: if a value is out of range; the message names it.
    """

    method: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    size: int = 1024
    style_dim: int = 512
    n_mlp: int = 8
    max_channels: int = 512

    def __post_init__(self) -> None:
        for name in ("size", "style_dim", "n_mlp", "max_channels"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}.")
        if not MIN_SIZE <= self.size <= MAX_SIZE or self.size & (self.size - 1):
            raise ValueError(f"size must be a power of two from {MIN_SIZE} to {MAX_SIZE}, got {self.size}.")

    @property
    def n_latent(self) -> int:
        """Rows L of W+: 2·log2(S) − 2."""
        return 2 * (self.size.bit_length() - 1) - 2

    @property
    def channels(self) -> dict[int, int]:
        """Channels of the generator per resolution, 4..S."""
        return {r: min(count, self.max_channels) for r, count in channels_for(self.size).items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, and under "method" whose configuration it is."""
        return {"method": self.method, **asdict(self)}

    @classmethod
    def preset(cls: type[Config], name: str, **changes: Any) -> Config:
        """Return a preset with changes; "1024" is the published network.

        Raises:
            ValueError: if there is no such preset, a key is unknown, or a value is out of range.
        """
        presets: Mapping[str, Mapping[str, Any]] = {"1024": {}, **cls.presets}
        if name not in presets:
            raise ValueError(f"There is no network preset {name!r}; there are: {', '.join(presets)}.")
        return cls.from_dict({**presets[name], **changes})

    @classmethod
    def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Read what :meth:`to_dict` wrote; absent keys take their defaults.

        Raises:
            ValueError: if it is another method's, a key is unknown or a value does not fit.
        """
        given = dict(values)
        method = given.pop("method", cls.method)
        if method != cls.method:
            raise ValueError(f"these are weights of the method {method!r}, not of {cls.method!r}.")
        unknown = sorted(given.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown configuration keys {unknown}.")
        try:
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
            return cls(**plain)
        except TypeError as error:
            raise ValueError(f"a configuration value has the wrong type ({error}).") from error
