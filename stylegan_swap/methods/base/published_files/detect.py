"""From the files of other projects to networks under this library's names: which belong together, and how.

Road: before it, once: **foreign files → read → recognise → convert** → this library's format. What is known
of every format stands in the table of ``formats``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.methods.base.published_files.formats import (
    FORMATS,
    Conversion,
    Format,
    describe,
    recognise,
)
from stylegan_swap.weights.cache import cached_path, find_cached
from stylegan_swap.weights.readers.torch_file import read_file
from stylegan_swap.weights.store import MODEL_FILE, find_weights, published_weights

__all__ = ["FORMATS", "Conversion", "Format", "convert_file", "convert_files", "describe", "recognise"]

_SUFFIXES = (".pt", ".pth", ".pkl")


def convert_file(path: str | Path, format_name: str | None = None) -> Conversion:
    """:func:`convert_files` of one file, folder or name."""
    return convert_files([path], format_name)


def convert_files(
    paths: Sequence[str | Path],
    format_name: str | None = None,
    *,
    mapped: bool = False,
    contents: Mapping[Path, Any] | None = None,
) -> Conversion:
    """Read the files of a foreign network and give its networks this library's names.

    Some systems are published as two files (MegaFS and its generator, FSLSD and pSp). Where only the first
    is given, the second is looked for beside it under its published name, and among the downloads.

    Args:
        paths: the files, a folder that holds them under their published names, or names of
            ``stylegan-swap download --list`` that were downloaded.
        format_name: a key of ``FORMATS`` for a file that does not tell; None finds out.
        mapped: leave the numbers in their file until they are used, where its format allows that.
        contents: of files that were read already.

    Raises:
        CheckpointError: missing, damaged, unsafe, unknown, ambiguous, or not going together.
        UnsupportedOptionError: there is no such format.
    """
    if format_name is not None and format_name not in FORMATS:
        raise UnsupportedOptionError(f"unknown format {format_name!r}: choose one of {', '.join(FORMATS)}")
    if not paths:
        raise CheckpointError("no file was given to convert; give one, or a folder")
    located = [_located(path) for path in paths]
    notes = tuple(note for _, note in located if note)
    known = contents or {}
    read = {file: known[file] if file in known else read_file(file, mapped=mapped) for file, _ in located}
    main, entry = _main(read, format_name)
    others = {file: content for file, content in read.items() if file != main}
    if entry.companion is None:
        if others:
            raise CheckpointError(
                f"{main}: is {entry.name}, a format of one file; leave out {', '.join(map(str, others))}"
            )
        made = entry.convert(read[main], str(main))
    else:
        beside, content = _companion(main, entry, others, mapped)
        made = entry.convert(read[main], str(main), content, str(beside))
    return replace(made, notes=(*notes, *made.notes))


def _main(read: dict[Path, Any], format_name: str | None) -> tuple[Path, Format]:
    """The file that says which system this is, and its format."""
    if len(read) == 1:
        [(file, content)] = read.items()
        return file, recognise(content, str(file), format_name)
    fitting = {
        file: entry
        for file, content in read.items()
        for entry in FORMATS.values()
        if entry.companion is not None and format_name in (None, entry.name) and entry.recognises(content)
    }
    if len(fitting) != 1:
        found = ", ".join(f"{file.name} is {_name_of(content)}" for file, content in read.items())
        raise CheckpointError(
            f"{next(iter(read)).parent}: these files make no system together ({found}); convert each alone"
        )
    return next(iter(fitting.items()))


def _name_of(content: Any) -> str:
    names = [entry.name for entry in FORMATS.values() if entry.recognises(content)]
    return " or ".join(names) or describe(content)


def _companion(main: Path, entry: Format, given: dict[Path, Any], mapped: bool) -> tuple[Path, Any]:
    """The second file: the one given, or the one beside the first, or the downloaded one."""
    wanted = entry.companion
    assert wanted is not None
    if len(given) > 1:
        raise CheckpointError(f"{main}: is {entry.name}, a format of two files; {len(given) + 1} were given")
    if not given:
        file = main.with_name(wanted.file)
        listed = published_weights().get(wanted.weights)
        if not file.is_file() and listed is not None and cached_path(listed).is_file():
            file = find_cached(listed)
        if not file.is_file():
            raise CheckpointError(
                f"{main}: is one of two files of {entry.name}; {wanted.file} is not beside it: put it there, "
                f"name it as well, or run `stylegan-swap download {wanted.weights}`"
            )
        given = {file: read_file(file, mapped=mapped)}
    [(file, content)] = given.items()
    if not FORMATS[wanted.format].recognises(content):
        raise CheckpointError(
            f"{file}: is {_name_of(content)}, but with {main.name} belongs {wanted.file} ({wanted.format})"
        )
    return file, content


def _located(path: str | Path) -> tuple[Path, str | None]:
    """The file behind a path or a name, and a note about what else was to choose from."""
    if str(path) in published_weights():
        return find_weights(str(path)), None
    file = Path(path)
    if file.is_dir():
        return _in_folder(file)
    if not file.is_file():
        raise CheckpointError(f"{file}: there is no such file; check the path")
    if file.suffix.lower() == ".safetensors":
        raise CheckpointError(
            f"{file}: is a safetensors file; this library's own need no converting, and published ones are "
            ".pt, .pth or .pkl"
        )
    return file, None


def _in_folder(folder: Path) -> tuple[Path, str | None]:
    """The file of a folder that says which system lies there."""
    if (folder / MODEL_FILE).is_file():
        raise CheckpointError(f"{folder}: holds {MODEL_FILE}, this library's own, which needs no converting")
    systems = {
        entry.name: [folder / name for name in entry.published if (folder / name).is_file()]
        for entry in FORMATS.values()
    }
    found = [name for name, files in systems.items() if files]
    if len(found) == 1:
        first, *rest = systems[found[0]]
        others = ", ".join(file.name for file in rest)
        return first, f"{first.name} was taken; to take {others}, give that file" if rest else None
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    if len(files) == 1:
        return files[0], None
    if not files:
        raise CheckpointError(
            f"{folder}: holds neither {MODEL_FILE} nor a published network ({', '.join(_SUFFIXES)}); "
            "check the path"
        )
    names = ", ".join(file.name for file in files[:5]) + (", …" if len(files) > 5 else "")
    raise CheckpointError(f"{folder}: holds {len(files)} files ({names}); give the one you mean")
