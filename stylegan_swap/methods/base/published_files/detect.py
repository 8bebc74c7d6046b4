"""From the files of other projects to networks under this library's names: which belong together, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.methods.base.published_files.formats import (
    Companion,
    Conversion,
    ForeignFile,
    Format,
    describe,
    known_formats,
    read_foreign,
    readable_suffixes,
    recognise,
)
from stylegan_swap.weights.cache import cached_path, find_cached
from stylegan_swap.weights.store import MODEL_FILE, find_weights, published_weights


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
        format_name: a name of ``known_formats`` for a file that does not tell; None finds out.
        mapped: leave the numbers in their file until they are used, where its format allows that.
        contents: of files that were read already.

    Raises:
        CheckpointError: missing, damaged, unsafe, unknown, ambiguous, or not going together.
        UnsupportedOptionError: there is no such format.
    """
    if format_name is not None and format_name not in known_formats():
        choices = ", ".join(known_formats())
        raise UnsupportedOptionError(f"unknown format {format_name!r}: choose one of {choices}")
    if not paths:
        raise CheckpointError("no file was given to convert; give one, or a folder")
    located = [_located(path) for path in paths]
    notes = tuple(note for _, note in located if note)
    already_read = contents or {}
    read = {
        file: already_read[file] if file in already_read else read_foreign(file, mapped=mapped)
        for file, _ in located
    }
    main, layout = _main(read, format_name)
    further = {file: content for file, content in read.items() if file != main}
    companions = _companions(main, layout, further, mapped)
    converted = layout.convert(read[main], str(main), *companions)
    return replace(converted, notes=(*notes, *converted.notes))


def _main(read: dict[Path, Any], format_name: str | None) -> tuple[Path, Format]:
    """The file that says which system this is, and its format."""
    if len(read) == 1:
        [(file, content)] = read.items()
        return file, recognise(content, str(file), format_name)
    candidates = {
        file: layout
        for file, content in read.items()
        for layout in known_formats().values()
        if layout.companions and format_name in (None, layout.name) and layout.recognises(content)
    }
    if len(candidates) != 1:
        names = ", ".join(f"{file.name} is {_name_of(content)}" for file, content in read.items())
        raise CheckpointError(
            f"{next(iter(read)).parent}: these files make no system together ({names}); convert each alone"
        )
    return next(iter(candidates.items()))


def _name_of(content: Any) -> str:
    names = [layout.name for layout in known_formats().values() if layout.recognises(content)]
    return " or ".join(names) or describe(content)


def _companions(
    main: Path, layout: Format, files_by_path: dict[Path, Any], mapped: bool
) -> list[ForeignFile]:
    """The further files that a layout needs, in its order: given, beside the first, or downloaded."""
    count = len(layout.companions) + 1
    if len(files_by_path) >= count:
        files = "one file" if count == 1 else f"{count} files"
        raise CheckpointError(
            f"{main}: is {layout.name}, a format of {files}, not {len(files_by_path) + 1}; leave out "
            f"{', '.join(map(str, files_by_path)) if count == 1 else 'what is not one of them'}"
        )
    companions: dict[Companion, ForeignFile] = {}
    for file, content in files_by_path.items():
        free = [companion for companion in layout.companions if companion not in companions]
        match = next((companion for companion in free if _is_companion(companion, content)), None)
        if match is None:
            raise _misfit(main, free[0], file, content)
        companions[match] = ForeignFile(content, str(file))
    for companion in layout.companions:
        if companion not in companions:
            file = _found_companion(main, layout, companion)
            content = read_foreign(file, mapped=mapped)
            if not _is_companion(companion, content):
                raise _misfit(main, companion, file, content)
            companions[companion] = ForeignFile(content, str(file))
    return [companions[companion] for companion in layout.companions]


def _is_companion(companion: Companion, content: Any) -> bool:
    return known_formats()[companion.format].recognises(content)


def _misfit(main: Path, companion: Companion, file: Path, content: Any) -> CheckpointError:
    return CheckpointError(
        f"{file}: is {_name_of(content)}, but with {main.name} belongs {companion.file} ({companion.format})"
    )


def _found_companion(main: Path, layout: Format, companion: Companion) -> Path:
    """The file beside the first one under its published name, or the downloaded one."""
    file = main.with_name(companion.file)
    listed = published_weights().get(companion.weights)
    if not file.is_file() and listed is not None and cached_path(listed).is_file():
        return find_cached(listed)
    if not file.is_file():
        raise CheckpointError(
            f"{main}: is one of {len(layout.companions) + 1} files of {layout.name}; {companion.file} is not "
            f"beside it: put it there, name it as well, or run `stylegan-swap download {companion.weights}`"
        )
    return file


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
        for entry in known_formats().values()
    }
    complete = [name for name, files in systems.items() if files]
    if len(complete) == 1:
        first, *rest = systems[complete[0]]
        alternatives = ", ".join(file.name for file in rest)
        return first, f"{first.name} was taken; to take {alternatives}, give that file" if rest else None
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in readable_suffixes())
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    if len(files) == 1:
        return files[0], None
    if not files:
        raise CheckpointError(
            f"{folder}: holds neither {MODEL_FILE} nor a published network "
            f"({', '.join(readable_suffixes())}); check the path"
        )
    names = ", ".join(file.name for file in files[:5]) + (", …" if len(files) > 5 else "")
    raise CheckpointError(f"{folder}: holds {len(files)} files ({names}); give the one you mean")
