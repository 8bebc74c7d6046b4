"""Writes files as other projects do, for the tests: their modules exist only while a file is written."""

from __future__ import annotations

import contextlib
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import golden
import torch
from torch import Tensor

from cuda_ops import setup_filter

FIR = setup_filter((1, 3, 3, 1), separable=False)


class Reduced:
    """Pickled as the call of a function of a module that does not exist here."""

    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


@contextlib.contextmanager
def nvidia_modules() -> Iterator[types.SimpleNamespace]:
    """Empty ``torch_utils.persistence``, ``dnnlib.util`` and ``dnnlib.tflib.network`` to pickle names of."""

    def _reconstruct_persistent_obj(_meta: Any) -> None:
        raise AssertionError("is only written")

    class EasyDict(dict):
        pass

    class Network:
        pass

    names = {
        "torch_utils.persistence": _reconstruct_persistent_obj,
        "dnnlib.util": EasyDict,
        "dnnlib.tflib.network": Network,
    }
    modules = {}
    for path, thing in names.items():
        for depth in range(1, path.count(".") + 2):
            name = ".".join(path.split(".")[:depth])
            modules.setdefault(name, types.ModuleType(name))
        thing.__module__, thing.__qualname__ = path, thing.__name__
        setattr(modules[path], thing.__name__, thing)
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield types.SimpleNamespace(
            reconstruct=_reconstruct_persistent_obj, easy_dict=EasyDict, network=Network
        )
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def persistent(
    reconstruct: Any,
    class_name: str,
    tensors: Mapping[str, Tensor],
    settings: Mapping[str, Mapping[str, Any]],
    path: str = "",
    source: str = "# source removed\n",
) -> Reduced:
    """A network with its children, nested by the dots of the names."""
    own, below = {}, {}
    for name, value in tensors.items():
        first, dot, rest = name.partition(".")
        if dot:
            below.setdefault(first, {})[rest] = value
        else:
            own[first] = value
    buffers = {n: v for n, v in own.items() if n in ("resample_filter", "noise_const", "w_avg")}
    state = {
        "_parameters": OrderedDict((n, torch.nn.Parameter(v)) for n, v in own.items() if n not in buffers),
        "_buffers": OrderedDict(buffers),
        "_non_persistent_buffers_set": set(),
        "_modules": OrderedDict(
            (
                name,
                persistent(reconstruct, "Layer", inner, settings, f"{path}.{name}" if path else name, source),
            )
            for name, inner in below.items()
        ),
        **settings.get(path, {}),
    }
    meta = {"type": "class", "version": 6, "module_src": source, "class_name": class_name, "state": state}
    return Reduced(reconstruct, (meta,))


def layer_settings(
    tensors: Mapping[str, Tensor], lr_multiplier: float, conv_clamp: float | None
) -> dict[str, dict[str, Any]]:
    """What the layers of a generator know beside their tensors."""
    paths = {name.rpartition(".")[0] for name in tensors}
    settings: dict[str, dict[str, Any]] = {"": {"c_dim": 0}}
    for path in paths:
        leaf = path.rpartition(".")[2]
        if path.startswith("mapping.fc"):
            settings[path] = {"activation": "lrelu", "bias_gain": lr_multiplier}
        elif leaf in ("conv0", "conv1"):
            settings[path] = {"activation": "lrelu", "use_noise": True, "conv_clamp": conv_clamp}
        elif leaf == "torgb":
            settings[path] = {"conv_clamp": conv_clamp}
        elif path.startswith("synthesis.b") and path.count(".") == 1:
            settings[path] = {"architecture": "skip"}
    return settings


def nvlabs_state(known: golden.GoldenCase, shapes: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """A golden state with the filters, which are no golden numbers."""
    table = shapes if shapes is not None else known.manifest["state"]
    filters = {name: FIR.clone() for name in table if known.is_kept(name)}
    return known.state(shapes=table) | filters


def write_nvlabs(
    file: Path,
    generator: Mapping[str, Tensor] | None = None,
    discriminator: Mapping[str, Tensor] | None = None,
    *,
    lr_multiplier: float = 0.01,
    conv_clamp: float | None = None,
    protocol: int = 4,
    source: str = "# source removed\n",
    extra: Mapping[str, Mapping[str, Any]] | None = None,
    whole: bool = False,
) -> Path:
    """A pickle {"G", "D", "G_ema"}, or with ``whole`` the generator alone in PyTorch's zip file."""
    with nvidia_modules() as nvidia:
        content: dict[str, Any] = {
            "training_set_kwargs": nvidia.easy_dict(path="x.zip"),
            "augment_pipe": None,
        }
        if generator is not None:
            settings = layer_settings(generator, lr_multiplier, conv_clamp)
            for path, values in (extra or {}).items():
                settings.setdefault(path, {}).update(values)
            content["G_ema"] = persistent(nvidia.reconstruct, "Generator", generator, settings, "", source)
        if discriminator is not None:
            content["D"] = persistent(nvidia.reconstruct, "Discriminator", discriminator, {}, "", source)
        if whole:
            torch.save(content["G_ema"], file)
        else:
            file.write_bytes(pickle.dumps(content, protocol=protocol))
    return file
