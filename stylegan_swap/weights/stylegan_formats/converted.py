"""The networks of foreign files under this library's names: saved, loaded and rebuilt.

Every layout of single networks makes a :class:`Converted`, every layout of a whole swap system a
:class:`ConvertedSystem`; ``save`` writes either as safetensors and config.json.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from inversion import IRSE50, BackboneEncoderIntoW, BackboneEncoderIntoWPlus, E4EEncoder, GradualStyleEncoder
from inversion.w_discriminator import LatentDiscriminator
from stylegan_swap.errors import CheckpointError
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.weights.filled import build_filled
from stylegan_swap.weights.store import LoadedWeights, load_state, load_weights, save_weights

State = dict[str, Tensor]
_LARGEST = 65_536

ENCODERS: dict[str, type[nn.Module]] = {
    "psp": GradualStyleEncoder,
    "psp_w": BackboneEncoderIntoW,
    "psp_wplus": BackboneEncoderIntoWPlus,
    "e4e": E4EEncoder,
}
# Part → its class. Parts are prefixes of the stored names, and keys of config.json.
PARTS: dict[str, Callable[..., nn.Module]] = {
    "generator": Generator,
    # Of a training checkpoint, whose averaged generator is "generator".
    "training_generator": Generator,
    "discriminator": Discriminator,
    "identity": IRSE50,
    "code_discriminator": LatentDiscriminator,
}


class Saved(ABC):
    """Something that knows its weights in memory, and can therefore be written."""

    @abstractmethod
    def weights(self) -> LoadedWeights:
        """Everything as it is saved, in memory."""

    def save(self, folder: Path, *, dtype: str | None = None) -> Path:
        """Write model.safetensors and config.json.

        Args:
            folder: created where it does not exist.
            dtype: as in ``save_weights``; None keeps every number as it is.

        Returns:
            The path of model.safetensors.

        Raises:
            CheckpointError: NaN or infinity in a tensor, overflow, or no space.
        """
        loaded = self.weights()
        return save_weights(folder, loaded.state, loaded.config, dtype=dtype)


@dataclass(frozen=True)
class Converted(Saved):
    """Networks under this library's names.

    Attributes:
        source: the file, for messages.
        format: of that file, a name of ``known_formats``.
        parts: part → state dict, e.g. "generator", "encoder", "discriminator", "identity".
        config: part → what builds it; JSON values.
        latent_avg: the average code ``[D]``, ``[1, D]`` or ``[L, D]``, or None.
        notes: what was left out or filled in, one line each.
    """

    source: str
    format: str
    parts: dict[str, State]
    config: dict[str, dict[str, Any]]
    latent_avg: Tensor | None = None
    notes: tuple[str, ...] = field(default=())

    def checked(self) -> Converted:
        """Return this after comparing every name and shape with the networks.

        Raises:
            CheckpointError: a part lacks tensors, has others, or of other shapes.
        """
        for part, state in self.parts.items():
            with torch.device("meta"):
                network = _build(part, self.config[part], None, self.source)
            meta = {name: value.to("meta") for name, value in state.items()}
            load_state(network, meta, f"{self.source}, {part}")
        return self

    def build(self, part: str) -> nn.Module:
        """Return a network, filled, in evaluation mode.

        Args:
            part: a key of ``parts``.

        Raises:
            CheckpointError: there is no such part, or it does not fit.
        """
        if part not in self.parts:
            raise CheckpointError(f"{self.source}: holds no {part}, only {', '.join(sorted(self.parts))}")
        network = build_filled(
            lambda: _build(part, self.config[part], self.latent_avg, self.source),
            self.parts[part],
            f"{self.source}, {part}",
        )
        return network.eval()

    def weights(self) -> LoadedWeights:
        """Everything as it is saved, in memory."""
        state = {
            f"{part}.{name}": value
            for part, part_state in self.parts.items()
            for name, value in part_state.items()
        }
        if self.latent_avg is not None:
            state["latent_avg"] = self.latent_avg
        return LoadedWeights(self.source, state, {"converted_from": self.format, **self.config})


class SystemConfig(Protocol):
    """What builds the network of a whole system."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ...


@dataclass(frozen=True)
class ConvertedSystem(Saved):
    """A whole swap system under this library's names: what ``swap(method=…)`` takes.

    Attributes:
        source: the file, or both, for messages.
        format: of that file, a name of ``known_formats``.
        state: name → tensor of its network.
        config: what builds that network.
        notes: what was left out, one line each.
    """

    source: str
    format: str
    state: dict[str, Tensor]
    config: SystemConfig
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Its networks: the prefixes of the names, in order."""
        return tuple(dict.fromkeys(name.split(".")[0] for name in self.state if "." in name))

    def weights(self) -> LoadedWeights:
        """Everything as it is saved, in memory."""
        return LoadedWeights(self.source, self.state, self.config.to_dict())


def load_system(path: Path, format_name: str, config_class: Any) -> ConvertedSystem:
    """Load the weights of a swap system, converted or trained here.

    Args:
        path: the folder, or its model.safetensors.
        format_name: which system it should be.
        config_class: what its configuration is read with.

    Raises:
        CheckpointError: missing or damaged, or another network's.
    """
    state, values = load_weights(path)
    try:
        config = config_class.from_dict(values)
    except ValueError as error:
        raise CheckpointError(f"{path}: holds no weights of {format_name} ({error})") from error
    return ConvertedSystem(str(path), format_name, state, config)


def load_converted(path: str | Path | LoadedWeights) -> Converted:
    """Load what :meth:`Converted.save` wrote, or take what :meth:`Converted.weights` made.

    Args:
        path: the folder, or its model.safetensors.

    Raises:
        CheckpointError: missing or damaged, or not the weights of a conversion.
    """
    state, config = load_weights(path)
    origin = config.pop("converted_from", None)
    if not isinstance(origin, str) or not all(isinstance(value, dict) for value in config.values()):
        raise CheckpointError(
            f"{path}: holds no converted networks; give a folder that `stylegan-swap convert` wrote"
        )
    parts: dict[str, State] = {part: {} for part in config}
    for name, value in state.items():
        part, dot, rest = name.partition(".")
        if dot and part not in parts:
            raise CheckpointError(f"{path}: its config.json does not say what {part} is; convert it again")
        if dot:
            parts[part][rest] = value
    return Converted(str(path), origin, parts, config, state.get("latent_avg")).checked()


def tensors_of(state: Any, source: str, role: str) -> State:
    """The tensors of a state dict, without gradients; a foreign prefix ``module.`` is taken off.

    Raises:
        CheckpointError: it is no state dict.
    """
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(f"{source}: {role} is no state dict; give the file its authors published")
    tensors = {name: value.detach() for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{source}: {role} holds no tensors; give the file its authors published")
    # Saved from DataParallel.
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def left_out(names: Iterable[object]) -> tuple[str, ...]:
    """The note about what a file holds besides its networks; none where that is nothing."""
    listing = ", ".join(sorted(name if name.isprintable() else ascii(name) for name in map(str, names)))
    return (f"left out: {listing[:200]}",) if listing else ()


def _build(part: str, config: Mapping[str, Any], latent_avg: Tensor | None, source: str) -> nn.Module:
    options = dict(config)
    if any(isinstance(value, int) and value > _LARGEST for value in options.values()):
        raise CheckpointError(
            f"{source}: the description of its {part} has impossible sizes; convert it again"
        )
    try:
        if part == "encoder":
            kind, adds = options.pop("kind"), options.pop("adds_latent_avg")
            return ENCODERS[kind](**options, latent_avg=latent_avg if adds else None)
        return PARTS[part](**options)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{source}: no {part} can be built from its description ({reason}); convert it again"
        ) from error
