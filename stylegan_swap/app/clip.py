"""A swap into an uploaded clip, in a thread that can be stopped."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylegan_swap.app.pictures import chosen_file, duration
from stylegan_swap.errors import AppError
from stylegan_swap.images.photo import read_photo
from stylegan_swap.video.reading import VideoClip
from stylegan_swap.video.run import VideoResult, swap_video

if TYPE_CHECKING:
    from stylegan_swap.swapping.swapper import FaceChoice, PhotoSwapper

#: The largest frame: 4K. Larger ones take seconds each.
MOST_PIXELS = 4096 * 2304
#: File types of the result.
CLIP_TYPES = ("MP4", "WebM", "MKV")
_POLL_S = 0.2


@dataclass(frozen=True)
class ClipChoices:
    """Choices of the second tab.

    Attributes:
        face: ``"largest"``, ``"all"``, or a number from the left from 0.
        start: seconds at which to begin.
        end: seconds at which to stop; None goes to the end.
        options: further options of ``swap_video`` by name.
        file_type: one of ``CLIP_TYPES``.
    """

    face: FaceChoice = "largest"
    start: float = 0.0
    end: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    file_type: str = CLIP_TYPES[0]


class Stopped(Exception):
    """The user stopped the clip."""


class ClipJob:
    """One clip being swapped, in a thread of its own.

    Attributes:
        finished: frames finished.
        total: frames in all, or None where that is not known.
        began: when the first frame was finished, by ``time.monotonic``; None before.
    """

    def __init__(
        self,
        swapper: PhotoSwapper,
        identity: str | Path | None,
        clip: str | Path | None,
        choices: ClipChoices,
        folder: Path,
        most_seconds: float,
    ) -> None:
        """Checks what can be checked before the work.

        ``identity`` and ``clip`` are uploaded files; ``folder`` is empty, and deleted if the clip is not
        finished; ``most_seconds`` is the longest clip that is swapped.

        Raises:
            AppError: something is missing, out of range, too long or too large.
            VideoReadError: the clip cannot be read.
        """
        self.finished = 0
        self.total: int | None = None
        self.began: float | None = None
        self._swapper, self._choices, self._folder = swapper, choices, folder
        self._identity = chosen_file(identity, "an identity photo")
        self._clip = chosen_file(clip, "a clip")
        if choices.file_type not in CLIP_TYPES:
            raise AppError(
                f"there is no file type {choices.file_type!r}: choose from {', '.join(CLIP_TYPES)}"
            )
        self._most_frames = check_clip(self._clip, choices.start, choices.end, most_seconds)
        self._most_seconds = most_seconds
        self._stop = threading.Event()
        self._outcome: VideoResult | None = None
        self._error: BaseException | None = None

    def run(self) -> Iterator[None]:
        """Do the work; yields several times a second while it goes on.

        Raises:
            Stopped: ``stop`` was called.
            StyleganSwapError: as ``swap_video``.
        """
        worker = threading.Thread(target=self._work, name="clip", daemon=True)
        worker.start()
        try:
            while worker.is_alive():
                yield
                worker.join(_POLL_S)
        finally:
            # Closed before the end: the result is not needed any more.
            if worker.is_alive():
                self.stop()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the work after the frame it is at."""
        self._stop.set()

    @property
    def outcome(self) -> VideoResult:
        """The result, after ``run`` is through."""
        assert self._outcome is not None, "the clip is not finished"
        return self._outcome

    def _work(self) -> None:
        try:
            self._outcome = self._swap()
        except BaseException as error:  # noqa: BLE001
            # It is raised again in the thread that waits for the result.
            self._error = error
            shutil.rmtree(self._folder, ignore_errors=True)

    def _swap(self) -> VideoResult:
        choices = self._choices
        person = self._swapper.prepare(read_photo(self._identity))
        self._report(0, None)
        file = self._folder / f"{self._clip.stem[:60]}-swapped.{choices.file_type.lower()}"
        return swap_video(
            person,
            self._clip,
            file,
            method=self._swapper,
            face=choices.face,
            start=choices.start,
            end=choices.end,
            progress=self._report,
            **choices.options,
        )

    def _report(self, finished: int, total: int | None) -> None:
        if self._stop.is_set():
            raise Stopped
        # A file may state less than its real length.
        if finished > self._most_frames:
            raise AppError(_too_long(self._clip.name, None, self._most_seconds))
        self.finished, self.total = finished, total
        if finished and self.began is None:
            self.began = time.monotonic()


class ClipJobs:
    """The running clip of each visitor, so that only they can stop it."""

    def __init__(self) -> None:
        self._jobs: dict[str, ClipJob] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def running(self, visitor: str, job: ClipJob) -> Iterator[None]:
        """Registers the job as the visitor's while the block runs; stops it at the end."""
        with self._lock:
            self._jobs[visitor] = job
        try:
            yield
        finally:
            job.stop()
            with self._lock:
                if self._jobs.get(visitor) is job:
                    del self._jobs[visitor]

    def stop(self, visitor: str) -> bool:
        """Stop the visitor's clip; returns whether there was one."""
        with self._lock:
            job = self._jobs.get(visitor)
        if job is not None:
            job.stop()
        return job is not None


def check_clip(path: Path, start: float, end: float | None, most_seconds: float) -> int:
    """Refuse a clip that would take too long; returns the most frames that may be swapped.

    Of the clip, the part from ``start`` to ``end`` counts, in seconds, and may have ``most_seconds``.

    Raises:
        AppError: it is too long, its frames are too large, or ``end`` does not follow ``start``.
        VideoReadError: it cannot be read.
    """
    if start < 0 or (end is not None and end <= start):
        raise AppError(f"“from” and “to” are seconds of the clip, “to” the later; got {start:g} and {end}")
    clip = VideoClip(path, start=start, end=end)
    if clip.size is not None and clip.size[0] * clip.size[1] > MOST_PIXELS:
        width, height = clip.size
        raise AppError(f"{path.name}: {width} × {height} pixels are more than 4K: make it smaller first")
    seconds = None if clip.frame_count is None else float(clip.frame_count / clip.rate)
    # A frame or two more than the limit is no offence.
    if seconds is not None and seconds > most_seconds + 0.5:
        raise AppError(_too_long(path.name, seconds, most_seconds))
    return int(float(clip.rate) * (most_seconds + 0.5)) + 1


def _too_long(name: str, seconds: float | None, limit: float) -> str:
    length = "it is longer than it says" if seconds is None else f"it has {duration(seconds)}"
    part = "choose a part by “from” and “to”"
    return f"{name}: {length}; this page swaps up to {duration(limit)} of a clip: {part}"
