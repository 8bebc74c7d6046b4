"""Configurations of networks: the numbers that rebuild one, as ``config.json`` beside its weights holds them.

Checked by pydantic when they are made; what is wrong is told in one line that names the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, PositiveInt, ValidationError
from typing_extensions import Self

from stylegan_swap.nn.stylegan2.generator import channels_for

MIN_SIZE, MAX_SIZE = 32, 2048


def _power_of_two(size: int) -> int:
    if not MIN_SIZE <= size <= MAX_SIZE or size & (size - 1):
        raise ValueError(f"must be a power of two from {MIN_SIZE} to {MAX_SIZE}")
    return size


Side = Annotated[int, AfterValidator(_power_of_two)]


class NetworkSettings(BaseModel):
    """Base of all configurations: immutable, without unknown keys, of exact types.

    Attributes:
        size: image side S, a power of two.
        style_dim: width D of a W+ row.
        n_mlp: layers of the mapping network.

    Raises:
        ValueError: a value does not fit or a key is unknown; one line that names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    #: Values that differ from the defaults, by the preset's name.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    size: Side = 256
    style_dim: PositiveInt = 256
    n_mlp: PositiveInt = 8

    def __init__(self, **values: Any) -> None:
        # JSON and YAML have no tuples.
        plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        try:
            super().__init__(**plain)
        except ValidationError as error:
            raise ValueError(_in_one_line(error)) from None

    @property
    def n_latent(self) -> int:
        """Rows L of W+: 2·log2(S) − 2."""
        return 2 * (self.size.bit_length() - 1) - 2

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.model_dump()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote; absent keys take their defaults.

        Raises:
            ValueError: a value does not fit or a key is unknown.
        """
        return cls(**values)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """One of ``presets``, with changes.

        Raises:
            ValueError: there is no such preset, or a change does not fit.
        """
        if name not in cls.presets:
            raise ValueError(f"There is no network preset {name!r}; there are: {', '.join(cls.presets)}.")
        return cls(**{**cls.presets[name], **changes})

    def changed(self, **changes: Any) -> Self:
        """The same with other values, checked; raises ValueError."""
        return type(self)(**{**self.model_dump(), **changes})


class PublishedConfig(NetworkSettings):
    """The numbers of a published system's StyleGAN2 generator; the defaults are the FFHQ one's.

    Attributes:
        max_channels: upper limit of the channels per block; less than 512 is for tests.
    """

    method: ClassVar[str]

    size: Side = 1024
    style_dim: PositiveInt = 512
    max_channels: PositiveInt = 512

    @property
    def channels(self) -> dict[int, int]:
        """Channels of the generator per resolution, 4..S."""
        return {side: min(count, self.max_channels) for side, count in channels_for(self.size).items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, and under "method" whose configuration it is."""
        return {"method": self.method, **super().to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote; absent keys take their defaults.

        Raises:
            ValueError: it is another method's, a key is unknown or a value does not fit.
        """
        settings = dict(values)
        method = settings.pop("method", cls.method)
        if method != cls.method:
            raise ValueError(f"these are weights of the method {method!r}, not of {cls.method!r}.")
        return super().from_dict(settings)


def _in_one_line(error: ValidationError) -> str:
    problem = error.errors()[0]
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"unknown configuration keys {[str(each['loc'][0]) for each in error.errors()]}."
    reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    # A check of several values together names them itself.
    return f"{name} should {reason}, got {problem['input']!r}." if name else reason
