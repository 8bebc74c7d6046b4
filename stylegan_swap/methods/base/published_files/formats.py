"""Foreign layouts: what is known of each, and which one a file has.

Layouts of StyleGAN2's own projects stand in the table here, those of whole systems in the folders of their
methods (``methods/NAME/files.py``, the constant ``FORMAT``), which the registry names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.registry import method_formats
from stylegan_swap.weights.readers.restricted_pickle import PickledModule, PickledNetwork
from stylegan_swap.weights.readers.torch_file import read_file
from stylegan_swap.weights.stylegan_formats import arcface, e4e, nvlabs, psp, pti, rosinality, tflib
from stylegan_swap.weights.stylegan_formats.converted import Converted, ConvertedSystem

_SHOWN = 5
PYTORCH_SUFFIXES = (".pt", ".pth", ".pkl")

Conversion = Converted | ConvertedSystem


class ForeignFile(NamedTuple):
    """A foreign file that was read.

    Attributes:
        content: what its reader gave.
        source: the file, for messages.
    """

    content: Any
    source: str


@dataclass(frozen=True)
class Companion:
    """A further file that a format needs.

    Attributes:
        format: its format, a name of ``known_formats``.
        file: the name under which it is published.
        weights: its name for ``stylegan-swap download``.
    """

    format: str
    file: str
    weights: str


@dataclass(frozen=True)
class Format:
    """A foreign layout.

    Attributes:
        name: what users write.
        summary: what the files look like, one line.
        recognises: whether the content of a file is of this layout, by its keys.
        convert: content and file name, and a ``ForeignFile`` per companion → networks.
        back: networks → content for ``torch.save``; None where the layout cannot be written as one file.
        back_files: networks → file name → content, where the layout is several files or has its own names.
        config_class: of a whole system: what its ``config.json`` is read with (``from_dict``).
        companions: the further files, in the order that ``convert`` takes them.
        published: the names under which the first file is published, the usual one first.
        readers: suffix → reader, for files that are not PyTorch's.
    """

    name: str
    summary: str
    recognises: Callable[[Any], bool]
    convert: Callable[..., Conversion]
    back: Callable[[Converted], Any] | None = None
    back_files: Callable[[ConvertedSystem], dict[str, Any]] | None = None
    config_class: Any = None
    companions: tuple[Companion, ...] = ()
    published: tuple[str, ...] = ()
    readers: Mapping[str, Callable[[Path], Any]] = field(default_factory=dict)


# In order of how telling their marks are.
STYLEGAN_FORMATS: dict[str, Format] = {
    layout.NAME: Format(layout.NAME, layout.SUMMARY, layout.recognises, layout.convert, back)
    for layout, back in (
        (rosinality, rosinality.to_rosinality),
        (nvlabs, nvlabs.to_nvlabs),
        (tflib, None),
        (pti, pti.to_pti),
        (psp, psp.to_psp),
        (e4e, e4e.to_e4e),
        (arcface, arcface.to_arcface),
    )
}


def known_formats() -> dict[str, Format]:
    """Every layout by name: StyleGAN2's projects first, then the methods'."""
    return {**STYLEGAN_FORMATS, **method_formats()}


def readable_suffixes() -> tuple[str, ...]:
    """Endings of the files that some layout reads."""
    suffixes = (suffix for layout in known_formats().values() for suffix in layout.readers)
    return (*PYTORCH_SUFFIXES, *suffixes)


def read_foreign(file: Path, *, mapped: bool = False) -> Any:
    """The content of a foreign file, read by its kind and never executed.

    Args:
        file: PyTorch's, or of a suffix that a layout has a reader for.
        mapped: leave the numbers in the file until they are used, where its kind allows that.

    Raises:
        CheckpointError: damaged or unsafe.
    """
    for layout in known_formats().values():
        if (reader := layout.readers.get(file.suffix.lower())) is not None:
            return reader(file)
    return read_file(file, mapped=mapped)


def recognise(content: Any, source: str, format_name: str | None = None) -> Format:
    """The format of a file's content.

    Args:
        content: what ``torch_file.read_file`` gave.
        source: the file, for messages.
        format_name: the one that the user says.

    Raises:
        CheckpointError: none fits, several do, or not the one that was said.
    """
    layouts = [entry for entry in known_formats().values() if entry.recognises(content)]
    if format_name is not None:
        layouts = [entry for entry in layouts if entry.name == format_name]
    if not layouts:
        requested = "known" if format_name is None else f"{format_name!r}"
        raise CheckpointError(
            f"{source}: is of no {requested} format: it is {describe(content)}; "
            f"known are {', '.join(known_formats())} (see docs/checkpoints.md)"
        )
    if len(layouts) > 1:
        names = " or ".join(entry.name for entry in layouts)
        raise CheckpointError(
            f"{source}: may be of {names}, and does not say which; "
            "name one: `stylegan-swap convert --from NAME`"
        )
    return layouts[0]


def describe(content: Any) -> str:
    """What a content looks like, for somebody who wonders which file this is."""
    if isinstance(content, Tensor):
        return f"a single tensor {list(content.shape)}"
    if isinstance(content, PickledModule):
        return f"a network of the class {content.class_name[:60]!r}"
    if isinstance(content, PickledNetwork):
        return "a single TensorFlow network"
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    if "pytorch-lightning_version" in content:
        return "a checkpoint of PyTorch Lightning; a training run's weights/ folder needs no converting"
    tensors = sum(isinstance(value, Tensor) for value in content.values())
    kind = f"a state dict of {tensors} tensors" if tensors > len(content) // 2 else "a dict"
    entries = [_entry(key, value) for key, value in list(content.items())[:_SHOWN]]
    rest = ", …" if len(content) > _SHOWN else ""
    return f"{kind} with {', '.join(entries)}{rest}" if entries else "an empty dict"


def _entry(key: Any, value: Any) -> str:
    """A key, and for a state dict how it begins."""
    if not isinstance(value, Mapping) or not any(isinstance(inner, Tensor) for inner in value.values()):
        return _one_line(key)
    return f"{_one_line(key)} ({len(value)} entries from {_one_line(next(iter(value)))} on)"


def _one_line(key: Any) -> str:
    """A name of a file, fit for one line of a message."""
    text = str(key)
    return (text if text.isprintable() else ascii(text))[:60]
