"""NetworkConfig: the numbers that rebuild a swap network, and its presets.

It is what ``config.json`` beside a checkpoint holds. On the road photo → detect → align →
**encoder → swapper → generator** → paste it fixes the size of the three networks in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from stylegan_swap.errors import CheckpointError
from stylegan_swap.nn.blocks.code_swapper import PRESETS as SWAPPER_PRESETS

MIN_SIZE, MAX_SIZE = 32, 2048
MIN_CHANNELS = 16


@dataclass(frozen=True)
class NetworkConfig:
    """Everything needed to build a :class:`~stylegan_swap.methods.default.network.SwapNetwork`.

    Attributes:
        size: image side S, a power of two.
        style_dim: width D of a W+ row.
        n_mlp: layers of the generator's mapping network.
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

    size: int = 256
    style_dim: int = 256
    n_mlp: int = 8
    base_channels: int = 256
    min_channels: int = MIN_CHANNELS
    published_channels: bool = False
    encoder_size: int = 256
    encoder_width: int = 96
    attribute_width: int = 64
    swapper: str = "default"
    policy: str | None = None
    residual_drop: float = 0.3
    mask_gradient: bool = False
    detail_width: int = 0
    prior_rank: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_type(field.name, getattr(self, field.name), str(field.type))
        if not MIN_SIZE <= self.size <= MAX_SIZE or self.size & (self.size - 1):
            raise ValueError(f"size must be a power of two from {MIN_SIZE} to {MAX_SIZE}, got {self.size}.")
        for name in (
            "style_dim",
            "n_mlp",
            "base_channels",
            "min_channels",
            "encoder_width",
            "attribute_width",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("prior_rank", "detail_width"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        if self.encoder_size < 64:
            raise ValueError(f"encoder_size must be at least 64, got {self.encoder_size}.")
        if not 0 <= self.residual_drop <= 1:
            raise ValueError(f"residual_drop is a probability, got {self.residual_drop}.")
        if self.swapper not in SWAPPER_PRESETS:
            raise ValueError(f"swapper must be one of {sorted(SWAPPER_PRESETS)}, got {self.swapper!r}.")
        if self.policy is not None and (len(self.policy) != self.n_latent or set(self.policy) - set("TSF")):
            raise ValueError(f"policy must be {self.n_latent} letters of T, S, F, got {self.policy!r}.")

    @property
    def n_latent(self) -> int:
        """Rows L of W+: 2·log2(S) − 2."""
        return 2 * (self.size.bit_length() - 1) - 2

    @property
    def channels(self) -> dict[int, int]:
        """Channels of the generator per resolution, 4..S."""
        full = 64 if self.published_channels else 32
        base = 512 if self.published_channels else self.base_channels
        table = {}
        for k in range(2, self.size.bit_length()):
            wanted = base * full // max(2**k, full)
            table[2**k] = max(wanted, min(self.min_channels, base))
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """Read what :meth:`to_dict` wrote; absent keys take their defaults.

        Raises:
            CheckpointError: if a key is unknown or a value does not fit.
        """
        if "converted_from" in values:
            raise CheckpointError(
                f"These are networks converted from {values['converted_from']}, not a swap network: "
                "training starts from them (--start)."
            )
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise CheckpointError(
                f"Unknown keys in the network's configuration: {unknown}; known: {sorted(known)}."
            )
        try:
            return cls(**values)
        except ValueError as error:
            raise CheckpointError(f"The network's configuration does not fit: {error}") from error

    @classmethod
    def preset(cls, name: str, **changes: Any) -> NetworkConfig:
        """Return a preset, with changes: "tiny" (64 pixels), "128", "256", "512", "1024", "ffhq".

        "ffhq" has the shape of the published 1024-pixel generator.

        Raises:
            ValueError: if there is no such preset, or a change is out of range.
        """
        if name not in NETWORK_PRESETS:
            raise ValueError(f"There is no network preset {name!r}; there are: {', '.join(NETWORK_PRESETS)}.")
        return replace(NETWORK_PRESETS[name], **changes)


def _check_type(name: str, value: Any, annotation: str) -> None:
    kinds = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}
    allowed = kinds[annotation.split(" | ")[0]]
    if value is None and annotation.endswith("| None"):
        return
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise ValueError(f"{name} must be {annotation}, got {value!r}.")


NETWORK_PRESETS: dict[str, NetworkConfig] = {
    "tiny": NetworkConfig(
        size=64,
        style_dim=64,
        n_mlp=2,
        base_channels=32,
        encoder_size=64,
        encoder_width=16,
        attribute_width=16,
        detail_width=16,
    ),
    "128": NetworkConfig(size=128, encoder_size=128, detail_width=64),
    "256": NetworkConfig(detail_width=48),
    "512": NetworkConfig(size=512, detail_width=48),
    "1024": NetworkConfig(size=1024, detail_width=48),
    "ffhq": NetworkConfig(size=1024, style_dim=512, published_channels=True, detail_width=64),
}
