"""The table of foreign formats: which project wrote a file, and what becomes of it.

Road: before it, once: foreign file → read → **recognise → convert** → this library's format. A new format
is a module with NAME, SUMMARY, ``recognises(content)`` and ``convert(content, source)``, and a line in the
table here. ``detect`` finds the files that belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.fslsd import files as fslsd
from stylegan_swap.methods.megafs import files as megafs
from stylegan_swap.methods.rafswap import files as rafswap
from stylegan_swap.weights.readers.restricted_pickle import PickledModule, PickledNetwork
from stylegan_swap.weights.stylegan_formats import arcface, e4e, nvlabs, psp, pti, rosinality, tflib
from stylegan_swap.weights.stylegan_formats.converted import Converted
from stylegan_swap.weights.stylegan_formats.swap_system import ConvertedSystem

_SHOWN = 5

Conversion = Converted | ConvertedSystem


@dataclass(frozen=True)
class Companion:
    """The second file that a format needs.

    Attributes:
        format: its format, a key of ``FORMATS``.
        file: the name under which it is published.
        weights: its name for ``stylegan-swap download``.
    """

    format: str
    file: str
    weights: str


@dataclass(frozen=True)
class Format:
    """A foreign format.

    Attributes:
        name: what users write.
        summary: what the files look like, one line.
        recognises: whether the content of a file is of this format.
        convert: content and file name (and those of the companion, where there is one) → networks.
        back: networks → content for ``torch.save``; None where the format cannot be written as one file.
        back_files: networks → file name → content, where the format is several files or has its own names.
        companion: the second file, or None.
        published: the names under which the first file is published, the usual one first.
    """

    name: str
    summary: str
    recognises: Callable[[Any], bool]
    convert: Callable[..., Conversion]
    back: Callable[[Converted], Any] | None = None
    back_files: Callable[[ConvertedSystem], dict[str, Any]] | None = None
    companion: Companion | None = None
    published: tuple[str, ...] = ()


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
        Format(
            megafs.NAME,
            megafs.SUMMARY,
            megafs.recognises,
            megafs.convert,
            back_files=megafs.written_files,
            companion=Companion(rosinality.NAME, megafs.GENERATOR_FILE, "megafs-generator"),
            published=megafs.SWAP_FILES,
        ),
        Format(
            fslsd.NAME,
            fslsd.SUMMARY,
            fslsd.recognises,
            fslsd.convert,
            back_files=fslsd.written_files,
            companion=Companion(psp.NAME, fslsd.PSP_FILE, "psp-ffhq-encode"),
            published=(fslsd.FILE,),
        ),
        Format(
            rafswap.NAME,
            rafswap.SUMMARY,
            rafswap.recognises,
            rafswap.convert,
            back_files=rafswap.written_files,
            published=(rafswap.FILE,),
        ),
    )
}


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
        raise CheckpointError(
            f"{source}: may be of {names}, and does not say which; "
            "name one: `stylegan-swap convert --from NAME`"
        )
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
        return _one_line(key)
    return f"{_one_line(key)} ({len(value)} entries from {_one_line(next(iter(value)))} on)"


def _one_line(key: Any) -> str:
    """A name of a file, fit for one line of a message."""
    text = str(key)
    return (text if text.isprintable() else ascii(text))[:60]
