"""The public names and signatures, compared with ``tests/public_api.json``.

After an intended change, write the list anew and add a line to CHANGELOG.md::

    python -m tests.test_public_api --write
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

SNAPSHOT = Path(__file__).with_name("public_api.json")
MODULES = (
    *("stylegan_swap", "stylegan_swap.errors", "stylegan_swap.methods.registry", "stylegan_swap.editing"),
    *("stylegan_swap.editing.photo", "inversion", "cuda_ops"),
)
PARTS = ("stylegan_swap.swapping.swapper",)


def signature(function: Any) -> str:
    """The public parameters with annotation and default, written alike by every version of Python."""
    parts, star = [], False
    found = inspect.signature(function)
    for parameter in found.parameters.values():
        if parameter.name.startswith("_"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
        star = star or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        text = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        text += parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            default = parameter.default
            text += f" = {default!r}" if " at 0x" not in repr(default) else " = …"
        parts.append(text)
    returns = "" if found.return_annotation is found.empty else f" -> {annotation(found.return_annotation)}"
    return f"({', '.join(parts)}){returns}"


def annotation(value: Any) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", str(value))


def describe(thing: Any) -> Any:
    """A signature, or for a class its public members, or for a value its type."""
    if not inspect.isclass(thing):
        return signature(thing) if callable(thing) else type(thing).__name__
    members: dict[str, str] = {"class": ", ".join(base.__name__ for base in thing.__bases__)}
    own_init = vars(thing).get("__init__")
    if own_init is not None and not getattr(thing, "_is_protocol", False):
        members["()"] = signature(thing)
    if dataclasses.is_dataclass(thing):
        for field in (field for field in dataclasses.fields(thing) if not field.name.startswith("_")):
            members[field.name] = annotation(field.type)
    # What a class has of base classes that are exported nowhere is its own.
    parts = [base for base in reversed(thing.__mro__) if base is thing or base.__module__ in PARTS]
    for name, member in {name: member for part in parts for name, member in vars(part).items()}.items():
        if name.startswith("_") and name != "__call__":
            continue
        if isinstance(member, classmethod | staticmethod):
            members[name] = type(member).__name__ + signature(member.__func__)
        elif isinstance(member, property | functools.cached_property):
            getter = member.fget if isinstance(member, property) else member.func
            members[name] = "property" + signature(getter)
        elif inspect.isfunction(member):
            members[name] = signature(member)
    return dict(sorted(members.items()))


def public_names(module: Any) -> list[str]:
    """``__all__``, or what the module itself defines."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    )


def current() -> dict[str, Any]:
    found = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        found[module_name] = {name: describe(getattr(module, name)) for name in public_names(module)}
    return found


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """One line per name that came, went or changed."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [f"changed: {where}\n    was {old}\n    is  {new}"]
    lines = []
    for key in sorted({*old, *new}):
        path = f"{where}.{key}" if where else key
        if key not in new:
            lines.append(f"gone:    {path}")
        elif key not in old:
            lines.append(f"new:     {path}")
        else:
            lines += differences(old[key], new[key], path)
    return lines


def test_public_api_is_as_recorded():
    recorded = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    changes = differences(recorded, current())
    assert not changes, (
        "the public API differs from tests/public_api.json:\n  "
        + "\n  ".join(changes)
        + "\nIf this is meant, run `python -m tests.test_public_api --write` and say it in CHANGELOG.md."
    )


def test_names_are_resolved_on_first_use():
    import stylegan_swap

    assert set(stylegan_swap.__all__) <= set(dir(stylegan_swap))
    with pytest.raises(AttributeError, match="Swaper"):
        _ = stylegan_swap.Swaper


def test_a_change_is_reported():
    recorded = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    changed = copy.deepcopy(recorded)
    del changed["stylegan_swap"]["Swapper"]["invert"]
    changed["stylegan_swap"]["swap"] = changed["stylegan_swap"]["swap"].replace("structure: float = 1.0", "")
    changed["cuda_ops"]["fresh"] = "()"
    lines = [line.splitlines()[0] for line in differences(recorded, changed)]
    assert lines == [
        "new:     cuda_ops.fresh",
        "gone:    stylegan_swap.Swapper.invert",
        "changed: stylegan_swap.swap",
    ]


def test_the_snapshot_holds_what_users_call():
    """Guards against an empty snapshot: the names of README and design."""
    recorded = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    swapper = recorded["stylegan_swap"]["Swapper"]
    assert {"from_pretrained", "prepare", "__call__", "swap_aligned", "invert", "generate"} <= set(swapper)
    assert {"image", "faces", "mask", "save"} <= set(recorded["stylegan_swap"]["SwapResult"])
    face = {"box", "landmarks", "aligned", "mask", "wplus", "distance", "similarity"}
    assert face <= set(recorded["stylegan_swap"]["SwappedFace"])
    assert not [name for name in recorded["stylegan_swap"]["SwappedFace"] if name.startswith("_")]
    assert "upfirdn2d" in recorded["cuda_ops"]
    assert "Latents" in recorded["inversion"]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.test_public_api --write")
    SNAPSHOT.write_text(json.dumps(current(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
