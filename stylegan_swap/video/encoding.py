"""Write swapped frames as one segment of video: a file in the work folder, before ``joining``.

Every segment begins with a key frame and is encoded by a fresh encoder with a fixed number of threads, so a
run that was stopped and went on gives the very same file.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_swap.errors import UnsupportedOptionError, VideoWriteError
from stylegan_swap.provenance.watermark import embed_in_luma
from stylegan_swap.video.colour import Planes, replaced
from stylegan_swap.video.frame import Clip, Frame
from stylegan_swap.video.reading import ffmpeg_errors, file_address, reason_of, video_library

# Not the machine's number: the encoders' output depends on it.
_THREADS = 4


@dataclass(frozen=True)
class Codec:
    """An encoder of FFmpeg and how this library drives it.

    Attributes:
        encoder: FFmpeg's name.
        crf: quality unless another is asked for; lower is better.
        options: fixed options. B-frames are off: frames are stored in the order they are shown, so
            segments can be joined and every timestamp kept, whatever the frame rate does.
        suffixes: of files that may hold it.
    """

    encoder: str
    crf: int | None
    options: dict[str, str] = field(default_factory=dict)
    suffixes: tuple[str, ...] = (".mp4", ".m4v", ".mov", ".mkv")


CODECS = {
    "h264": Codec("libx264", 18, {"preset": "medium", "bf": "0"}),
    "hevc": Codec("libx265", 20, {"preset": "medium", "x265-params": "bframes=0:log-level=none"}),
    "vp9": Codec(
        "libvpx-vp9",
        24,
        {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "auto-alt-ref": "0"},
        (".webm", ".mkv", ".mp4"),
    ),
    "ffv1": Codec("ffv1", None, {"level": "3", "slices": "4", "slicecrc": "1"}, (".mkv",)),
}


@dataclass(frozen=True)
class Encoding:
    """How a clip is encoded.

    Attributes:
        codec: a name of ``CODECS``.
        crf: quality; None takes the codec's own.
    """

    codec: str = "h264"
    crf: int | None = None

    @classmethod
    def chosen(cls, output: Path, codec: str | None, crf: int | None) -> Encoding:
        """Check what was asked for against the output's suffix.

        Raises:
            UnsupportedOptionError: there is no such codec, it does not go into such a file, or it has no
                such quality.
        """
        suffix = output.suffix.lower()
        name = codec or ("vp9" if suffix == ".webm" else "h264")
        if name not in CODECS:
            raise UnsupportedOptionError(f"unknown video codec {name!r}: choose {', '.join(CODECS)}")
        if suffix not in CODECS[name].suffixes:
            raise UnsupportedOptionError(
                f"{output}: {name} is not written into {suffix}; use {' or '.join(CODECS[name].suffixes)}, "
                "or another codec"
            )
        if crf is not None and CODECS[name].crf is None:
            raise UnsupportedOptionError(f"{name} is lossless and has no quality to choose: leave crf out")
        if crf is not None and not 0 <= crf <= (63 if name == "vp9" else 51):
            raise UnsupportedOptionError(
                f"crf runs from 0 (best) to {63 if name == 'vp9' else 51}, got {crf}"
            )
        return cls(name, crf)

    def options(self) -> dict[str, str]:
        """What the encoder is told."""
        codec = CODECS[self.codec]
        crf = codec.crf if self.crf is None else self.crf
        return dict(codec.options) | ({} if crf is None else {"crf": str(crf)})


class SegmentEncoder:
    """Encodes one segment; a context manager.

    Args:
        path: of the segment, in FFmpeg's NUT format, which keeps every time base exactly.
        clip: what the frames come from.
        encoding: how.
        mark: whether swapped frames get the watermark, in their luma.

    Raises:
        VideoWriteError: the disk is full, or the encoder refuses the picture.
    """

    def __init__(self, path: Path, clip: Clip, encoding: Encoding, *, mark: bool) -> None:
        av = video_library()
        self.path, self._clip, self._library, self._mark = path, clip, av, mark
        assert clip.size is not None
        try:
            self._container: Any = av.open(file_address(path), "w", format="nut")
            stream = self._container.add_stream(CODECS[encoding.codec].encoder, rate=clip.rate)
            stream.options = encoding.options()
            stream.width, stream.height = clip.size
            stream.pix_fmt = "yuv420p"
            stream.time_base = clip.time_base
            context = stream.codec_context
            context.time_base = clip.time_base
            context.thread_count = _THREADS
            context.sample_aspect_ratio = clip.pixel_shape
            tags = clip.tags
            context.colorspace, context.color_range = tags.matrix, tags.range
            context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        except ffmpeg_errors() as error:
            raise VideoWriteError(
                f"{path}: cannot be written ({reason_of(error)}); free some space"
            ) from error
        self._stream = stream

    def write(self, frame: Frame, pixels: np.ndarray | None, mask: np.ndarray | None) -> None:
        """Append a frame.

        Args:
            frame: as it was read.
            pixels: the swapped frame, uint8 RGB ``[H, W, 3]``; None passes the frame on as it was.
            mask: where it differs from the frame, ``[H, W]``; None anywhere.
        """
        if frame.planes is None:
            fresh = frame.pixels if pixels is None else pixels
            planes = replaced(Planes(*(np.empty((0, 0), np.uint8),) * 3), even(fresh), None, frame.tags)
        elif pixels is None:
            planes = frame.planes
        else:
            planes = replaced(frame.planes, pixels, mask, frame.tags)
        if pixels is not None and self._mark:
            planes = planes._replace(y=embed_in_luma(planes.y, limited=not frame.tags.full))
        height, width = planes.y.shape
        stacked = np.concatenate([plane.reshape(-1) for plane in planes]).reshape(height * 3 // 2, width)
        picture = self._library.VideoFrame.from_ndarray(stacked, format="yuv420p")
        picture.pts, picture.time_base = frame.pts, self._clip.time_base
        tags = frame.tags
        picture.colorspace, picture.color_range = tags.matrix, tags.range
        self._encode(picture)

    def close(self) -> None:
        """Write what the encoder still holds.

        Raises:
            VideoWriteError: the disk is full.
        """
        self._encode(None)
        try:
            # The last of the data reaches the disk here, and with it the news that the disk is full.
            self._container.close()
        except ffmpeg_errors() as error:
            raise self._failed(error) from error

    def discard(self) -> None:
        """Stop without finishing the file."""
        with contextlib.suppress(*ffmpeg_errors()):
            self._container.close()
        self.path.unlink(missing_ok=True)

    def _encode(self, picture: Any) -> None:
        try:
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
        except ffmpeg_errors() as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> VideoWriteError:
        return VideoWriteError(
            f"{self.path}: cannot be written ({reason_of(error)}); free some space, or use another codec; "
            "the same command goes on from the segments that are kept"
        )


def even(pixels: np.ndarray) -> np.ndarray:
    """The picture with its last row or column repeated where a side is odd: video needs even sides."""
    return np.pad(pixels, [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)], mode="edge")
