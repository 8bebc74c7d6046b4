"""Join the segments and the clip's own sound and subtitles into one file: last step of a clip's road.

Nothing is encoded here. Packets of sound and subtitles are copied bit for bit, with their languages, and
their times move only as far as the beginning of the clip is cut off.
"""

from __future__ import annotations

import contextlib
import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from stylegan_swap.errors import VideoWriteError
from stylegan_swap.video.frame import Clip
from stylegan_swap.video.reading import (
    VideoClip,
    ffmpeg_errors,
    file_address,
    is_cover,
    main_stream,
    open_input,
    reason_of,
    video_library,
)

#: Suffixes of clips that can be written, and FFmpeg's name of each.
WRITABLE = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_COPIED = ("audio", "subtitle")
# Ticks per second of the whole file; lengths in ticks are stored in 32 bits up to about an hour, else in 64.
_FINEST = 1_000_000


def check_streams(clip: VideoClip, output: Path) -> list[str]:
    """Refuse an output that cannot hold the clip's sound and subtitles, before the work.

    Returns notes on what is not carried over.

    Raises:
        VideoWriteError: names the track and a format that takes it.
    """
    av = video_library()
    notes = []
    with contextlib.closing(open_input(clip.path)) as source:
        target = av.open(_Nowhere(), "w", format=WRITABLE[output.suffix.lower()])
        chosen = main_stream(source, clip.name)
        for stream in source.streams:
            if stream.type in _COPIED:
                _copied_stream(target, stream, output)
            elif stream.index != chosen.index and not (stream.type == "video" and is_cover(stream)):
                notes.append(f"stream {stream.index} ({stream.type}) is not carried over")
            elif stream.index != chosen.index:
                notes.append("the cover picture is not carried over: it may show the face that was replaced")
    return notes


def join(
    segments: Sequence[Path],
    clip: Clip,
    output: Path,
    *,
    suffix: str,
    first_pts: int,
    end_pts: int,
    trimmed: bool,
    metadata: Mapping[str, str],
) -> None:
    """Write the clip.

    ``clip`` is what the segments were made from; its sound and subtitles are copied if it is a file.
    ``suffix`` names the output's format. ``first_pts`` is when the first frame is shown and ``end_pts`` when
    the last has been, in the clip's time base; time starts anew where the clip was ``trimmed``.

    Raises:
        VideoWriteError: a segment is damaged, or the disk is full.
        VideoReadError: the clip changed meanwhile.
    """
    av = video_library()
    kind = WRITABLE[suffix]
    try:
        with contextlib.ExitStack() as stack:
            source = None
            if isinstance(clip, VideoClip):
                source = stack.enter_context(contextlib.closing(open_input(clip.path)))
            options = _muxer_options(clip, source) if kind in ("mp4", "mov") else {}
            target = stack.enter_context(av.open(file_address(output), "w", format=kind, options=options))
            target.metadata.update(metadata)
            times = (first_pts * clip.time_base, end_pts * clip.time_base)
            origin = times[0] if trimmed else Fraction(0)
            sources = [_video(segments, clip, target, origin, times[1])]
            if source is not None:
                sources.append(_others(source, target, output, times, trimmed))
            for _, packet in heapq.merge(*sources, key=lambda entry: entry[0]):
                target.mux(packet)
    except ffmpeg_errors() as error:
        raise VideoWriteError(
            f"{output}: could not be written ({reason_of(error)}); free some space or choose another folder "
            "or format; the swapped segments are kept, the same command goes on from there"
        ) from error


def _muxer_options(clip: Clip, source: Any) -> dict[str, str]:
    """For MP4 and MOV: times exact to the tick of every stream, and tags under names of one's own."""
    ticks = clip.time_base.denominator
    for stream in [] if source is None else source.streams:
        if stream.type in _COPIED and stream.time_base:
            ticks = math.lcm(ticks, Fraction(stream.time_base).denominator)
    # FFmpeg tells when a track begins in milliseconds unless it is given a finer unit.
    fine = ticks if 1000 <= ticks <= _FINEST else 90_000
    return {"movflags": "+faststart+use_metadata_tags", "movie_timescale": str(fine)}


def _video(
    segments: Sequence[Path], clip: Clip, target: Any, origin: Fraction, end: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of the new video stream with their times."""
    av = video_library()
    with contextlib.closing(av.open(file_address(segments[0]), format="nut")) as first:
        stream = target.add_stream_from_template(first.streams.video[0])
    stream.time_base = clip.time_base

    def packets() -> Iterator[tuple[Fraction, Any]]:
        pending: Any = None
        for path in segments:
            with contextlib.closing(av.open(file_address(path), format="nut")) as segment:
                for packet in segment.demux(video=0):
                    if packet.size == 0:
                        continue
                    # Each frame lasts until the next, also across segments.
                    if pending is not None:
                        pending.duration = packet.pts - pending.pts
                        yield _shifted(pending, stream, origin)
                    pending = packet
        # NUT may count in finer units than the clip.
        pending.duration = max(1, round(end / Fraction(pending.time_base)) - pending.pts)
        yield _shifted(pending, stream, origin)

    return packets()


def _others(
    source: Any, target: Any, output: Path, times: tuple[Fraction, Fraction], trimmed: bool
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of sound and subtitles with their times."""
    streams = {
        stream.index: _copied_stream(target, stream, output)
        for stream in source.streams
        if stream.type in _COPIED
    }
    tracks = [source.streams[index] for index in streams]

    def packets() -> Iterator[tuple[Fraction, Any]]:
        if not tracks:
            return
        for packet in source.demux(*tracks):
            if packet.size == 0 or packet.pts is None:
                continue
            time = packet.pts * Fraction(packet.time_base)
            if trimmed and not times[0] <= time < times[1]:
                continue
            yield _shifted(packet, streams[packet.stream.index], times[0] if trimmed else Fraction(0))

    return packets()


def _copied_stream(target: Any, stream: Any, output: Path) -> Any:
    try:
        copy = target.add_stream_from_template(stream)
    except ffmpeg_errors() as error:
        name = getattr(stream.codec_context, "name", "unknown")
        raise VideoWriteError(
            f"{output}: {output.suffix} cannot hold the clip's {stream.type} track {stream.index} ({name}), "
            "which is copied as it is; write .mkv, which holds nearly everything"
        ) from error
    copy.time_base = stream.time_base
    copy.metadata.update(
        {key: stream.metadata[key] for key in ("language", "title") if key in stream.metadata}
    )
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        copy.disposition = stream.disposition
    return copy


def _shifted(packet: Any, stream: Any, origin: Fraction) -> tuple[Fraction, Any]:
    """The packet for its new stream, its time counted from the origin in seconds; and that time."""
    base = Fraction(packet.time_base)
    offset = round(origin / base)
    packet.pts -= offset
    packet.dts = packet.pts if packet.dts is None else packet.dts - offset
    time = packet.dts * base
    packet.stream = stream
    return time, packet


class _Nowhere:
    """A file that keeps nothing: the rehearsal of a container's header."""

    name = "nowhere"

    def write(self, data: bytes) -> int:
        """Take and forget."""
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Any place will do."""
        return 0
