"""The clip of ``benchmarks/video.py``: scikit-image's astronaut, filmed by a moving camera while she speaks.

The camera pans, zooms and rolls; lips and chin are opened and closed, and the corners of the mouth drawn
apart, by thin-plate splines; a tone of 440 Hz is the sound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from stylegan_swap.faces.detection.detect import detect_faces, largest_face
from stylegan_swap.faces.geometry.thin_plate import ThinPlate, border_points, moved

RATE = 30
_TONE = 440.0
_GRAINS = 8


def mouth_at(time: float) -> float:
    """How far the mouth is opened, 0 to 1: syllables in groups, with pauses."""
    return max(0.0, math.sin(2 * math.pi * 1.1 * time)) * (0.55 + 0.45 * math.sin(2 * math.pi * 0.23 * time))


def smile_at(time: float) -> float:
    """How wide the mouth is drawn, 0 to 1."""
    return 0.5 - 0.5 * math.cos(2 * math.pi * 0.2 * time)


def camera_at(time: float, photo_side: int, width: int, height: int) -> np.ndarray:
    """The affine map from the photo to the frame, ``[2, 3]``."""
    zoom = height / photo_side * (1.75 + 0.35 * math.sin(2 * math.pi * 0.13 * time))
    roll = 9.0 * math.sin(2 * math.pi * 0.17 * time)
    # The face lies at (0.44, 0.23) of the photo.
    centre = (0.44 * photo_side, 0.23 * photo_side)
    matrix = cv2.getRotationMatrix2D(centre, roll, zoom)
    position = np.array(
        [0.5 + 0.13 * math.sin(2 * math.pi * 0.21 * time), 0.42 + 0.05 * math.sin(1.9 * time)]
    )
    matrix[:, 2] += position * [width, height] - centre
    return matrix


class Speaker:
    """The photo with its mouth moved.

    Args:
        photo: uint8 RGB ``[S, S, 3]``.
    """

    def __init__(self, photo: np.ndarray) -> None:
        self.photo = photo.astype(np.float32)
        self.landmarks = largest_face(detect_faces(photo)).landmarks.astype(np.float64)

    def __call__(self, opening: float, smile: float) -> np.ndarray:
        """float32 ``[S, S, 3]`` with the mouth opened and drawn wide by shares of 1."""
        size = len(self.photo)
        eyes = np.linalg.norm(self.landmarks[42:48].mean(0) - self.landmarks[36:42].mean(0))
        shift = np.zeros((68, 2))
        shift[[65, 66, 67], 1] = 0.20 * opening * eyes
        shift[[55, 56, 57, 58, 59], 1] = 0.20 * opening * eyes
        shift[6:11, 1] = 0.16 * opening * eyes
        for points, side in (([48, 60], -1), ([54, 64], 1)):
            shift[points] = np.array([side * 0.07, -0.04]) * smile * eyes
        target = np.concatenate([self.landmarks + shift, border_points(size)])
        source = np.concatenate([self.landmarks, border_points(size)])
        field = ThinPlate(target, size, 1e-5).displacements((source - target)[None])[0]
        return np.clip(moved(self.photo, field), 0, 255)


def clip_frames(
    photo: np.ndarray, seconds: float, width: int = 1280, height: int = 720, *, noise: float = 2.0
) -> Iterator[np.ndarray]:
    """The frames, uint8 RGB ``[height, width, 3]``, with the noise of a sensor (deviation in grey levels)."""
    speaker, draws = Speaker(photo), np.random.default_rng(0)
    grain = [
        np.repeat(
            np.rint(draws.standard_normal((height, width, 1), np.float32) * noise).astype(np.int16), 3, 2
        )
        for _ in range(_GRAINS)
    ]
    for number in range(round(seconds * RATE)):
        time = number / RATE
        spoken = np.rint(speaker(mouth_at(time), smile_at(time))).astype(np.uint8)
        matrix = camera_at(time, len(photo), width, height)
        frame = cv2.warpAffine(
            spoken, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        # Never the same field twice in a row.
        yield cv2.add(frame, grain[number * 3 % _GRAINS], dtype=cv2.CV_8U)


def write_clip(path: Path, photo: np.ndarray, seconds: float, width: int = 1280, height: int = 720) -> None:
    """Write frames and tone as H.264 and AAC in MP4, BT.709, limited range."""
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        context = video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        sound = container.add_stream("aac", rate=44100, layout="mono")
        for number, pixels in enumerate(clip_frames(photo, seconds, width, height)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=1, dst_color_range=1
            )
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        wave = 0.2 * np.sin(2 * math.pi * _TONE * np.arange(round(seconds * 44100)) / 44100)
        tone = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        tone.sample_rate = 44100
        container.mux(sound.encode(tone))
        container.mux(sound.encode(None))
