"""FaceForensics++ as pairs of photographs: the protocol of most published swapping numbers.

Takes frames spread evenly over every video of the official folders and pairs frame N of the identity video
with frame N of the attribute video. Comparability: ``docs/evaluation/faceforensics.md``. Rössler et al.,
FaceForensics++ (ICCV 2019).
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np

from stylegan_swap.errors import ImageReadError, ImageWriteError
from stylegan_swap.provenance.photo_file import write_photo

#: Compression of the videos, by the data set's folder names.
Compression: TypeAlias = Literal["raw", "c23", "c40"]

_VIDEO = re.compile(r"\d{3}")
_ORIGINALS = Path("original_sequences", "youtube")
_SWAPS = Path("manipulated_sequences")


@dataclass(frozen=True)
class FramePair:
    """One swap of the protocol.

    Attributes:
        identity: picture file of the person to put in.
        attribute: picture file that gives the rest.
        identity_person: who the first shows, for retrieval.
        attribute_person: who the second shows.
        videos: names of the identity and of the attribute video.
        number: which of the frames taken from each video, from 0.
    """

    identity: Path
    attribute: Path
    identity_person: str
    attribute_person: str
    videos: tuple[str, str]
    number: int


class FaceForensics:
    """The official folders, read as pairs; iterating gives every :class:`FramePair` in order.

    An entry ``["071", "054"]`` of a pair file stands for two swaps: the person of 054 in video 071, which the
    data set calls ``071_054``, and the other way round.

    Args:
        root: holds ``original_sequences`` and, for :meth:`manipulated`, ``manipulated_sequences``.
        entries: of the pair files, from :func:`read_entries`.
        cache: folder for the extracted frames; made where it is missing, filled on first use.
        compression: which copy of the videos.
        frames: how many per video.
        frames_from: "videos", or "images" for frames extracted before (``.../images/NNN/FFFF.png``), which
            are used where they are.
        people: video → person for people in several videos, from :func:`read_people`; every other video is
            a person of its own.

    Raises:
        ImageReadError: the folder has another layout or lacks videos that the entries name.
        ValueError: no entries, or fewer than one frame.
    """

    def __init__(
        self,
        root: Path,
        entries: Sequence[tuple[str, str]],
        cache: Path,
        *,
        compression: Compression = "c23",
        frames: int = 10,
        frames_from: Literal["videos", "images"] = "videos",
        people: Mapping[str, str] | None = None,
    ) -> None:
        if not entries or frames < 1:
            raise ValueError(f"{len(entries)} pairs with {frames} frames: give at least one of both")
        self.root, self.cache = Path(root), Path(cache)
        self.entries = tuple(entries)
        self.compression, self.count, self.frames_from = compression, frames, frames_from
        self._people = dict(people or {})
        self._check()

    @property
    def videos(self) -> tuple[str, ...]:
        """The names of all videos in the entries, sorted."""
        return tuple(sorted({video for entry in self.entries for video in entry}))

    def person(self, video: str) -> str:
        """Who a video shows."""
        return self._people.get(video, video)

    def frames(self, video: str) -> tuple[Path, ...]:
        """The picture files taken from an original video, in order; extracted on the first call.

        Raises:
            ImageReadError: the video is unreadable or shorter than the frames asked for.
            ImageWriteError: the cache cannot be written.
        """
        folder = self.root / _ORIGINALS / self.compression
        if self.frames_from == "videos":
            cached = self.cache / "original" / f"{self.compression}-{self.count}" / video
            return extracted(folder / "videos" / f"{video}.mp4", cached, self.count)
        pictures = sorted((folder / "images" / video).glob("*.png"))
        indices = evenly_spaced(len(pictures), self.count, str(folder / "images" / video))
        return tuple(pictures[index] for index in indices)

    def __len__(self) -> int:
        return 2 * len(self.entries) * self.count

    def __iter__(self) -> Iterator[FramePair]:
        for attribute, identity in self._swaps():
            people = self.person(identity), self.person(attribute)
            photos = zip(self.frames(identity), self.frames(attribute), strict=True)
            for number, frames in enumerate(photos):
                yield FramePair(*frames, *people, (identity, attribute), number)

    def gallery(self) -> Iterator[tuple[Path, str]]:
        """Every frame taken from the original videos with its person: what the field's retrieval searches."""
        for video in self.videos:
            for photo in self.frames(video):
                yield photo, self.person(video)

    def manipulated(self, method: str) -> Iterator[tuple[FramePair, Path]]:
        """The same pairs with the swap that the data set itself made, to grade its methods by our measures.

        Results and attribute photos are the same moments only where both videos are equally long, so the
        frames of the result are taken by the same formula from its own length.

        Args:
            method: a folder of ``manipulated_sequences``, e.g. "Deepfakes", "FaceSwap" or "FaceShifter".

        Raises:
            ImageReadError: no such folder, or a video of a pair is missing.
        """
        folder = self.root / _SWAPS / method / self.compression / "videos"
        if not folder.is_dir():
            present = sorted(path.name for path in (self.root / _SWAPS).glob("*") if path.is_dir())
            choices = ", ".join(present) or "none"
            raise ImageReadError(f"{folder}: no such folder; download this method, or take one of {choices}")
        pairs = iter(self)
        for attribute, identity in self._swaps():
            name = f"{attribute}_{identity}"
            cached = self.cache / "manipulated" / method / f"{self.compression}-{self.count}" / name
            for result in extracted(folder / f"{name}.mp4", cached, self.count):
                yield next(pairs), result

    def _swaps(self) -> Iterator[tuple[str, str]]:
        """Attribute and identity video of every swap, both directions of an entry in turn."""
        for first, second in self.entries:
            yield first, second
            yield second, first

    def _check(self) -> None:
        """Refuses a wrong folder at once, not after an hour of swapping."""
        originals = self.root / _ORIGINALS
        folder = originals / self.compression / self.frames_from
        if not folder.is_dir():
            present = sorted(
                str(path.relative_to(originals)) for path in originals.glob("*/*") if path.is_dir()
            )
            remedy = (
                f"there is {', '.join(present)}: choose compression and frames_from to match"
                if present
                else "give the folder that holds original_sequences, as the official download script fills it"
            )
            raise ImageReadError(f"{folder}: no such folder; {remedy}")
        suffix = ".mp4" if self.frames_from == "videos" else ""
        missing = [video for video in self.videos if not (folder / f"{video}{suffix}").exists()]
        if missing:
            raise ImageReadError(
                f"{folder}: lacks {len(missing)} of {len(self.videos)} videos, the first {missing[0]}; "
                "complete the download or leave out their pairs"
            )


def evenly_spaced(total: int, count: int, name: str = "video") -> tuple[int, ...]:
    """Indices of the middles of ``count`` equal parts, ``floor((2k + 1) · total / (2 · count))``.

    The first and the last frame are avoided on purpose: many videos fade in, and containers often claim a
    frame more than can be decoded.

    Args:
        total: frames of the video.
        count: frames to take.
        name: of the video, for the message.

    Raises:
        ImageReadError: there are fewer than ``count`` frames.
    """
    if total < count:
        raise ImageReadError(
            f"{name}: has {total} frames, {count} are needed; check the file or ask for fewer"
        )
    return tuple((2 * k + 1) * total // (2 * count) for k in range(count))


def extracted(video: Path, folder: Path, count: int) -> tuple[Path, ...]:
    """Evenly spaced frames of a video as PNG files named by their frame number, written once.

    Args:
        video: a file OpenCV can decode.
        folder: for this video and this count alone; it appears complete or not at all.
        count: how many frames.

    Raises:
        ImageReadError: the video is missing, unreadable or too short.
        ImageWriteError: the folder cannot be written.
    """
    if not folder.is_dir():
        _extract(video, folder, count)
    pictures = tuple(sorted(folder.glob("*.png")))
    if len(pictures) != count:
        raise ImageReadError(
            f"{folder}: holds {len(pictures)} pictures instead of {count}; delete this folder to fill it anew"
        )
    return pictures


def read_entries(*files: Path) -> tuple[tuple[str, str], ...]:
    """The entries of the official ``train.json``, ``val.json`` and ``test.json``: ``[["071", "054"], …]``.

    Args:
        files: one or more, joined in order; all three together are the 1000 swaps of the published tables.

    Raises:
        ImageReadError: a file is missing, no JSON, or no list of pairs of three-digit names.
    """
    entries: list[tuple[str, str]] = []
    for path in files:
        try:
            content = json.loads(_lines(path))
        except ValueError as error:
            raise ImageReadError(
                f"{path}: is no JSON ({error}); take the data set's own pair file"
            ) from error
        well_formed = isinstance(content, list) and all(
            isinstance(entry, list) and len(entry) == 2 and all(_is_video(name) for name in entry)
            for entry in content
        )
        if not well_formed:
            raise ImageReadError(
                f'{path}: is no list of pairs like ["071", "054"]; take the data set\'s own file'
            )
        entries += [(first, second) for first, second in content]
    return tuple(entries)


def read_people(path: Path) -> dict[str, str]:
    """People in several videos: one group of video names per line, separated by spaces or commas.

    The published tables merge the 1000 videos to 889 people. Text after ``#`` is a remark.

    Returns:
        Video → person; a person is called by the first video of the line.

    Raises:
        ImageReadError: missing, a name that is none, or a video in two groups.
    """
    people: dict[str, str] = {}
    for number, line in enumerate(_lines(path).splitlines(), start=1):
        group = line.split("#")[0].replace(",", " ").split()
        for video in group:
            if not _is_video(video):
                raise ImageReadError(
                    f"{path}, line {number}: {video!r} is no video name; write three digits, 071"
                )
            if video in people:
                raise ImageReadError(
                    f"{path}, line {number}: {video} stands twice; join its groups on one line"
                )
            people[video] = group[0]
    return people


def _is_video(name: object) -> bool:
    return isinstance(name, str) and _VIDEO.fullmatch(name) is not None


def _lines(path: Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageReadError(f"{path}: cannot be read ({reason}); check the path") from error


def _extract(video: Path, folder: Path, count: int) -> None:
    """Fills a hidden folder and renames it: an interrupted run leaves no part of one."""
    pictures = _decode(video, count)
    # Not tempfile: its folders are closed to everybody else.
    part = folder.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.mkdir(parents=True)
        for index, pixels in pictures.items():
            write_photo(part / f"{index:04d}.png", pixels, mark=False)
        part.rename(folder)
    except OSError as error:
        # Another run may have filled it in the meantime.
        if not folder.is_dir():
            raise ImageWriteError(
                f"{folder}: cannot be written ({error.strerror or error}); choose another cache folder"
            ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _decode(video: Path, count: int) -> dict[int, np.ndarray]:
    """Frame number → uint8 RGB ``[H, W, 3]``."""
    if not video.is_file():
        raise ImageReadError(f"{video}: does not exist; complete the download or leave out its pairs")
    length = _claimed_length(video)
    frames = _read(video, evenly_spaced(length, count, str(video))) if length >= count else {}
    if len(frames) < count:
        # Fewer frames in the stream than the container states: count them.
        with _capture(video) as capture:
            length = sum(1 for _ in iter(capture.grab, False))
        frames = _read(video, evenly_spaced(length, count, str(video)))
    return frames


def _claimed_length(video: Path) -> int:
    """Frames that the container states; 0 where it states none."""
    with _capture(video) as capture:
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)


@contextlib.contextmanager
def _capture(video: Path) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(str(video))
    try:
        if not capture.isOpened():
            raise ImageReadError(
                f"{video}: OpenCV cannot open this video; check the file, or download it again"
            )
        yield capture
    finally:
        capture.release()


def _read(video: Path, indices: Iterable[int]) -> dict[int, np.ndarray]:
    """The frames of these ascending indices, as far as the stream goes."""
    frames: dict[int, np.ndarray] = {}
    position = -1
    with _capture(video) as capture:
        for index in indices:
            # Frame by frame: seeking lands on a neighbour in many videos with predicted frames.
            while position < index and capture.grab():
                position += 1
            decoded, pixels = capture.retrieve() if position == index else (False, None)
            if not decoded or pixels is None:
                break
            frames[index] = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    return frames
