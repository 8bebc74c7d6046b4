"""The list of weights this library knows by name, checkpoints/registry.toml, read strictly.

Where it sits on the road: before it; ``weights`` and ``download`` ask here which file belongs to a name.
Two kinds of names: *shipped* ones, whose file lies beside the list, and *published* ones, files of other
projects that `stylegan-swap download` fetches into the cache.
"""

from __future__ import annotations

import re
import sys
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan_swap.errors import CheckpointError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SHIPPED = {"file": str, "licence": str, "sha256": str}
_PUBLISHED = {**_SHIPPED, "about": str, "cite": str, "format": str, "size": int}
_PLACES = ("url", "drive", "drive_folder")
_CURE = "install stylegan-swap again"


@dataclass(frozen=True)
class WeightsEntry:
    """Weights that come with the library.

    Attributes:
        name: what users call it, e.g. "default".
        file: path of the weights, relative to the checkpoints folder.
        licence: SPDX identifier of the licence of the weights.
        sha256: hash of the file in hexadecimal; empty while the file is not shipped.
    """

    name: str
    file: str
    licence: str
    sha256: str


@dataclass(frozen=True)
class PublishedWeights:
    """Weights of another project, which its authors publish; exactly one of the three places is given.

    Attributes:
        name: what users call it, and its folder in the cache.
        about: what it is, in one line.
        file: the name of the file in the cache.
        licence: as the source states it, else "not stated".
        cite: the paper to cite.
        format: the layout of the file, e.g. "rosinality" or "psp".
        sha256: hash of the file in hexadecimal; empty while unknown.
        size: in bytes; 0 while unknown.
        url: address of the file.
        drive: identifier of the file on Google Drive.
        drive_folder: identifier of a folder there with a file called `file`.
    """

    name: str
    about: str
    file: str
    licence: str
    cite: str
    format: str
    sha256: str = ""
    size: int = 0
    url: str = ""
    drive: str = ""
    drive_folder: str = ""

    @property
    def page(self) -> str:
        """Where a person finds the file with a browser."""
        if self.drive:
            return f"https://drive.google.com/file/d/{self.drive}/view"
        return self.url or f"https://drive.google.com/drive/folders/{self.drive_folder}"


@dataclass(frozen=True)
class KnownWeights:
    """Everything in the list, by name.

    Attributes:
        shipped: what comes with the library, whether its file is there or not.
        published: what can be downloaded.
    """

    shipped: dict[str, WeightsEntry]
    published: dict[str, PublishedWeights]


def read_registry(path: Path) -> KnownWeights:
    """Reads a registry.toml; each entry must have the keys of its kind, of the right type, and no other.

    Raises:
        CheckpointError: the list is missing, no valid TOML, or an entry of it is wrong.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: cannot be read ({reason}); {_CURE}") from error
    shipped, published = {}, {}
    for name, values in table.items():
        if problem := _problem(name, values, path.parent):
            raise CheckpointError(f"{path}: entry [{name}] is incomplete or wrong ({problem}); {_CURE}")
        if _places(values):
            published[name] = PublishedWeights(name=name, **values)
        else:
            shipped[name] = WeightsEntry(name=name, **values)
    return KnownWeights(shipped, published)


def _places(values: Mapping[str, Any]) -> list[str]:
    return [key for key in _PLACES if key in values]


def _problem(name: str, values: Any, folder: Path) -> str | None:
    """What is wrong with an entry, in a few words."""
    if not isinstance(values, dict):
        return "it is no table"
    places = _places(values)
    if len(places) > 1:
        return f"give one of {', '.join(_PLACES)}, not {' and '.join(places)}"
    kinds = {**_PUBLISHED, places[0]: str} if places else _SHIPPED
    if missing := [key for key in kinds if key not in values]:
        return f"{missing[0]} is missing"
    if unknown := [key for key in values if key not in kinds]:
        return f"{unknown[0]} is no key of it"
    for key, kind in kinds.items():
        # A TOML boolean is an int in Python.
        if type(values[key]) is not kind:
            return f"{key} must be {'a text' if kind is str else 'a whole number'}"
    if not re.fullmatch(r"([0-9a-fA-F]{64})?", values["sha256"]):
        return "sha256 must be 64 hexadecimal digits, or empty"
    if not places:
        inside = (folder / values["file"]).resolve().is_relative_to(folder.resolve())
        return None if inside else f"file points outside its folder: {values['file']}"
    return _problem_of_place(places[0], values[places[0]]) or _problem_of_published(name, values)


def _problem_of_published(name: str, values: Mapping[str, Any]) -> str | None:
    # Both become parts of a path.
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        return "the name must be small letters, digits, dots and dashes"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", values["file"]):
        return f"file must be a plain name: {values['file']}"
    if values["size"] < 0:
        return "size must not be negative"
    for key in ("about", "licence", "cite", "format"):
        if not values[key].strip() or not values[key].isprintable():
            return f"{key} must be one line of text"
    return None


def _problem_of_place(key: str, value: str) -> str | None:
    if key != "url":
        return None if re.fullmatch(r"[A-Za-z0-9_-]{20,}", value) else f"{key} is no identifier: {value}"
    try:
        parts = urllib.parse.urlsplit(value)
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        usable = False
    return None if usable and value.isprintable() and " " not in value else f"url must be https://…: {value}"
