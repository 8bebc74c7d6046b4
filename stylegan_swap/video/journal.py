"""The work folder beside the output: finished segments, and all that is needed to go on after a kill.

A segment counts once its file is complete and the journal names it; the journal is replaced whole. What was
under way when the run ended is done again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stylegan_swap.errors import VideoWriteError
from stylegan_swap.files.atomic import replacing

_JOURNAL = "journal.json"
_VERSION = 1


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        segments: file or folder names of finished segments, in order, and the size of each in bytes.
        frames: how many they hold.
        first_pts: time of the first frame; None before the first segment.
        last_pts: time of the last.
        last_duration: how long that is shown; 0 if unknown.
        counts: what happened in them.
        notes: what a user should know of them.
        state: of the tracker, after the last.
        complete: whether nothing follows.
    """

    segments: list[tuple[str, int]] = field(default_factory=list)
    frames: int = 0
    first_pts: int | None = None
    last_pts: int | None = None
    last_duration: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    state: dict[str, Any] | None = None
    complete: bool = False


class Journal:
    """The work folder of one output; see ``open_journal``."""

    def __init__(self, folder: Path, run: dict[str, object], progress: Progress) -> None:
        self.folder, self._run, self.progress = folder, run, progress

    def path_of(self, number: int, suffix: str = "") -> Path:
        """Where segment ``number`` is written."""
        return self.folder / f"segment-{number:06d}{suffix}"

    def paths(self) -> list[Path]:
        """The finished segments in order."""
        return [self.folder / name for name, _ in self.progress.segments]

    def commit(self) -> None:
        """Make what ``progress`` says last.

        Raises:
            VideoWriteError: the disk is full.
        """
        text = json.dumps({"version": _VERSION, "run": self._run, "progress": asdict(self.progress)})
        try:
            with replacing(self.folder / _JOURNAL) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise VideoWriteError(
                f"{self.folder}: cannot be written ({error.strerror or error}); free some space"
            ) from error

    def remove(self) -> None:
        """The work is done: take the folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)


def work_folder(output: Path) -> Path:
    """The folder beside an output that holds its unfinished work."""
    return output.with_name(f"{output.name}.parts")


@contextlib.contextmanager
def open_journal(output: Path, run: dict[str, object], *, fresh: bool = False) -> Iterator[Journal]:
    """Take up the work on an output, or begin it; nobody else may work on it meanwhile.

    ``output``: the clip or folder that is to be written; ``run``: everything the result depends on, as JSON;
    ``fresh``: forget unfinished work.

    Raises:
        VideoWriteError: the folder cannot be written, another process works there, or the unfinished work
            is that of another clip, person or setting.
    """
    from stylegan_swap.files.lock import exclusive

    folder = work_folder(output)

    def taken() -> None:
        raise VideoWriteError(f"{output}: another process is writing it; wait for it, or choose another name")

    with contextlib.ExitStack() as stack:
        try:
            # Beside the folder, not in it: the folder comes and goes while the lock is held.
            stack.enter_context(exclusive(folder.with_name(f".{folder.name}.lock"), waiting=taken))
            if fresh and folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(exist_ok=True)
            journal = Journal(folder, run, _unfinished(folder, output, run))
        except OSError as error:
            raise VideoWriteError(
                f"{folder}: cannot be written ({error.strerror or error}); change its permissions or choose "
                "another folder for the result"
            ) from error
        yield journal


def _unfinished(folder: Path, output: Path, run: dict[str, object]) -> Progress:
    path = folder / _JOURNAL
    if not path.is_file():
        if any(folder.iterdir()) and not all(
            child.name.startswith((".", "segment-")) for child in folder.iterdir()
        ):
            raise VideoWriteError(f"{folder}: holds other files; move them, work is kept under this name")
        return Progress()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        progress = Progress(**record["progress"])
        same = record["version"] == _VERSION and record["run"] == json.loads(json.dumps(run))
        differing = sorted(
            key for key in {*run, *record["run"]} if record["run"].get(key) != _plain(run.get(key))
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise VideoWriteError(
            f"{path}: is damaged; give --fresh to begin again, or remove the folder"
        ) from error
    if not same:
        raise VideoWriteError(
            f"{folder}: holds unfinished work of other settings (different: "
            f"{', '.join(differing) or 'version'}): repeat the earlier command to finish it, or give --fresh "
            "to begin again"
        )
    # A complete run may have been stopped while its segments were being joined, or moved.
    for name, size in [] if progress.complete else progress.segments:
        if size_of(folder / name) != size:
            raise VideoWriteError(f"{folder / name}: is missing or damaged; give --fresh to begin again")
    return progress


def _plain(value: object) -> object:
    return json.loads(json.dumps(value))


def size_of(path: Path) -> int:
    """Bytes of a segment, or of all files of a folder; -1 where there is none."""
    if path.is_dir():
        return sum(child.stat().st_size for child in path.iterdir())
    return path.stat().st_size if path.is_file() else -1
