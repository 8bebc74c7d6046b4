"""Where the swapped clip goes: a video file, or a folder of pictures. Segments first, then the whole."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from stylegan_swap.errors import UnsupportedOptionError, VideoWriteError
from stylegan_swap.files.atomic import replacing
from stylegan_swap.provenance.credentials import Credentials, sign_file
from stylegan_swap.provenance.watermark import Kind
from stylegan_swap.video.encoding import Encoding, SegmentEncoder
from stylegan_swap.video.folder import FolderClip, PictureSegment, assemble
from stylegan_swap.video.frame import Clip, Frame
from stylegan_swap.video.joining import WRITABLE, check_streams, join
from stylegan_swap.video.journal import Journal
from stylegan_swap.video.mark import append_xmp, container_tags
from stylegan_swap.video.reading import VideoClip
from stylegan_swap.video.sound import check_audio


class Segment(Protocol):
    """A segment that is being written."""

    path: Path

    def write(self, frame: Frame, pixels: np.ndarray | None, mask: np.ndarray | None) -> None:
        """Append a frame; without pixels it is passed on as it was."""
        ...

    def close(self) -> None:
        """Finish the segment."""
        ...

    def discard(self) -> None:
        """Stop without finishing it."""
        ...


class Output(Protocol):
    """What a run writes to."""

    def settings(self) -> dict[str, object]:
        """Everything its files depend on, for the journal."""
        ...

    def segment(self, journal: Journal, number: int) -> Segment:
        """Begin a segment."""
        ...

    def finish(self, journal: Journal) -> None:
        """Make the result of the segments."""
        ...


class VideoOutput:
    """A video file with the clip's sound.

    ``path`` ends in .mp4, .m4v, .mov, .mkv or .webm. Where the clip is ``trimmed``, the result's time starts
    anew; ``mark`` makes the file and its swapped frames say that AI was used; ``audio`` is one of ``AUDIO``.

    Raises:
        VideoWriteError: the file cannot hold the clip's sound or subtitles.
    """

    def __init__(
        self, path: Path, clip: Clip, encoding: Encoding, *, trimmed: bool, mark: bool, audio: str = "copy"
    ) -> None:
        self.path, self._clip, self._encoding, self._trimmed, self._mark = path, clip, encoding, trimmed, mark
        self._audio = audio
        self._tags: dict[str, str] = {}
        # Asked for before the work: a certificate that is not whole is told at once.
        self._signer = Credentials.from_environment() if mark else None
        self._clip_file: Path | None = None
        if isinstance(clip, FolderClip):
            clip.require_one_size()
        if isinstance(clip, VideoClip):
            clip.notes += check_streams(clip, path, audio)
            self._tags, self._clip_file = clip.metadata, clip.path
        if self._signer is not None and WRITABLE[path.suffix.lower()] not in ("mp4", "mov"):
            clip.notes.append("no C2PA manifest: only .mp4 and .mov hold one; tags and watermark are written")

    def settings(self) -> dict[str, object]:
        """See ``Output.settings``."""
        return {
            "codec": self._encoding.codec,
            "encoder_options": self._encoding.options(),
            "mark": self._mark,
        }

    def segment(self, journal: Journal, number: int) -> Segment:
        """See ``Output.segment``."""
        return SegmentEncoder(journal.path_of(number, ".nut"), self._clip, self._encoding, mark=self._mark)

    def finish(self, journal: Journal) -> None:
        """See ``Output.finish``."""
        progress = journal.progress
        assert progress.first_pts is not None and progress.last_pts is not None
        usual = max(1, round(1 / (self._clip.rate * self._clip.time_base)))
        tags = container_tags(self._tags, mark=self._mark)
        suffix = self.path.suffix.lower()
        try:
            with replacing(self.path) as temporary:
                join(
                    journal.paths(),
                    self._clip,
                    temporary,
                    suffix=suffix,
                    first_pts=progress.first_pts,
                    end_pts=progress.last_pts + (progress.last_duration or usual),
                    trimmed=self._trimmed,
                    metadata=tags,
                    audio=self._audio,
                    name=str(self.path),
                )
                if self._mark and WRITABLE[suffix] in ("mp4", "mov"):
                    append_xmp(temporary, tags)
                    if self._signer is not None:
                        kind, parent = WRITABLE[suffix].upper(), self._clip_file
                        sign_file(temporary, kind, self._signer, result=Kind.SWAP, parent=parent)
        except OSError as error:
            raise VideoWriteError(
                f"{self.path}: could not be written ({error.strerror or error}); free some space or choose "
                "another folder; the same command goes on from the segments that are kept"
            ) from error


class FolderOutput:
    """A folder of pictures, named as the clip's pictures or numbered."""

    def __init__(self, path: Path, clip: Clip, *, mark: bool) -> None:
        self.path, self._mark = path, mark
        if isinstance(clip, VideoClip):
            clip.notes.append("a folder of pictures has no sound; write a video file to keep it")

    def settings(self) -> dict[str, object]:
        """See ``Output.settings``."""
        return {"codec": "pictures", "mark": self._mark}

    def segment(self, journal: Journal, number: int) -> Segment:
        """See ``Output.segment``."""
        return PictureSegment(journal.path_of(number), mark=self._mark)

    def finish(self, journal: Journal) -> None:
        """See ``Output.finish``."""
        assemble(journal.paths(), self.path, journal.folder / "gathered")


def choose_output(
    path: Path,
    clip: Clip,
    *,
    codec: str | None,
    crf: int | None,
    trimmed: bool,
    mark: bool,
    audio: str = "copy",
) -> Output:
    """A folder where the name has no suffix or is a folder's, a video file otherwise.

    Raises:
        UnsupportedOptionError: codec, quality or ``audio`` do not fit.
        VideoWriteError: the format cannot hold the clip's sound.
    """
    check_audio(audio)
    if is_folder(path):
        if codec is not None or crf is not None:
            raise UnsupportedOptionError(
                f"{path}: a folder of pictures has no codec and no crf: leave them out"
            )
        return FolderOutput(path, clip, mark=mark)
    return VideoOutput(path, clip, Encoding.chosen(path, codec, crf), trimmed=trimmed, mark=mark, audio=audio)


def is_folder(path: Path) -> bool:
    """Whether an output names a folder of pictures."""
    return path.is_dir() or not path.suffix


def check_output(path: Path, *, overwrite: bool, inputs: Iterable[object]) -> None:
    """Refuse an output that could not be written, before the work.

    Raises:
        VideoWriteError: unknown suffix, no such folder, no permission, exists already, or is an input.
    """
    if not is_folder(path) and path.suffix.lower() not in WRITABLE:
        raise VideoWriteError(
            f"{path}: the suffix {path.suffix!r} names no known format; use one of {', '.join(WRITABLE)}, or "
            "a name without suffix for a folder of pictures"
        )
    try:
        folder = path.resolve().parent
        if not folder.is_dir():
            raise VideoWriteError(f"{path}: the folder {folder} does not exist; create it first")
        exists = path.exists()
        if exists and any(_same(path, source) for source in inputs):
            raise VideoWriteError(f"{path}: is one of the inputs; choose another name for the result")
        if exists and not path.is_dir() and not path.is_file():
            raise VideoWriteError(f"{path}: is not an ordinary file; choose another name")
        if exists and not overwrite and not (path.is_dir() and not any(path.iterdir())):
            raise VideoWriteError(
                f"{path}: exists already; choose another name or allow overwriting (--overwrite)"
            )
        real = Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        name = repr(str(path)[:200])
        raise VideoWriteError(f"{name}: is no usable path ({reason}); choose another name") from error
    if not os.access(real.parent, os.W_OK | os.X_OK) or (exists and not os.access(real, os.W_OK)):
        raise VideoWriteError(f"{path}: no permission to write there; change it or choose another folder")


def _same(path: Path, source: object) -> bool:
    if not isinstance(source, str | os.PathLike):
        return False
    try:
        return path.samefile(source)
    except (OSError, ValueError):
        return False
