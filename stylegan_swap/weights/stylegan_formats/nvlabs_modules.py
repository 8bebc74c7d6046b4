"""Flattens the networks of NVIDIA's pickles: tensors by their names, and the settings of every layer.

Road: before it, where weights of other projects are converted; ``restricted_pickle`` reads what is
flattened here, ``nvlabs`` and ``pti`` give the tensors our names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.readers.restricted_pickle import PickledModule
from stylegan_swap.weights.stylegan_formats.converted import State

# Official networks have a few hundred modules, five levels deep; a damaged file could refer to itself.
_MOST_MODULES = 10_000
_MOST_TENSORS = 100_000
_DEEPEST = 16
_LONGEST_NAME = 200


@dataclass(frozen=True)
class FlatNetwork:
    """A network of NVIDIA's code.

    Attributes:
        tensors: parameters and buffers by the names of ``state_dict()``.
        settings: module path → its plain attributes; the network itself is "".
    """

    tensors: State
    settings: dict[str, dict[str, Any]]

    def values(self, key: str) -> list[Any]:
        """What the modules that have the attribute ``key`` say."""
        return [module_settings[key] for module_settings in self.settings.values() if key in module_settings]


def flatten(module: PickledModule, source: str) -> FlatNetwork:
    """Collect the tensors and settings of a network.

    Args:
        module: as ``restricted_pickle`` reads it.
        source: the file, for messages.

    Raises:
        CheckpointError: the network refers to itself, or is no network.
    """
    tensors: State = {}
    settings: dict[str, dict[str, Any]] = {}
    for path, state in _walk(module, source):
        prefix = f"{path}." if path else ""
        settings[path] = {
            str(key): value
            for key, value in state.items()
            if isinstance(value, bool | int | float | str | None)
        }
        unsaved = state.get("_non_persistent_buffers_set")
        unsaved = unsaved if isinstance(unsaved, set) else set()
        for kind in ("_parameters", "_buffers"):
            for name, value in _dict(state.get(kind), source).items():
                if isinstance(value, Tensor) and name not in unsaved:
                    tensors[f"{prefix}{_name(name, source)}"] = value.detach()
                if len(tensors) > _MOST_TENSORS:
                    raise CheckpointError(f"{source}: its networks refer to themselves; fetch the file again")
    return FlatNetwork(tensors, settings)


def _walk(module: PickledModule, source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    stack: list[tuple[str, int, Any]] = [("", 0, module)]
    visited = 0
    while stack:
        path, depth, current = stack.pop()
        if current is None:
            continue
        if not isinstance(current, PickledModule):
            raise CheckpointError(f"{source}: {path or 'its content'} is no network; fetch the file again")
        visited += 1
        if visited > _MOST_MODULES or depth > _DEEPEST:
            raise CheckpointError(f"{source}: its networks refer to themselves; fetch the file again")
        yield path, current.state
        for name, child in _dict(current.state.get("_modules"), source).items():
            child_name = _name(name, source)
            stack.append((f"{path}.{child_name}" if path else child_name, depth + 1, child))
            if len(stack) > _MOST_MODULES:
                raise CheckpointError(f"{source}: its networks refer to themselves; fetch the file again")


def _name(name: Any, source: str) -> str:
    """A part's name, of which paths are made at every depth."""
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        raise CheckpointError(f"{source}: a part of its networks has no usable name; fetch the file again")
    return name


def _dict(value: Any, source: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{source}: a network in it has no list of its parts; fetch the file again")
    return value
