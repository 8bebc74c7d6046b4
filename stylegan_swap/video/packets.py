"""Decode a stream packet by packet: a damaged packet costs its frames and no others. Used by ``reading``.

FFmpeg reports a packet it cannot decode as an error, or, as for HEVC, drops frames without one. Both are
counted, so that a run can say how many frames are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from stylegan_swap.errors import StyleganSwapError

# Codecs in which every packet is one frame that is shown, unless it is interlaced: a packet's time without a
# frame is a frame that is missing. VP8 and others have packets that are never shown.
_FRAME_PER_PACKET = ("h264", "hevc", "av1", "libdav1d", "libaom-av1")


class DecodedFrame(NamedTuple):
    """A frame of FFmpeg and its surroundings.

    Attributes:
        frame: PyAV's; None after the last.
        gaps: times of frames that are missing before it, in units of the stream.
        untimed: damaged packets since the frame before whose time is not known.
    """

    frame: Any
    gaps: list[int]
    untimed: int

    def missing(self, earliest: Fraction | None, latest: Fraction | None) -> int:
        """Frames missing before this one whose times lie from ``earliest`` up to ``latest``."""
        return self.untimed + sum(
            (earliest is None or gap >= earliest) and (latest is None or gap < latest) for gap in self.gaps
        )


class DamagedPacketError(StyleganSwapError):
    """A packet could not be decoded by several threads, which lose its neighbours too: read it with one."""


def decoded_frames(
    container: Any, stream: Any, *, failures: tuple[type[Exception], ...], threads: bool
) -> Iterator[DecodedFrame]:
    """Every frame of a stream in the order it is shown; an entry without frame ends it.

    ``container`` and ``stream`` are PyAV's, ``failures`` what PyAV raises when FFmpeg fails.

    Raises:
        DamagedPacketError: with ``threads``, a packet cannot be decoded. Without, decoding goes on.
        One of ``failures``: the container itself cannot be read any further.
    """
    stream.thread_type = "AUTO" if threads else "NONE"
    if not threads:
        stream.codec_context.thread_count = 1
    countable = stream.codec_context.name in _FRAME_PER_PACKET
    # Times of packets that have given no frame yet, and whether the decoder refused them.
    pending: dict[int, bool] = {}
    untimed, has_frame = 0, False
    for packet in container.demux(stream):
        timed = bool(packet.size) and packet.pts is not None and not packet.is_discard
        if timed:
            pending[packet.pts] = False
        try:
            frames = packet.decode()
        except failures as error:
            if threads:
                raise DamagedPacketError(str(error)) from error
            if timed:
                pending[packet.pts] = True
            elif packet.size:
                untimed += 1
            continue
        for frame in frames:
            # Two packets may be the fields of one interlaced frame.
            countable = countable and not frame.interlaced_frame
            gaps: list[int] = []
            if frame.pts is not None:
                # What a clip cut out of another lacks before its first frame is no damage.
                is_damage = countable and has_frame
                gaps = [
                    time for time, refused in pending.items() if time < frame.pts and (is_damage or refused)
                ]
                pending = {time: refused for time, refused in pending.items() if time > frame.pts}
            yield DecodedFrame(frame, gaps, untimed)
            untimed, has_frame = 0, True
    if threads and pending and not countable:
        # Threads tell no error of the last packets.
        raise DamagedPacketError("the last packets gave no frame")
    yield DecodedFrame(None, [time for time, refused in pending.items() if countable or refused], untimed)
