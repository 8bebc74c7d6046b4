"""Read a video file, safely: first step of a clip's road, before ``tracking``.

Only ordinary local files in formats of an allow-list are opened, and FFmpeg may open nothing else from
inside them: playlists, which name other files and addresses, are refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_swap.errors import MissingDependencyError, VideoReadError
from stylegan_swap.images.decode import check_size, pixel_limit
from stylegan_swap.video.colour import FULL_RANGE, LIMITED_RANGE, Planes, Tags
from stylegan_swap.video.frame import Frame
from stylegan_swap.video.orientation import Orientation
from stylegan_swap.video.packets import DamagedPacketError, decoded_frames

#: FFmpeg's demuxers that read one file and nothing else.
DEMUXERS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo"),
    *("flv", "asf", "ogg", "nut", "gif", "apng", "ivf", "h264", "hevc", "m4v", "mxf", "dv"),
)
_TRANSPARENCY = "transparency was dropped: video is written without"
_DISPLAY_MATRIX = "DISPLAYMATRIX"
# What is hashed of each end of the file to know it again.
_SAMPLE = 1 << 20


def video_library() -> Any:
    """The package PyAV.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(f"PyAV cannot be imported ({error}): pip install av") from error
    # FFmpeg's own messages would print into the progress bar; what matters comes as an error.
    av.logging.set_libav_level(av.logging.PANIC)
    return av


def ffmpeg_errors() -> tuple[type[Exception], ...]:
    """What PyAV raises when FFmpeg fails: some of its errors are Python's own, some only its base class's."""
    return (OSError, ValueError, RuntimeError, LookupError, EOFError, video_library().FFmpegError)


def file_address(path: Path) -> str:
    """A path as FFmpeg takes it for nothing but a file: a bare "tcp:host.mp4" would be a connection."""
    return f"file:{path.resolve()}"


def open_input(path: Path) -> Any:
    """Open a container for reading, with everything but this one file out of reach.

    Raises:
        VideoReadError: missing, not an ordinary file, empty, damaged, or of no format that is read.
    """
    checked_file(path)
    av = video_library()
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(DEMUXERS)}
    try:
        container = av.open(file_address(path), options=options)
    except ffmpeg_errors() as error:
        raise VideoReadError(
            f"{path}: no video that can be read ({reason_of(error)}): a damaged file, a playlist, or a "
            "format that is not read; give one video file such as .mp4, .mov, .mkv or .webm"
        ) from error
    if not set(container.format.name.split(",")) & set(DEMUXERS):
        container.close()
        raise VideoReadError(f"{path}: the format {container.format.name!r} is not read; convert it to .mp4")
    return container


def checked_file(path: Path) -> Path:
    """Refuse what is not an ordinary file with something in it.

    Raises:
        VideoReadError: says what it is instead.
    """
    if "://" in str(path) or str(path).startswith(("http:/", "https:/", "rtmp:/", "rtsp:/", "ftp:/")):
        raise VideoReadError(f"{path}: is an address, not a file; download the clip first")
    try:
        status = path.stat()
    except FileNotFoundError:
        raise VideoReadError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise VideoReadError(f"{str(path)[:200]!r}: is no usable path ({reason_of(error)})") from error
    if not stat.S_ISREG(status.st_mode):
        raise VideoReadError(f"{path}: is not an ordinary file; copy the clip to one")
    if status.st_size == 0:
        raise VideoReadError(f"{path}: the file is empty; copy or download it again")
    return path


def main_stream(container: Any, name: str) -> Any:
    """The video stream that is swapped: the first that is no cover picture.

    Raises:
        VideoReadError: there is none.
    """
    for stream in container.streams.video:
        if not is_cover(stream):
            return stream
    raise VideoReadError(f"{name}: holds no video; give a clip with a picture")


def exact_seconds(value: float) -> Fraction:
    """The decimal number meant: 0.4 is two fifths, not the nearest binary number, which lies above."""
    return Fraction(value).limit_denominator(1_000_000)


def is_cover(stream: Any) -> bool:
    """Whether a video stream is only a picture that belongs to the file."""
    return bool(int(stream.disposition) & 0x400)


class VideoClip:
    """A video file as frames; see ``Clip``.

    Args:
        path: the file.
        start: seconds from the clip's first frame at which to begin.
        end: seconds at which to stop (that frame is left out); None reads to the end.

    Raises:
        VideoReadError: it cannot be read, is of high dynamic range, or has no frames between start and end.
        ImageReadError: its frames are larger than ``STYLEGAN_SWAP_MAX_PIXELS``.
    """

    def __init__(self, path: Path, *, start: float = 0.0, end: float | None = None) -> None:
        self.path, self.name = path, str(path)
        self.notes: list[str] = []
        self._start, self._end = exact_seconds(start), None if end is None else exact_seconds(end)
        with contextlib.closing(open_input(path)) as container:
            stream = main_stream(container, self.name)
            context = stream.codec_context
            if context is None:
                raise VideoReadError(
                    f"{self.name}: its picture is of a codec that is not known; convert the clip to H.264"
                )
            check_size(context.width, context.height, self.name, pixel_limit())
            self.time_base = Fraction(stream.time_base)
            self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
            self.frame_count = self._expected_frames(container, stream)
            self.metadata = dict(container.metadata)
            self._learn(self._first_frame(container, stream), stream)
        # The first frame wanted, which sets the origin of time.
        with contextlib.closing(self._decoded(self._origin, self._start)) as frames:
            first = next(frames, None)
        if first is None:
            raise VideoReadError(f"{self.name}: no frames between start and end; the clip ends before")
        self.first_pts: int = first[0]

    def frames(self, first: int = 0, pts: int | None = None) -> Iterator[Frame]:
        """See ``Clip.frames``."""
        if pts is not None and first > 0 and self._timed:
            # A jump into the middle is only trusted if it meets the frame that is expected there.
            target = (Fraction(pts) - self._origin) * self.time_base
            with contextlib.closing(self._decoded(self._origin, target)) as jumped:
                frame = next(jumped, None)
                if frame is not None and frame[0] == pts:
                    yield self._frame(first, *frame)
                    for number, entry in enumerate(jumped, first + 1):
                        yield self._frame(number, *entry)
                    return
        with contextlib.closing(self._decoded(self._origin, self._start)) as decoded:
            for number, entry in enumerate(decoded):
                if number >= first:
                    yield self._frame(number, *entry)

    def fingerprint(self) -> dict[str, object]:
        """See ``Clip.fingerprint``."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            ends = file.read(_SAMPLE)
            file.seek(max(0, size - _SAMPLE))
            ends += file.read(_SAMPLE)
        end = None if self._end is None else str(self._end)
        digest = hashlib.sha256(ends).hexdigest()
        return {"bytes": size, "sha256_of_ends": digest, "start": str(self._start), "end": end}

    def _expected_frames(self, container: Any, stream: Any) -> int | None:
        length = stream.duration * self.time_base if stream.duration else None
        if length is None and container.duration:
            length = Fraction(container.duration, 1_000_000)
        if length is None:
            return stream.frames or None
        last = length if self._end is None else min(length, self._end)
        return max(1, round((last - self._start) * self.rate))

    def _first_frame(self, container: Any, stream: Any) -> Any:
        reason = None
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except ffmpeg_errors() as error:
                    reason = reason or error
                    continue
                if frames:
                    return frames[0]
        except ffmpeg_errors() as error:
            reason = reason or error
        if reason is not None:
            raise VideoReadError(
                f"{self.name}: no frame can be decoded ({reason_of(reason)}); convert it again"
            ) from reason
        raise VideoReadError(f"{self.name}: holds no frames; copy or download it again")

    def _learn(self, frame: Any, stream: Any) -> None:
        """Everything that must hold for the whole clip, from its first frame."""
        self._origin = _pts(frame, 0)
        # Where frames have no times, a jump could not tell where it landed.
        self._timed = frame.pts is not None
        self._stored_size = (frame.width, frame.height)
        self._format = frame.format.name
        self.orientation = Orientation()
        for entry in frame.side_data:
            if getattr(entry.type, "name", str(entry.type)) == _DISPLAY_MATRIX:
                self.orientation, exact = Orientation.of_matrix(bytes(entry))
                if not exact:
                    self.notes.append("the clip is shown at an odd angle; the nearest right angle was taken")
        self.tags = self._read_tags(frame, stream.codec_context)
        self._stored_tags = self.tags
        if _stores_rgb(frame):
            self.tags = self.tags.of_rgb()
        width, height = frame.width + frame.width % 2, frame.height + frame.height % 2
        if (width, height) != self._stored_size:
            self.notes.append(
                f"{frame.width} × {frame.height} pixels: a row or column was added, video needs even sides"
            )
        shape = Fraction(stream.sample_aspect_ratio or 1)
        turned = self.orientation.transposed
        self.size: tuple[int, int] | None = (height, width) if turned else (width, height)
        self.pixel_shape = 1 / shape if turned and shape else shape or Fraction(1)
        if frame.interlaced_frame:
            self.notes.append("the clip is interlaced; its frames were taken as they are")
        if getattr(frame.format.components[0], "bits", 8) > 8:
            self.notes.append("more than 8 bits per colour were reduced to 8")
        # WebM keeps the transparency of VP8 and VP9 beside the picture, where the decoder leaves it.
        tracks = {key.lower(): value for key, value in stream.metadata.items()}
        self._note_transparency(frame, beside=tracks.get("alpha_mode") == "1")

    def _note_transparency(self, frame: Any, *, beside: bool = False) -> None:
        if _TRANSPARENCY not in self.notes and (beside or _is_transparent(frame)):
            self.notes.append(_TRANSPARENCY)

    def _read_tags(self, frame: Any, context: Any) -> Tags:
        def known(name: str, empty: tuple[int, ...]) -> int:
            value = int(getattr(frame, name))
            return int(getattr(context, name)) if value in empty else value

        wide = max(frame.width, frame.height) >= 1280 or min(frame.width, frame.height) >= 720
        levels = known("color_range", (0,))
        if frame.format.name.startswith("yuvj"):
            levels = FULL_RANGE
        tags = Tags(
            known("colorspace", (2,)),
            levels,
            known("color_primaries", (0, 2)),
            known("color_trc", (0, 2)),
            wide,
        )
        if tags.hdr:
            raise VideoReadError(
                f"{self.name}: is of high dynamic range, {tags.hdr}; faces are swapped in standard range "
                "only: convert the clip to SDR (BT.709) first, for example by FFmpeg's tonemap filter"
            )
        if not tags.known:
            raise VideoReadError(
                f"{self.name}: its colours are stored by matrix {tags.matrix} of H.273, which is not "
                "supported; convert the clip to BT.709 first"
            )
        return tags

    def _decoded(self, origin: int, start: Fraction) -> Generator[tuple[int, Any, int], None, None]:
        """Every frame from ``start`` seconds after the origin on: its time, and how many are missing before.

        What is missing after the last frame is added to the last.
        """
        delivered_count = 0
        for threads in (True, False):
            # Several threads lose the neighbours of a damaged packet: from there on, one reads.
            with (
                contextlib.suppress(DamagedPacketError),
                contextlib.closing(self._held_back(origin, start, threads=threads)) as frames,
            ):
                for number, entry in enumerate(frames):
                    if number >= delivered_count:
                        delivered_count += 1
                        yield entry
                return

    def _held_back(
        self, origin: int, start: Fraction, *, threads: bool
    ) -> Generator[tuple[int, Any, int], None, None]:
        """Each frame after the next is known, so that the last can tell what is missing after it."""
        latest: tuple[int, Any, int] | None = None
        with contextlib.closing(self._read(origin, start, threads=threads)) as frames:
            for pts, frame, missing in frames:
                if frame is None:
                    latest = None if latest is None else (*latest[:2], latest[2] + missing)
                    continue
                if latest is not None:
                    yield latest
                latest = pts, frame, missing
        if latest is not None:
            yield latest

    def _read(
        self, origin: int, start: Fraction, *, threads: bool
    ) -> Generator[tuple[int, Any, int], None, None]:
        """As ``_decoded``; with an entry without frame at the end.

        Raises:
            VideoReadError: the file cannot be read any further.
            DamagedPacketError: with ``threads``, a packet is damaged.
        """
        with contextlib.closing(open_input(self.path)) as container:
            stream = main_stream(container, self.name)
            last: int | None = None
            if start > 0 and self._timed:
                # A clip that cannot jump is read from its beginning.
                with contextlib.suppress(*ffmpeg_errors()):
                    container.seek(int(origin + start / self.time_base), stream=stream, backward=True)
            step = max(1, round(1 / (self.rate * self.time_base)))
            earliest = origin + start / self.time_base
            latest = None if self._end is None else origin + self._end / self.time_base
            frames = decoded_frames(container, stream, failures=ffmpeg_errors(), threads=threads)
            while True:
                try:
                    decoded = next(frames)
                except ffmpeg_errors() as error:
                    at = 0.0 if last is None else float((last - origin) * self.time_base)
                    raise VideoReadError(
                        f"{self.name}: is damaged {at:.2f} seconds after its start ({reason_of(error)}) and "
                        "cannot be read any further; copy or convert it again, or swap what lies before "
                        "with --end"
                    ) from error
                frame, missing = decoded.frame, decoded.missing(earliest if start > 0 else None, latest)
                if frame is None:
                    yield 0, None, missing
                    return
                # Where frames have no times, a missing one leaves its own free.
                pts = _pts(frame, origin if last is None else last + step * (1 + decoded.untimed))
                if last is not None and pts <= last:
                    pts = last + 1
                last = pts
                if pts < earliest:
                    continue
                if latest is not None and pts >= latest:
                    yield 0, None, missing if decoded.gaps else 0
                    return
                yield pts, frame, missing

    def _frame(self, number: int, pts: int, frame: Any, missing: int) -> Frame:
        if (frame.width, frame.height) != self._stored_size:
            raise VideoReadError(
                f"{self.name}: the picture changes its size at frame {number}, from {self._stored_size} to "
                f"{(frame.width, frame.height)}; cut the clip there with --start and --end"
            )
        time = float((pts - self.first_pts) * self.time_base)
        self._note_transparency(frame)
        planes, duration = self._planes(frame), int(frame.duration or 0)
        return Frame(number, pts, duration, time, planes, self.tags, missing=missing)

    def _planes(self, frame: Any) -> Planes:
        if frame.format.name not in ("yuv420p", "yuvj420p"):
            stored = _swscale_matrix(self._stored_tags)
            written = _swscale_matrix(self.tags)
            full, format_name = (
                FULL_RANGE if tags.full else LIMITED_RANGE for tags in (self._stored_tags, self.tags)
            )
            frame = frame.reformat(
                format="yuv420p",
                src_colorspace=stored,
                dst_colorspace=written,
                src_color_range=FULL_RANGE if _stores_rgb(frame) else full,
                dst_color_range=format_name,
            )
        y, u, v = (self.orientation.upright(_array(plane)) for plane in frame.planes[:3])
        padding = [(0, 2 * u.shape[axis] - y.shape[axis]) for axis in (0, 1)]
        return Planes(np.pad(y, padding, mode="edge"), u, v)


def _array(plane: Any) -> np.ndarray:
    """The values of a plane without the padding at the end of its lines."""
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width]


def _pts(frame: Any, otherwise: int) -> int:
    return int(otherwise if frame.pts is None else frame.pts)


def _stores_rgb(frame: Any) -> bool:
    name = frame.format.name
    return bool(frame.format.is_rgb) or name.startswith(("gray", "pal", "mono", "gbr", "ya"))


def _is_transparent(frame: Any) -> bool:
    """Whether a frame has pixels that are not opaque."""
    if not any(component.is_alpha for component in frame.format.components) and frame.format.name != "pal8":
        return False
    return bool(frame.to_ndarray(format="rgba")[..., 3].min() < 255)


def _swscale_matrix(tags: Tags) -> int:
    """The nearest of the matrices FFmpeg's scaler knows, in its own numbers."""
    # SWS_CS_*: 1 is BT.709, 4 FCC, 5 BT.601, 7 SMPTE 240M, 9 BT.2020.
    return {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}.get(tags.matrix, 1 if tags.high_definition else 5)


def reason_of(error: BaseException) -> str:
    """What FFmpeg or the system says, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
