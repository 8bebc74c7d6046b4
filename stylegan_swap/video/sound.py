"""Sound that a container cannot hold, encoded anew; used by ``joining``, which copies all other sound."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.video.reading import ffmpeg_errors, open_input, video_library

#: What may be asked for: copied where the container holds it and encoded otherwise, always encoded, left out.
AUDIO = ("copy", "encode", "none")
# Samples per second that AAC takes (ISO/IEC 14496-3, table 1.18); Opus is always written with 48000.
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
# Bits per second and channel.
_BIT_RATE = 96_000
# Seconds without sound that are filled with silence; less is rounding of times.
_GAP = Fraction(1, 20)


def check_audio(audio: str) -> str:
    """What ``audio=`` says, if it is one of ``AUDIO``.

    Raises:
        UnsupportedOptionError: it is not.
    """
    if audio not in AUDIO:
        raise UnsupportedOptionError(f"audio is one of {', '.join(AUDIO)}, got {audio!r}")
    return audio


def holds(kind: str, path: Path, index: int) -> bool:
    """Whether a container of FFmpeg's format ``kind`` takes track ``index`` of a clip: tried in memory."""
    av = video_library()
    with contextlib.closing(open_input(path)) as source:
        stream = source.streams[index]
        try:
            with av.open(io.BytesIO(), "w", format=kind) as target:
                copy = target.add_stream_from_template(stream)
                copy.time_base = stream.time_base
                target.start_encoding()
                # Some formats refuse a codec only with its first packet.
                for packet in source.demux(stream):
                    if packet.size and packet.pts is not None:
                        packet.dts = packet.pts
                        packet.stream = copy
                        target.mux(packet)
                        break
        except ffmpeg_errors():
            return False
    return True


class SoundEncoder:
    """Encodes one track of sound for a new file: Opus for WebM, AAC for all others.

    Args:
        target: PyAV's container, before its header is written.
        stream: the track.
        kind: FFmpeg's name of the container's format.
    """

    def __init__(self, target: Any, stream: Any, kind: str) -> None:
        self.name = "libopus" if kind == "webm" else "aac"
        rate = stream.rate if self.name == "aac" and stream.rate in _AAC_RATES else 48000
        channels = stream.layout.nb_channels
        layout = _LAYOUTS.get(channels, "stereo")
        self.stream = target.add_stream(self.name, rate=rate, layout=layout)
        self.stream.bit_rate = _BIT_RATE * self.stream.codec_context.channels
        self._library, self._known = video_library(), _LAYOUTS.get(channels)
        # When the newest frame of the old track ends, and the newest written.
        self._next: Fraction | None = None
        self._end: Fraction | None = None

    def __call__(
        self, packet: Any, since: Fraction, until: Fraction | None, origin: Fraction
    ) -> Iterator[Any]:
        """Packets of the new track for a packet of the old; an empty packet gives what is left.

        What lies before ``since`` and from ``until`` on is left out; times, in seconds, count from
        ``origin``.
        """
        try:
            frames = packet.decode()
        except ffmpeg_errors():
            frames = []  # A damaged packet becomes silence.
        for frame in frames:
            time = self._time(frame, packet)
            self._next = time + Fraction(frame.samples, frame.sample_rate)
            if time < since or (until is not None and time >= until):
                continue
            if self._end is not None and time - self._end > _GAP:
                yield from self._encode(self._silence(frame, time - self._end), self._end - origin)
            elif self._end is not None:
                time = self._end
            self._end = time + Fraction(frame.samples, frame.sample_rate)
            yield from self._encode(frame, time - origin)
        if packet.size == 0:
            yield from self.stream.encode(None)

    def _time(self, frame: Any, packet: Any) -> Fraction:
        if frame.pts is not None and frame.time_base is not None:
            return Fraction(frame.pts * Fraction(frame.time_base))
        # Several frames of one packet: only the first has a time.
        if self._next is not None:
            return self._next
        return Fraction(packet.pts or 0) * Fraction(packet.time_base or 0)

    def _encode(self, frame: Any, time: Fraction) -> Any:
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(time * frame.sample_rate)
        return self.stream.encode(frame)

    def _silence(self, like: Any, seconds: Fraction) -> Any:
        samples = max(1, round(seconds * like.sample_rate))
        silence = self._library.AudioFrame(format=like.format.name, layout=like.layout.name, samples=samples)
        silence.sample_rate = like.sample_rate
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        return silence
