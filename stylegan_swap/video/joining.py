"""Join the segments and the clip's own sound and subtitles into one file: last step of a clip's road.

Packets of sound and subtitles are copied bit for bit, with their languages, and their times move only as far
as the beginning of the clip is cut off. Only sound that the file cannot hold is encoded anew (``sound``).
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
from stylegan_swap.video.sound import SoundEncoder, holds

#: Suffixes of clips that can be written, and FFmpeg's name of each.
WRITABLE = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_COPIED = ("audio", "subtitle")
# Ticks per second of the whole file; lengths in ticks are stored in 32 bits up to about an hour, else in 64.
_FINEST = 1_000_000


def check_streams(clip: VideoClip, output: Path, audio: str = "copy") -> list[str]:
    """Refuse an output that cannot hold the clip's sound and subtitles, before the work.

    ``audio`` is one of ``sound.AUDIO``. Returns notes on what is not carried over, or not as it is.

    Raises:
        VideoWriteError: names the track and what helps.
    """
    kind = WRITABLE[output.suffix.lower()]
    notes = []
    with contextlib.closing(open_input(clip.path)) as source:
        chosen = main_stream(source, clip.name)
        for stream in source.streams:
            if stream.type == "audio" and audio != "none":
                notes += _sound_notes(clip, stream, output, audio)
            elif stream.type == "audio":
                notes.append(f"sound track {stream.index} was left out as asked for")
            elif stream.type == "subtitle":
                if not holds(kind, clip.path, stream.index):
                    raise VideoWriteError(_refusal(clip, stream, output))
            elif stream.index != chosen.index and not (stream.type == "video" and is_cover(stream)):
                notes.append(f"stream {stream.index} ({stream.type}) is not carried over")
            elif stream.index != chosen.index:
                notes.append("the cover picture is not carried over: it may show the face that was replaced")
    return notes


def _sound_notes(clip: VideoClip, stream: Any, output: Path, audio: str) -> list[str]:
    kind = WRITABLE[output.suffix.lower()]
    if audio == "copy" and holds(kind, clip.path, stream.index):
        return []
    if stream.codec_context is None:
        raise VideoWriteError(
            f"{output}: {output.suffix} cannot hold the clip's sound track {stream.index}, whose codec is "
            "not known; leave the sound out (--audio none)"
        )
    name = "Opus" if kind == "webm" else "AAC"
    why = "" if audio == "encode" else f", which {output.suffix} cannot hold,"
    return [f"sound track {stream.index} ({stream.codec_context.name}){why} was encoded anew as {name}"]


def _refusal(clip: VideoClip, stream: Any, output: Path) -> str:
    name = getattr(stream.codec_context, "name", "unknown")
    others = [suffix for suffix in (".mkv", ".mp4") if holds(WRITABLE[suffix], clip.path, stream.index)]
    remedy = f"write {others[0]}, which holds it" if others else "remove the track from the clip first"
    return (
        f"{output}: {output.suffix} cannot hold the clip's {stream.type} track {stream.index} ({name}), "
        f"which is copied as it is; {remedy}"
    )


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
    audio: str = "copy",
    name: str | None = None,
) -> None:
    """Write the clip.

    ``clip`` is what the segments were made from; its sound and subtitles are copied if it is a file.
    ``suffix`` names the output's format. ``first_pts`` is when the first frame is shown and ``end_pts`` when
    the last has been, in the clip's time base; time starts anew where the clip was ``trimmed``.
    ``audio`` is one of ``sound.AUDIO``; ``name`` is what errors call the output.

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
                assert isinstance(clip, VideoClip)
                sources.append(_others(clip.path, source, target, kind, audio, times, trimmed))
            for _, packet in heapq.merge(*sources, key=lambda entry: entry[0]):
                target.mux(packet)
    except ffmpeg_errors() as error:
        raise VideoWriteError(
            f"{name or output}: could not be written ({reason_of(error)}); free some space or choose another "
            "folder or format; the swapped segments are kept, the same command goes on from there"
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
    path: Path,
    source: Any,
    target: Any,
    kind: str,
    audio: str,
    times: tuple[Fraction, Fraction],
    trimmed: bool,
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of sound and subtitles with their times."""
    copies: dict[int, Any] = {}
    encoders: dict[int, SoundEncoder] = {}
    for stream in source.streams:
        if stream.type not in _COPIED or (stream.type == "audio" and audio == "none"):
            continue
        if stream.type == "audio" and (audio == "encode" or not holds(kind, path, stream.index)):
            encoders[stream.index] = SoundEncoder(target, stream, kind)
            _described(encoders[stream.index].stream, stream)
        else:
            copies[stream.index] = target.add_stream_from_template(stream)
            copies[stream.index].time_base = stream.time_base
            _described(copies[stream.index], stream)
    tracks = [source.streams[index] for index in sorted([*copies, *encoders])]
    origin = times[0] if trimmed else Fraction(0)

    def packets() -> Iterator[tuple[Fraction, Any]]:
        if not tracks:
            return
        for packet in source.demux(*tracks):
            if packet.stream.index in encoders:
                since, until = (times[0], times[1]) if trimmed else (Fraction(-1), None)
                for fresh in encoders[packet.stream.index](packet, since, until, origin):
                    yield fresh.dts * Fraction(fresh.time_base), fresh
                continue
            if packet.size == 0 or packet.pts is None:
                continue
            time = packet.pts * Fraction(packet.time_base)
            if trimmed and not times[0] <= time < times[1]:
                continue
            yield _shifted(packet, copies[packet.stream.index], origin)

    return packets()


def _described(track: Any, stream: Any) -> None:
    """Give a new track the language, title and disposition of the old."""
    track.metadata.update(
        {key: stream.metadata[key] for key in ("language", "title") if key in stream.metadata}
    )
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        track.disposition = stream.disposition


def _shifted(packet: Any, stream: Any, origin: Fraction) -> tuple[Fraction, Any]:
    """The packet for its new stream, its time counted from the origin in seconds; and that time."""
    base = Fraction(packet.time_base)
    offset = round(origin / base)
    packet.pts -= offset
    packet.dts = packet.pts if packet.dts is None else packet.dts - offset
    time = packet.dts * base
    packet.stream = stream
    return time, packet
