"""Tiny clips for the tests of video: two public portraits before a moving window, in any kind of file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

BT709 = (1, 1, 1, 1)


def panned(
    photo: np.ndarray, count: int, *, width: int = 320, height: int = 256, step: int = 1
) -> list[np.ndarray]:
    """Windows of the astronaut's photo that move to the right, her face of 100 px in each."""
    return [np.ascontiguousarray(photo[:height, 40 + step * n : 40 + step * n + width]) for n in range(count)]


def empty(count: int, width: int = 320, height: int = 256) -> list[np.ndarray]:
    """Frames without a face: a soft slope of greys."""
    slope = np.linspace(40, 200, width)[None, :, None] * np.ones((height, 1, 3))
    return [slope.astype(np.uint8)] * count


def pair(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Astronaut and Hopper side by side, faces of 100 px, uint8 ``[256, 512, 3]``, in the order given."""
    return np.hstack([left, right])


def astronaut_half(astronaut: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(astronaut[:256, 96:352])


def hopper_half(hopper: np.ndarray) -> np.ndarray:
    small = cv2.resize(hopper, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[10:266, :256])


def write_clip(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 12800),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    tags: tuple[int, int, int, int] = BT709,
    rotation: int = 0,
    sound: str | None = None,
    options: dict[str, str] | None = None,
    pixel_shape: Fraction | None = None,
) -> Path:
    """Write a clip; ``tags`` are matrix, range, primaries and transfer of H.273; ``sound`` is an encoder."""
    frames = list(frames)
    height, width = frames[0].shape[:2]
    step = int(1 / (25 * time_base))
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25, options={"preset": "ultrafast"} | (options or {}))
        video.width, video.height, video.pix_fmt = width, height, pixel_format
        video.time_base = time_base
        context = video.codec_context
        context.time_base = time_base
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = tags
        if pixel_shape is not None:
            context.sample_aspect_ratio = pixel_shape
        if rotation:
            video.set_display_rotation(rotation)
        audio = None if sound is None else container.add_stream(sound, rate=48000, layout="mono")
        if audio is not None:
            audio.metadata["language"] = "deu"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format=pixel_format, dst_colorspace=1, dst_color_range=tags[1] or 1
            )
            frame.pts = number * step if times is None else times[number]
            frame.time_base = time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            wave = 0.2 * np.sin(2 * math.pi * 440 * np.arange(len(frames) * 1920) / 48000)
            tone = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            tone.sample_rate = 48000
            container.mux(audio.encode(tone))
            container.mux(audio.encode(None))
    return path


def with_subtitles(source: Path, path: Path, folder: Path) -> Path:
    """The clip with two lines of text beside it, packets copied."""
    text = folder / "lines.srt"
    text.write_text("1\n00:00:00,100 --> 00:00:00,300\nhello\n\n2\n00:00:00,400 --> 00:00:00,500\nworld\n")
    with av.open(str(source)) as clip, av.open(str(text)) as lines, av.open(str(path), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in clip.streams}
        words = target.add_stream_from_template(lines.streams.subtitles[0])
        for packet in clip.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
        for packet in lines.demux():
            if packet.size:
                packet.stream = words
                target.mux(packet)
    return path


def with_noise_packet(source: Path, path: Path, number: int) -> Path:
    """The clip with noise in place of video packet ``number`` and everything else as it was."""
    with av.open(str(source)) as clip, av.open(str(path), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in clip.streams}
        count = 0
        for packet in clip.demux():
            if not packet.size:
                continue
            kept = packet
            if packet.stream.type == "video":
                if count == number:
                    noise = np.random.default_rng(0).integers(0, 256, packet.size, dtype=np.uint8)
                    kept = av.Packet(noise.tobytes())
                    kept.pts, kept.dts, kept.time_base = packet.pts, packet.dts, packet.time_base
                    kept.duration = packet.duration
                count += 1
            kept.stream = streams[packet.stream_index]
            target.mux(kept)
    return path


def packets(path: Path, kind: str) -> list[tuple[Fraction, str]]:
    """Time in seconds and hash of every packet of the first stream of a kind."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * Fraction(packet.time_base), hashlib.sha1(bytes(packet)).hexdigest())
            for packet in container.demux(next(one for one in container.streams if one.type == kind))
            if packet.size
        ]


def frame_times(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * Fraction(frame.time_base) for frame in container.decode(video=0)]


def decoded(path: Path, form: str = "rgb24") -> list[np.ndarray]:
    """All frames as arrays."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format=form) for frame in container.decode(video=0)]
