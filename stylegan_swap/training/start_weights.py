"""What training starts from: exported weights of this library, or published generators and encoders.

The ``gan`` and ``invert`` stages read their ``start`` here. Published files are read as tensors, never
executed: ``{"g_ema", "latent_avg", "d"}`` of StyleGAN2 ports (the exchange format), and
``{"state_dict": {"encoder.*", "decoder.*"}, "latent_avg"}`` of pSp and e4e, and
NVIDIA's pickles (``convert``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.readers.torch_file import read_file
from stylegan_swap.weights.store import find_weights, load_state, load_weights
from stylegan_swap.weights.stylegan_formats import nvlabs, tflib

State = dict[str, Tensor]

# Names in pSp's and e4e's files → names here.
_PARTS = {"decoder": "generator"}


@dataclass(frozen=True)
class StartWeights:
    """Networks found in a file.

    Attributes:
        source: the file, for messages.
        parts: "generator", "encoder", "discriminator", ... → state dict; only what the file holds.
        latent_avg: the average code ``[D]``, ``[1, D]`` or ``[L, D]``, or None.
        config: what the file says about itself; empty for published ones.
    """

    source: str
    parts: dict[str, State] = field(default_factory=dict)
    latent_avg: Tensor | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def fill(self, module: nn.Module, part: str) -> None:
        """Fill a module with one part; noise maps and filters that the file lacks stay as they were built.

        Raises:
            CheckpointError: the part is not there or does not fit; lists names and shapes.
        """
        if part not in self.parts:
            raise CheckpointError(
                f"{self.source}: holds no {part} ({', '.join(sorted(self.parts)) or 'nothing known'}); "
                "give a file with one"
            )
        constants = {
            name: value
            for name, value in module.state_dict().items()
            if name.startswith("noises.") or name.endswith(".kernel")
        }
        load_state(module, {**constants, **self.parts[part]}, f"{self.source}, {part}")


def read_start(name_or_path: str | Path) -> StartWeights:
    """Read the networks to start from.

    Args:
        name_or_path: a registered name, a folder or file of ``save_weights``, or a published ``.pt`` or
            ``.pkl``.

    Raises:
        CheckpointError: missing, damaged, unsafe, or of a layout that is not known.
    """
    file = find_weights(name_or_path)
    if file.suffix.lower() == ".pkl":
        content = read_file(file)
        layout = next((layout for layout in (nvlabs, tflib) if layout.recognises(content)), None)
        if layout is None:
            raise CheckpointError(f"{file}: is no StyleGAN2 pickle of NVIDIA's; give one with a generator")
        converted = layout.convert(content, str(file))
        return StartWeights(str(file), converted.parts, converted.latent_avg, dict(converted.config))
    if file.suffix.lower() in (".pt", ".pth"):
        published = _published(file)
        if published is not None:
            return published
    state, config = load_weights(file)
    return StartWeights(str(file), _by_part(state), state.get("latent_avg"), dict(config))


def _published(file: Path) -> StartWeights | None:
    """The networks of a foreign file, or None where ``load_weights`` has to say what it is."""
    content = read_file(file)
    if not isinstance(content, Mapping):
        return None
    average = content.get("latent_avg")
    average = average if isinstance(average, Tensor) else None
    if isinstance(content.get("g_ema"), Mapping):
        parts = {"generator": _tensors(content["g_ema"])}
        if isinstance(content.get("d"), Mapping):
            parts["discriminator"] = _tensors(content["d"])
        return StartWeights(str(file), parts, average)
    state = content.get("state_dict")
    if isinstance(state, Mapping) and any(str(name).startswith("decoder.") for name in state):
        return StartWeights(str(file), _by_part(_tensors(state), _PARTS), average)
    return None


def _by_part(state: Mapping[str, Tensor], names: Mapping[str, str] | None = None) -> dict[str, State]:
    """Take the names apart at their first dot; ``names`` renames parts."""
    parts: dict[str, State] = {}
    for name, value in state.items():
        prefix, dot, rest = name.partition(".")
        if dot:
            parts.setdefault((names or {}).get(prefix, prefix), {})[rest] = value
    return parts


def _tensors(state: Mapping[Any, Any]) -> State:
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
