"""A folder of pictures as a clip, and back: what other programs exchange instead of video files."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from stylegan_swap.errors import ImageWriteError, VideoReadError
from stylegan_swap.images.photo import (
    Photo,
    read_photo,
)
from stylegan_swap.provenance.photo_file import (
    WRITABLE,
    write_photo,
)
from stylegan_swap.provenance.watermark import Kind
from stylegan_swap.video.colour import LIMITED_RANGE, Tags
from stylegan_swap.video.frame import Frame
from stylegan_swap.video.reading import exact_seconds

_READ = (*WRITABLE, ".bmp", ".avif")


class FolderClip:
    """Pictures in the order of their names, numbers in them counted as numbers; see ``Clip``.

    Args:
        path: the folder.
        rate: frames per second.
        start: seconds at which to begin.
        end: seconds at which to stop; None takes all.

    Raises:
        VideoReadError: the folder holds no pictures, or none between start and end.
    """

    def __init__(
        self, path: Path, *, rate: Fraction = Fraction(25), start: float = 0.0, end: float | None = None
    ) -> None:
        self.path, self.name, self.rate = path, str(path), rate
        self.time_base = 1 / rate
        self.notes: list[str] = []
        try:
            children = [
                child for child in path.iterdir() if child.suffix.lower() in _READ and child.is_file()
            ]
        except OSError as error:
            raise VideoReadError(f"{path}: cannot be read ({error.strerror}); check the folder") from error
        pictures = sorted(
            (child for child in children if not child.name.startswith(".")),
            key=lambda child: natural(child.name),
        )
        if not pictures:
            raise VideoReadError(f"{path}: holds no pictures ({', '.join(_READ)}); give a folder of frames")
        picture_files = [
            (number, picture)
            for number, picture in enumerate(pictures)
            if number * self.time_base >= exact_seconds(start)
            and (end is None or number * self.time_base < exact_seconds(end))
        ]
        if not picture_files:
            raise VideoReadError(f"{path}: no frames between start and end; the clip ends before")
        self.first_pts = picture_files[0][0]
        self.pictures = [one for _, one in picture_files]
        self.frame_count: int | None = len(picture_files)
        self.size: tuple[int, int] | None = None
        self.pixel_shape = Fraction(1)
        self.tags = Tags(1, LIMITED_RANGE, 1, 1, True)

    def require_one_size(self) -> None:
        """For a video all pictures must be as large as the first; sets ``size``, with even sides."""
        first = self._read(0)
        height, width = first.pixels.shape[:2]
        self.size = (width + width % 2, height + height % 2)

    def frames(self, first: int = 0, pts: int | None = None) -> Iterator[Frame]:
        """See ``Clip.frames``."""
        for number in range(first, len(self.pictures)):
            photo = self._read(number)
            if self.size is not None:
                height, width = photo.pixels.shape[:2]
                if (width + width % 2, height + height % 2) != self.size:
                    raise VideoReadError(
                        f"{photo.name}: is {width} × {height} pixels, the frames before are not; a video "
                        "needs pictures of one size"
                    )
            yield Frame(
                number,
                self.first_pts + number,
                1,
                float(number * self.time_base),
                tags=self.tags,
                picture=photo.pixels,
                alpha=photo.alpha,
                name=self.pictures[number].name,
            )

    def fingerprint(self) -> dict[str, object]:
        """See ``Clip.fingerprint``."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            status = picture.stat()
            digest.update(f"{picture.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        return {"pictures": len(self.pictures), "sha256_of_names": digest.hexdigest(), "rate": str(self.rate)}

    def _read(self, number: int) -> Photo:
        return read_photo(self.pictures[number])


class PictureSegment:
    """Writes one segment as pictures into a folder of its own.

    Args:
        path: the folder, created here.
        mark: whether the pictures say that AI was used.

    Raises:
        ImageWriteError: the folder cannot be created.
    """

    def __init__(self, path: Path, *, mark: bool) -> None:
        self.path, self._mark = path, mark
        # What a killed run left is written again.
        shutil.rmtree(path, ignore_errors=True)
        try:
            path.mkdir()
        except OSError as error:
            raise ImageWriteError(
                f"{path}: the folder cannot be created ({error.strerror}); free some space"
            ) from error

    def write(self, frame: Frame, pixels: np.ndarray | None, mask: np.ndarray | None) -> None:
        """Write a frame under the name it had, or under its number.

        Raises:
            ImageWriteError: the disk is full.
        """
        name = written_name(frame)
        swapped = pixels is not None
        write_photo(
            self.path / name,
            np.ascontiguousarray(frame.pixels if pixels is None else pixels),
            alpha=frame.alpha,
            mark=self._mark and swapped,
            result=Kind.SWAP if swapped else None,
        )

    def close(self) -> None:
        """Nothing waits."""

    def discard(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self.path, ignore_errors=True)


def written_name(frame: Frame) -> str:
    """The file name of a frame in a folder of frames."""
    if not frame.name:
        return f"frame-{frame.number:06d}.png"
    path = Path(frame.name)
    return path.name if path.suffix.lower() in WRITABLE else f"{path.name}.png"


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts frame9 before frame10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", name)]


def assemble(segments: list[Path], output: Path, gathered: Path) -> None:
    """Make one folder of the segments' folders.

    Args:
        segments: in order.
        output: appears whole if it did not exist; its files are replaced one by one if it did.
        gathered: a folder on the same disk that serves meanwhile.

    Raises:
        ImageWriteError: the folder cannot be written.
    """
    try:
        gathered.mkdir(exist_ok=True)
        for segment in segments:
            for picture in segment.iterdir():
                picture.replace(gathered / picture.name)
        if not output.exists():
            gathered.replace(output)
            return
        for picture in gathered.iterdir():
            picture.replace(output / picture.name)
    except OSError as error:
        raise ImageWriteError(
            f"{output}: cannot be written ({error.strerror}); change its permissions or choose another folder"
        ) from error
