"""Prepared people as safetensors files: arrays, and a description of the nest they lie in; never pickle."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from stylegan_swap.errors import CheckpointError, UnsupportedOptionError, os_errors_as
from stylegan_swap.files.atomic import replacing

_FORMAT = "stylegan_swap person 1"
_OWN_PACKAGES = ("stylegan_swap", "inversion")


def write_person(
    path: str | os.PathLike[str], method: str, content: Mapping[str, Any], overwrite: bool
) -> None:
    """Write what a person consists of, completely or not at all.

    Args:
        path: the file, ending in .safetensors.
        method: fingerprint of the method that prepared the person.
        content: a nest of tensors, arrays, dataclasses, lists, texts and numbers.
        overwrite: whether an existing file may be replaced.

    Raises:
        CheckpointError: another suffix, the file exists, or cannot be written.
        UnsupportedOptionError: the person holds a network of its own (``refine``).
    """
    target = Path(path)
    if target.suffix != ".safetensors":
        raise CheckpointError(f"{target}: people are stored as safetensors; end the name in .safetensors")
    tensors: dict[str, Tensor] = {}
    nest = json.dumps(_described(dict(content), tensors))
    data = save(tensors, {"format": _FORMAT, "method": method, "nest": nest})
    with os_errors_as(CheckpointError, target, "cannot be written", "check the folder and its free space"):
        if target.exists() and not overwrite:
            raise CheckpointError(f"{target}: exists already; choose another name or give overwrite=True")
        with replacing(target) as temporary:
            temporary.write_bytes(data)


def read_person(
    path: str | os.PathLike[str], method: str, package: str, device: torch.device
) -> dict[str, Any]:
    """What :func:`write_person` was given; runs no code of the file.

    Args:
        path: the file.
        method: fingerprint of the method that is to use it.
        package: that the method comes from; its classes may be built, besides those of this library.
        device: where tensors go.

    Raises:
        CheckpointError: missing, damaged, no person, or prepared by another method or with other weights.
    """
    try:
        with (
            os_errors_as(CheckpointError, path, "cannot be read", "check the path"),
            safe_open(os.fspath(path), "pt") as file,
        ):
            about = file.metadata() or {}
            if about.get("format") != _FORMAT:
                raise CheckpointError(f"{path}: holds no person; give a file that Person.save wrote")
            if about.get("method") != method:
                raise CheckpointError(
                    f"{path}: the person was prepared by {about.get('method')!r}, this is {method!r}: "
                    "load it with that method and those weights, or prepare the person again"
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        packages = {*_OWN_PACKAGES, package}
        content = _built(json.loads(about["nest"]), tensors, device, packages)
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is no readable person ({error}); save the person again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: is no readable person; save the person again")
    return content


def _described(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The nest as JSON, with the arrays put into ``tensors``."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Tensor | np.ndarray):
        key = str(len(tensors))
        tensor = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value, order="C"))
        tensors[key] = tensor.detach().cpu().contiguous().clone()
        return {"tensor" if isinstance(value, Tensor) else "array": key}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_described(part, tensors) for part in value]}
    if isinstance(value, dict):
        return {"dict": {key: _described(part, tensors) for key, part in value.items()}}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {
            part.name: _described(getattr(value, part.name), tensors) for part in fields(value) if part.init
        }
        return {"class": [type(value).__module__, type(value).__qualname__], "parts": parts}
    what = "a network of its own" if isinstance(value, nn.Module) else f"a {type(value).__name__}"
    raise UnsupportedOptionError(
        f"the person holds {what}, which is not stored: save it without refine, and refine after loading"
    )


def _built(nest: Any, tensors: Mapping[str, Tensor], device: torch.device, packages: set[str]) -> Any:
    """The nest that :func:`_described` described."""
    if not isinstance(nest, dict):
        return nest
    if "class" in nest:
        module, name = nest["class"]
        # A file must not choose what runs: only dataclasses, imported already, of these packages.
        if module.partition(".")[0] not in packages:
            raise ValueError(f"{module}.{name} is nothing a person consists of")
        kind = getattr(sys.modules[module], name)
        if not (isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module):
            raise ValueError(f"{name} is nothing a person consists of")
        return kind(**{key: _built(part, tensors, device, packages) for key, part in nest["parts"].items()})
    ((kind_name, content),) = nest.items()
    if kind_name == "tensor":
        return tensors[content].to(device)
    if kind_name == "array":
        return tensors[content].numpy()
    if kind_name == "dict":
        return {key: _built(part, tensors, device, packages) for key, part in content.items()}
    parts = [_built(part, tensors, device, packages) for part in content]
    return {"list": list, "tuple": tuple}[kind_name](parts)
