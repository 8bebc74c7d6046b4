"""The methods behind ``swap(method=…)``: one line per system, listing, registering, building.

Adding a method is a folder ``methods/NAME`` and a line in the table here: its class lies in
``stylegan_swap.methods.NAME.method`` and carries the name, the layout of its published files in
``stylegan_swap.methods.NAME.files``. Modules are imported only when a method is built, so a listing costs
nothing. Other packages add theirs with the decorator ``register_method``.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stylegan_swap.errors import UnsupportedOptionError

if TYPE_CHECKING:
    import torch

    from stylegan_swap.methods.base.protocol import Method
    from stylegan_swap.methods.base.published_files.formats import Format
    from stylegan_swap.weights.store import LoadedWeights

Class = TypeVar("Class", bound=type)
# What a configuration that is no such thing raises, wherever it is read.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class MethodSpec:
    """What is known of a method before it is imported.

    Attributes:
        title: what its authors call it, and what it is where that does not say.
        paper: authors and place.
        year: of the paper.
        crop: name of the template its crops are cut with, see ``faces.geometry.templates``.
        trains: what it is trained on here: ``"pairs"``, or ``"no"``.
        published: licence of the weights its authors publish; empty where there are none.
        parameters: of the published network, or of the weights that ship; 0 without a network.
        needs_weights: whether it is built from a checkpoint.
        swaps: False for one that only inverts and generates; it is not listed.
        home: ``module:Class``; empty: by the convention of this module.
    """

    title: str
    paper: str = ""
    year: int = 0
    crop: str = "FFHQ"
    trains: str = "no"
    published: str = ""
    parameters: int = 0
    needs_weights: bool = True
    swaps: bool = True
    home: str = ""


@dataclass(frozen=True)
class MethodRow:
    """A line of the listing: the attributes of ``MethodSpec`` that users ask for, and what lies here.

    Attributes:
        name: what ``swap(method=…)`` takes.
        present: where its weights are: "built in", "comes with the library", "downloaded", "to download", or
            "to train".
    """

    name: str
    title: str
    paper: str
    year: int
    crop: str
    trains: str
    published: str
    parameters: int
    present: str

    def __str__(self) -> str:
        size = f"{self.parameters / 1e6:.1f} M" if self.parameters else "–"
        licence = f", weights: {self.published}" if self.published else ""
        source = f"{self.title} ({self.paper}, {self.year})" if self.year else self.title
        return f"{self.name:<12} {self.present:<22} {size:>8}  {self.crop}  {source}{licence}"


_BASELINES = "stylegan_swap.methods.baselines.method:"
_methods: dict[str, MethodSpec] = {
    "default": MethodSpec("this project's network, in W+ of StyleGAN2", trains="pairs", parameters=7_692_664),
    "warp": MethodSpec(
        "landmark-driven warp and blend", "Bitouk et al., SIGGRAPH", 2008, needs_weights=False
    ),
    "megafs": MethodSpec(
        "MegaFS", "Zhu et al., CVPR", 2021, trains="pairs", published="CC BY-NC 4.0", parameters=338_579_788
    ),
    "fslsd": MethodSpec(
        "FSLSD", "Xu et al., CVPR", 2022, trains="pairs", published="not stated", parameters=434_377_919
    ),
    "rafswap": MethodSpec(
        "RAFSwap", "Xu et al., CVPR", 2022, trains="pairs", published="not stated", parameters=305_325_133
    ),
    "latents-only": MethodSpec("a published generator or encoder, which inverts and generates", swaps=False),
    "copy": MethodSpec(
        "baseline: the attribute photo itself", needs_weights=False, home=f"{_BASELINES}CopyMethod"
    ),
    "paste": MethodSpec(
        "baseline: the identity's crop, pasted", needs_weights=False, home=f"{_BASELINES}PasteMethod"
    ),
}


def method_names() -> list[str]:
    """The names that ``swap(method=…)`` knows, sorted."""
    return sorted(name for name, spec in _methods.items() if spec.swaps)


def list_methods(filter: str = "") -> list[MethodRow]:
    """The methods that ``swap(method=…)`` knows, by name.

    Args:
        filter: words that a row must contain, in any column and any case: ``"2022 pairs"``.
    """
    rows = []
    for name in method_names():
        columns = asdict(_methods[name])
        for column in ("needs_weights", "swaps", "home"):
            del columns[column]
        rows.append(MethodRow(name=name, present=_presence(name), **columns))
    return [row for row in rows if all(word in _text(row) for word in filter.lower().split())]


def _text(row: MethodRow) -> str:
    return " ".join(map(str, asdict(row).values())).lower()


def _presence(name: str) -> str:
    from stylegan_swap.weights.cache import cached_path
    from stylegan_swap.weights.store import default_weights_available, published_weights

    if not _methods[name].needs_weights:
        return "built in"
    if name == "default" and default_weights_available():
        return "comes with the library"
    files = [entry for entry in published_weights().values() if entry.format == name]
    if any(cached_path(entry).is_file() for entry in files):
        return "downloaded"
    return "to download" if files else "to train"


def method_spec(name: str) -> MethodSpec:
    """What is known of a method.

    Raises:
        UnsupportedOptionError: there is no such method.
    """
    if name not in _methods:
        raise UnsupportedOptionError(f"unknown method {name!r}: choose one of {', '.join(method_names())}")
    return _methods[name]


def register_method(name: str, spec: MethodSpec) -> Callable[[Class], Class]:
    """Class decorator that puts a method under a name.

    Args:
        name: what ``swap(method=…)`` takes; the class carries it as well.
        spec: its line of the listing; ``home`` is filled in.

    Raises:
        ValueError: the name is taken by another class.
    """

    def decorate(method_class: Class) -> Class:
        home = f"{method_class.__module__}:{method_class.__qualname__}"
        if name in _methods and _methods[name].home != home:
            holder = _methods[name].home or _module_of(name)
            raise ValueError(f"method {name!r} is registered already, by {holder}")
        _methods[name] = replace(spec, home=home)
        return method_class

    return decorate


def method_class(name: str) -> type[Method]:
    """Import the class of a method.

    Raises:
        UnsupportedOptionError: there is no such method.
    """
    method_type: type[Method]
    module = importlib.import_module(_module_of(name))
    class_name = method_spec(name).home.partition(":")[2]
    if class_name:
        method_type = getattr(module, class_name)
    else:
        method_type = next(
            value for value in vars(module).values() if isinstance(value, type) and _name(value) == name
        )
    return method_type


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
    return method_class(name).from_pretrained(weights, device=device, dtype=dtype)


def method_formats() -> dict[str, Format]:
    """Layouts of the files that the methods' authors publish, by the method's name."""
    modules = {name: _module_of(name) for name, spec in _methods.items() if spec.published}
    return {
        name: importlib.import_module(f"{module.rpartition('.')[0]}.files").FORMAT
        for name, module in modules.items()
    }


def method_of(weights: Path | LoadedWeights) -> str:
    """The method that weights belong to: "method" in their configuration, or "default".

    Generators and encoders of other projects belong to "latents-only". What is wrong with the configuration
    is said by the method that reads it.
    """
    config = _configuration(weights)
    name = config.get("method", "latents-only" if "converted_from" in config else "default")
    return name if isinstance(name, str) else "default"


def generator_side(weights: Path | LoadedWeights) -> int | None:
    """The side of the generator's images, by the configuration of its weights; None if that says none."""
    side = _configuration(weights).get("size")
    return side if isinstance(side, int) else None


def _configuration(weights: Path | LoadedWeights) -> Mapping[str, Any]:
    """What rebuilds the network of weights; empty where that cannot be read."""
    try:
        if not isinstance(weights, Path):
            return weights.config
        config = json.loads(weights.with_name("config.json").read_text(encoding="utf-8"))["network"]
    except _UNREADABLE:
        return {}
    return config if isinstance(config, dict) else {}


def _module_of(name: str) -> str:
    home = method_spec(name).home.partition(":")[0]
    return home or f"stylegan_swap.methods.{name.replace('-', '_')}.method"


def _name(value: type) -> Any:
    return vars(value).get("name")
