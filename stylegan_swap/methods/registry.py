"""The methods behind ``swap(method=…)`` by name: listing, registering, building.

A method's module is imported only when the method is built, so a listing costs nothing. Other packages
add theirs with the decorator ``register_method``.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from stylegan_swap.errors import UnsupportedOptionError

if TYPE_CHECKING:
    import torch

    from stylegan_swap.methods.base.protocol import Method
    from stylegan_swap.weights.store import LoadedWeights

Class = TypeVar("Class", bound=type)


@dataclass(frozen=True)
class MethodEntry:
    """What is known of a method before it is imported.

    Attributes:
        home: ``module:Class``.
        needs_weights: whether it is built from a checkpoint.
        summary: one line for listings.
        swaps: False for one that only inverts and generates; it is not listed.
    """

    home: str
    needs_weights: bool
    summary: str
    swaps: bool = True


_methods: dict[str, MethodEntry] = {
    "default": MethodEntry(
        "stylegan_swap.methods.default.method:DefaultMethod",
        True,
        "this project's network, in W+ of StyleGAN2",
    ),
    "warp": MethodEntry(
        "stylegan_swap.methods.warp.method:WarpMethod", False, "landmark-driven warp and blend, no weights"
    ),
    "megafs": MethodEntry(
        "stylegan_swap.methods.megafs.method:MegaFSMethod",
        True,
        "MegaFS (CVPR 2021); its weights are not shipped",
    ),
    "fslsd": MethodEntry(
        "stylegan_swap.methods.fslsd.method:FSLSDMethod",
        True,
        "FSLSD (CVPR 2022); its weights are not shipped",
    ),
    "rafswap": MethodEntry(
        "stylegan_swap.methods.rafswap.method:RAFSwapMethod",
        True,
        "RAFSwap (CVPR 2022); its weights are not shipped",
    ),
    "latents-only": MethodEntry(
        "stylegan_swap.methods.latents_only.method:LatentsOnlyMethod",
        True,
        "a published generator or encoder, which inverts and generates",
        swaps=False,
    ),
    "copy": MethodEntry(
        "stylegan_swap.methods.baselines.method:CopyMethod", False, "baseline: the attribute photo itself"
    ),
    "paste": MethodEntry(
        "stylegan_swap.methods.baselines.method:PasteMethod", False, "baseline: the identity's crop, pasted"
    ),
}


def list_methods() -> list[str]:
    """The names that ``swap(method=…)`` knows, sorted."""
    return sorted(name for name, entry in _methods.items() if entry.swaps)


def method_entry(name: str) -> MethodEntry:
    """What is known of a method.

    Raises:
        UnsupportedOptionError: there is no such method.
    """
    if name not in _methods:
        raise UnsupportedOptionError(f"unknown method {name!r}: choose one of {', '.join(list_methods())}")
    return _methods[name]


def register_method(name: str, *, needs_weights: bool, summary: str) -> Callable[[Class], Class]:
    """Class decorator that puts a method under a name.

    Raises:
        ValueError: the name is taken by another class.
    """

    def decorate(method_class: Class) -> Class:
        home = f"{method_class.__module__}:{method_class.__qualname__}"
        if name in _methods and _methods[name].home != home:
            raise ValueError(f"method {name!r} is registered already, by {_methods[name].home}")
        _methods[name] = MethodEntry(home, needs_weights, summary)
        return method_class

    return decorate


def method_of(weights: Path | LoadedWeights) -> str:
    """The method that weights belong to: "method" in their configuration, or "default".

    Generators and encoders of other projects belong to "latents-only". What is wrong with the configuration
    is said by the method that reads it.
    """
    try:
        if isinstance(weights, Path):
            network = json.loads(weights.with_name("config.json").read_text(encoding="utf-8"))["network"]
        else:
            network = weights.config
        name = network.get("method", "latents-only" if "converted_from" in network else "default")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "default"
    return name if isinstance(name, str) else "default"


def generator_side(weights: Path | LoadedWeights) -> int | None:
    """The side of the generator's images, by the configuration of its weights; None if that says none."""
    try:
        if isinstance(weights, Path):
            network = json.loads(weights.with_name("config.json").read_text(encoding="utf-8"))["network"]
        else:
            network = weights.config
        side = network["size"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return side if isinstance(side, int) else None


def build_method(
    name: str, weights: Path | LoadedWeights | None, device: torch.device, dtype: torch.dtype
) -> Method:
    """Import and build a method.

    Args:
        name: see ``list_methods``.
        weights: checkpoint file or folder, or weights in memory; None for a method that needs none.
        device: where its networks run.
        dtype: the precision they run in.

    Raises:
        UnsupportedOptionError: there is no such method.
        CheckpointError: the weights do not fit.
    """
    module, _, class_name = method_entry(name).home.partition(":")
    method_class = getattr(importlib.import_module(module), class_name)
    return method_class.from_pretrained(weights, device=device, dtype=dtype)
