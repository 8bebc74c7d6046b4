"""Which project wrote a file: the table of formats, and the way through it.

Road: before it, once: foreign file → **read → recognise → convert** → this library's format. A new format
is a module with NAME, SUMMARY, ``recognises(content)`` and ``convert(content, source)``, and a line in the
table here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan_swap.convert import arcface, e4e, nvlabs, psp, pti, rosinality, tflib
from stylegan_swap.convert.converted import Converted
from stylegan_swap.convert.restricted_pickle import PickledModule, PickledNetwork
from stylegan_swap.convert.torch_file import read_file
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.weights import find_weights, published_weights

_SHOWN = 5


@dataclass(frozen=True)
class Format:
    """A foreign format.

    Attributes:
        name: what users write.
        summary: what the files look like, one line.
        recognises: whether the content of a file is of this format.
        convert: content and file name → networks.
        back: networks → content for ``torch.save``; None where the format cannot be written.
    """

    name: str
    summary: str
    recognises: Callable[[Any], bool]
    convert: Callable[[Any, str], Converted]
    back: Callable[[Converted], Any] | None = None


# In order of how telling their marks are.
FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format(
            rosinality.NAME,
            rosinality.SUMMARY,
            rosinality.recognises,
            rosinality.convert,
            rosinality.to_rosinality,
        ),
        Format(nvlabs.NAME, nvlabs.SUMMARY, nvlabs.recognises, nvlabs.convert, nvlabs.to_nvlabs),
        Format(tflib.NAME, tflib.SUMMARY, tflib.recognises, tflib.convert),
        Format(pti.NAME, pti.SUMMARY, pti.recognises, pti.convert, pti.to_pti),
        Format(psp.NAME, psp.SUMMARY, psp.recognises, psp.convert, psp.to_psp),
        Format(e4e.NAME, e4e.SUMMARY, e4e.recognises, e4e.convert, e4e.to_e4e),
        Format(arcface.NAME, arcface.SUMMARY, arcface.recognises, arcface.convert, arcface.to_arcface),
    )
}


def convert_file(path: str | Path, format_name: str | None = None) -> Converted:
    """Read a foreign file and give its networks this library's names.

    Args:
        path: the file, or a name of ``stylegan-swap download --list`` that was downloaded.
        format_name: a key of ``FORMATS`` for files that do not tell; None finds out.

    Raises:
        CheckpointError: missing, damaged, unsafe, unknown, or ambiguous.
        UnsupportedOptionError: there is no such format.
    """
    file = Path(path)
    if format_name is not None and format_name not in FORMATS:
        raise UnsupportedOptionError(f"unknown format {format_name!r}: choose one of {', '.join(FORMATS)}")
    if str(path) in published_weights():
        file = find_weights(str(path))
    if file.is_dir():
        raise CheckpointError(f"{file}: is a folder; give the file in it (.pt, .pth or .pkl)")
    if not file.is_file():
        raise CheckpointError(f"{file}: there is no such file; check the path")
    if file.suffix.lower() == ".safetensors":
        raise CheckpointError(
            f"{file}: is a safetensors file; this library's own need no converting, and published ones are "
            ".pt, .pth or .pkl"
        )
    content = read_file(file)
    return recognise(content, str(file), format_name).convert(content, str(file))


def recognise(content: Any, source: str, format_name: str | None = None) -> Format:
    """The format of a file's content.

    Args:
        content: what ``torch_file.read_file`` gave.
        source: the file, for messages.
        format_name: the one that the user says.

    Raises:
        CheckpointError: none fits, several do, or not the one that was said.
    """
    fitting = [entry for entry in FORMATS.values() if entry.recognises(content)]
    if format_name is not None:
        fitting = [entry for entry in fitting if entry.name == format_name]
    if not fitting:
        wanted = "known" if format_name is None else f"{format_name!r}"
        raise CheckpointError(
            f"{source}: is of no {wanted} format: it is {describe(content)}; "
            f"known are {', '.join(FORMATS)} (see docs/checkpoints.md)"
        )
    if len(fitting) > 1:
        names = " or ".join(entry.name for entry in fitting)
        raise CheckpointError(f"{source}: may be of {names}, and does not say which; name one with --from")
    return fitting[0]


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
    what = f"a state dict of {tensors} tensors" if tensors > len(content) // 2 else "a dict"
    shown = [_entry(key, value) for key, value in list(content.items())[:_SHOWN]]
    rest = ", …" if len(content) > _SHOWN else ""
    return f"{what} with {', '.join(shown)}{rest}" if shown else "an empty dict"


def _entry(key: Any, value: Any) -> str:
    """A key, and for a state dict how it begins."""
    if not isinstance(value, Mapping) or not any(isinstance(inner, Tensor) for inner in value.values()):
        return str(key)[:60]
    return f"{str(key)[:60]} ({len(value)} entries from {str(next(iter(value)))[:60]} on)"
