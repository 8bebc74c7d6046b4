"""Things that cover a part of a face, drawn: glasses, hands, hair, boxes and microphones.

Put on attribute and target alike by ``triplets``, so that the network learns to leave them where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE

_SHIFT = 4


@dataclass(frozen=True, eq=False)
class Occluder:
    """A layer to lay over a picture.

    Attributes:
        colour: float32 ``[S, S, 3]`` in 0..255.
        alpha: float32 ``[S, S]`` in 0..1, how much the layer covers.
        hides: float32 ``[S, S]`` in 0..1, where there is no face to be swapped: ``alpha`` without the
            lenses of glasses, through which the face is seen.
    """

    colour: np.ndarray
    alpha: np.ndarray
    hides: np.ndarray

    def over(self, image: np.ndarray) -> np.ndarray:
        """Lay it over a picture, float32 ``[S, S, 3]`` in 0..255."""
        return image + self.alpha[..., None] * (self.colour - image)


@dataclass(frozen=True, eq=False)
class _Place:
    """Where and how large the face is: centre between the eyes, axes, distance of the eyes in pixels."""

    size: int
    landmarks: np.ndarray
    eyes: np.ndarray
    right: np.ndarray
    down: np.ndarray
    unit: float

    def at(self, x: float | np.ndarray, y: float | np.ndarray) -> np.ndarray:
        """Points ``[..., 2]`` from coordinates in distances of the eyes about the point between them."""
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        return self.eyes + self.unit * (x[..., None] * self.right + y[..., None] * self.down)


def draw_occluder(
    landmarks: np.ndarray,
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    glasses: bool = True,
    kind: str | None = None,
) -> Occluder:
    """Draw one thing in front of a face.

    Args:
        landmarks: ``[68, 2]`` in pixels.
        image: the face, float32 ``[S, S, 3]``; a hand takes about the colour of its skin.
        rng: the only source of kind and form.
        glasses: whether glasses are among the kinds; not for a face that wears some.
        kind: "glasses", "hand", "hair" or "object"; None draws one.

    Raises:
        KeyError: there is no such kind.
    """
    points = np.asarray(landmarks, np.float64)
    left_eye, right_eye = points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0)
    across = right_eye - left_eye
    unit = max(float(np.linalg.norm(across)), 1.0)
    axis = across / unit
    frame = _Place(
        image.shape[0], points, (left_eye + right_eye) / 2, axis, np.array([-axis[1], axis[0]]), unit
    )
    if kind is None:
        shares = {"hand": 0.3, "hair": 0.35, "object": 0.35}
        if glasses:
            shares = {"glasses": 0.5, "hand": 0.18, "hair": 0.17, "object": 0.15}
        kind = list(shares)[int(np.searchsorted(np.cumsum(list(shares.values())), rng.random() * 0.9999))]
    return _DRAWN[kind](frame, image, rng)


def spectacles(face_frame: _Place, image: np.ndarray, rng: np.random.Generator) -> Occluder:
    """Glasses from thin wire to thick rims, sometimes tinted."""
    size, unit = face_frame.size, face_frame.unit
    width, height = rng.uniform(0.38, 0.48), rng.uniform(0.23, 0.38)
    # Exponent of the superellipse: 2 is round, 5 nearly a rectangle.
    power, thickness = rng.uniform(2.0, 5.0), rng.choice([0.025, 0.04, 0.06, 0.085], p=[0.35, 0.35, 0.2, 0.1])
    drop = rng.uniform(0.02, 0.1)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    x = width * np.sign(cos) * np.abs(cos) ** (2 / power)
    y = height * np.sign(sin) * np.abs(sin) ** (2 / power) + drop
    # Lower edges of many frames are narrower than the upper.
    taper = 1 - rng.uniform(0, 0.2) * (y > drop) * (y - drop) / height
    rims = [face_frame.at(side * 0.5 + x * taper, y) for side in (-1.0, 1.0)]
    line = max(thickness * unit, 0.6)
    frame = np.zeros((size, size), np.float32)
    lenses = np.zeros((size, size), np.float32)
    rimless = thickness < 0.03 and rng.random() < 0.3
    for rim in rims:
        lenses = np.maximum(lenses, _filled(rim, size))
        if not rimless:
            frame = np.maximum(frame, _stroke(rim, size, line, closed=True))
    inner = 0.5 - width
    bow = 0.04 * np.cos(np.linspace(-1.5, 1.5, 8))
    bridge = face_frame.at(np.linspace(-inner, inner, 8), drop - height * 0.35 - bow)
    frame = np.maximum(frame, _stroke(bridge, size, line))
    for side, ear in ((-1.0, 0), (1.0, 16)):
        hinge = face_frame.at(side * (0.5 + width), drop - height * 0.45)
        temple = np.stack([hinge, 0.15 * hinge + 0.85 * face_frame.landmarks[ear]])
        frame = np.maximum(frame, _stroke(temple, size, line))
    colours = np.array(
        [[22, 20, 20], [70, 45, 28], [150, 145, 140], [165, 130, 75], [95, 20, 25], [30, 40, 75]]
    )
    frame_colour = colours[rng.choice(6, p=[0.45, 0.2, 0.15, 0.12, 0.04, 0.04])] * rng.uniform(0.8, 1.2)
    tint = rng.choice([0.0, 0.05, 0.25, 0.85], p=[0.4, 0.35, 0.12, 0.13])
    tint_colour = np.array([[25, 22, 20], [55, 38, 25], [30, 40, 38]][int(rng.integers(3))], np.float64)
    glare = rng.uniform(0, 0.35) * (rng.random() < 0.3)
    sheen = _gradient(face_frame, rng) * glare
    lens_colour = tint_colour + (235 - tint_colour) * (sheen / np.maximum(tint + sheen, 1e-3))[..., None]
    lens_alpha = lenses * np.clip(tint + sheen, 0, 0.95)
    # Light from above along the rim.
    shade = 1 + 0.35 * (cv2.GaussianBlur(frame, (0, 0), max(line * 0.6, 0.5)) - 0.5)
    alpha = frame + (1 - frame) * lens_alpha
    colour = (
        np.where(
            frame[..., None] > 0,
            frame_colour * shade[..., None] * frame[..., None]
            + (lens_colour * ((1 - frame) * lens_alpha)[..., None]),
            lens_colour * lens_alpha[..., None],
        )
        / np.maximum(alpha, 1e-3)[..., None]
    )
    return _layer(colour, alpha, frame)


def hand(frame: _Place, image: np.ndarray, rng: np.random.Generator) -> Occluder:
    """Fingers and a part of the palm, coming in from below or from the side."""
    size = frame.size
    side = float(rng.choice([-1.0, 1.0]))
    tip = frame.at(side * rng.uniform(0.0, 0.6), rng.uniform(0.5, 1.25))
    heading = np.deg2rad(rng.uniform(100, 200) if side < 0 else rng.uniform(-20, 80))
    along = np.cos(heading) * frame.right + np.sin(heading) * frame.down
    across = np.array([-along[1], along[0]])
    radius = frame.unit * rng.uniform(0.11, 0.15)
    length = frame.unit * rng.uniform(0.7, 1.1)
    spread = rng.uniform(-0.05, 0.12)
    colour = _skin_colour(frame, image, rng)
    axis = np.arange(size, dtype=np.float32)
    alpha = np.zeros((size, size), np.float32)
    shade = np.zeros((size, size), np.float32)
    count = int(rng.integers(2, 5))
    reach = np.array([0.0, 0.22, 0.12, -0.12]) * frame.unit * rng.uniform(0.6, 1.2)
    capsules = []
    for finger in range(count):
        offset = across * radius * 2.0 * (finger - (count - 1) / 2)
        turned = along + across * spread * (finger - (count - 1) / 2)
        start = tip + offset - along * reach[finger]
        capsules.append((start, start + turned * length, radius * rng.uniform(0.9, 1.05)))
    knuckles = tip + along * length * 0.95
    palm = radius * (count + 0.8)
    capsules.insert(0, (knuckles + along * palm * 0.7, knuckles + along * frame.unit * 4, palm))
    for start, end, thick in capsules:
        distance = _distance_to_segment(axis, start, end)
        cover = np.clip(thick - distance + 0.5, 0, 1)
        round_ = np.sqrt(np.clip(1 - np.square(distance / thick), 0.0, 1))
        lit = 0.62 + 0.42 * round_
        shade = shade + cover * (lit - shade)
        alpha = np.maximum(alpha, cover)
    light = 1 + 0.15 * (_gradient(frame, rng) - 0.5)
    return _layer(colour * (shade * light)[..., None], alpha, alpha)


def hair(frame: _Place, image: np.ndarray, rng: np.random.Generator) -> Occluder:
    """Strands that fall over forehead, eye or cheek."""
    size = frame.size
    side = float(rng.choice([-1.0, 1.0]))
    colours = np.array([[25, 20, 18], [60, 40, 28], [110, 78, 48], [170, 135, 90], [150, 146, 142]])
    colour = colours[int(rng.integers(5))] * rng.uniform(0.8, 1.2)
    alpha = np.zeros((size, size), np.float32)
    tone = np.ones((size, size), np.float32)
    root_x, root_y = side * rng.uniform(0.0, 0.9), rng.uniform(-1.2, -0.95)
    tip_x, tip_y = side * rng.uniform(0.3, 1.1), rng.uniform(0.2, 1.6)
    bend = rng.uniform(-0.5, 0.5)
    width = rng.uniform(0.03, 0.15)
    for _ in range(int(rng.integers(15, 45))):
        shift = rng.normal(0, width)
        # Strands keep together at the root and part towards the tip.
        noise = rng.normal(0, 0.06, 4)
        t = np.linspace(0, 1, 14)
        x = root_x + shift + (tip_x - root_x + noise[0]) * t + (bend + noise[1]) * t * (1 - t)
        y = root_y + noise[2] + (tip_y - root_y + 4 * noise[3]) * t
        strand = _stroke(frame.at(x, y), size, max(frame.unit * rng.uniform(0.012, 0.045), 0.6))
        strand *= rng.uniform(0.5, 1.0)
        tone += strand * (rng.uniform(0.7, 1.35) - tone)
        alpha = np.maximum(alpha, strand)
    return _layer(colour * tone[..., None], alpha, alpha)


def held_object(frame: _Place, image: np.ndarray, rng: np.random.Generator) -> Occluder:
    """A box (a book, a phone, a cup) or a microphone in front of mouth, cheek or chin."""
    size, unit = frame.size, frame.unit
    centre = frame.at(rng.uniform(-0.8, 0.8), rng.uniform(0.75, 1.7))
    axis = np.arange(size, dtype=np.float32)
    colour = rng.uniform(15, 235, 3) * rng.uniform(0.3, 1.0)
    light = 1 + 0.4 * (_gradient(frame, rng) - 0.5)
    if rng.random() < 0.5:
        angle = np.deg2rad(rng.normal(0, 18))
        right = np.cos(angle) * frame.right + np.sin(angle) * frame.down
        down = np.array([-right[1], right[0]])
        half = unit * np.array([rng.uniform(0.25, 0.7), rng.uniform(0.3, 0.9)])
        centre = centre + down * half[1] * 0.6
        corners = [centre + sx * half[0] * right + sy * half[1] * down for sx, sy in _CORNERS]
        alpha = _filled(np.array(corners), size)
        stripe = np.sin((axis[None, :] * right[0] + axis[:, None] * right[1]) / unit * rng.uniform(2, 25))
        light = light * (1 + rng.uniform(0, 0.15) * stripe)
    else:
        end = centre + frame.down * unit * 3 + frame.right * unit * rng.uniform(-1.2, 1.2)
        head, stem = unit * rng.uniform(0.18, 0.3), unit * rng.uniform(0.08, 0.14)
        ball = np.hypot(axis[None, :] - centre[0], axis[:, None] - centre[1])
        rod = _distance_to_segment(axis, centre, end)
        alpha = np.maximum(np.clip(head - ball + 0.5, 0, 1), np.clip(stem - rod + 0.5, 0, 1))
        colour = colour * 0.35 + 15
        bulge = np.where(ball < head, np.sqrt(np.clip(1 - np.square(ball / head), 0, 1)), 0.6)
        mesh = 1 + 0.15 * np.sin(axis[None, :] * 24 / unit) * np.sin(axis[:, None] * 24 / unit) * (
            ball < head
        )
        light = light * (0.5 + 0.7 * bulge) * mesh
    return _layer(colour * light[..., None], alpha, alpha)


_FRAME_COLOURS = np.array(
    [(22, 20, 20), (70, 45, 28), (150, 145, 140), (165, 130, 75), (95, 20, 25), (30, 40, 75)]
)
_CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def _layer(colour: np.ndarray, alpha: np.ndarray, hides: np.ndarray) -> Occluder:
    colour, alpha, hides = (np.asarray(plane, np.float32) for plane in (colour, alpha, hides))
    return Occluder(np.clip(colour, 0, 255), np.clip(alpha, 0, 1), np.clip(hides, 0, 1))


def _skin_colour(frame: _Place, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """About the colour of the cheeks: mostly it is one's own hand."""
    cheeks = [
        frame.landmarks[first] * 0.5 + frame.landmarks[last] * 0.5 for first, last in ((3, 31), (13, 35))
    ]
    at = np.clip(np.rint(np.array(cheeks)).astype(int), 0, frame.size - 1)
    return image[at[:, 1], at[:, 0]].mean(0) * rng.uniform(0.8, 1.15) + rng.normal(0, 5, 3)


def _gradient(frame: _Place, rng: np.random.Generator) -> np.ndarray:
    """A slope of light from 0 to 1 in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-1, 1, frame.size, dtype=np.float32)
    slope = np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]
    return np.clip(0.5 + 0.5 * slope, 0, 1).astype(np.float32)


def _distance_to_segment(axis: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    x, y = axis[None, :] - start[0], axis[:, None] - start[1]
    line = end - start
    along = np.clip((x * line[0] + y * line[1]) / max(float(line @ line), 1e-6), 0, 1)
    return np.hypot(x - along * line[0], y - along * line[1]).astype(np.float32)


def _filled(points: np.ndarray, size: int) -> np.ndarray:
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillPoly(canvas, [_fixed(points)], 255, lineType=cv2.LINE_AA, shift=_SHIFT)
    return canvas.astype(np.float32) / 255


def _stroke(points: np.ndarray, size: int, width: float, *, closed: bool = False) -> np.ndarray:
    """A line of any width; below one pixel it becomes fainter."""
    canvas = np.zeros((size, size), np.uint8)
    thickness = max(1, round(width))
    cv2.polylines(canvas, [_fixed(points)], closed, 255, thickness, cv2.LINE_AA, _SHIFT)
    return canvas.astype(np.float32) * (min(width / thickness, 1.0) / 255)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << _SHIFT)).astype(np.int32).reshape(-1, 1, 2)


_DRAWN: dict[str, Callable[[_Place, np.ndarray, np.random.Generator], Occluder]] = {
    "glasses": spectacles,
    "hand": hand,
    "hair": hair,
    "object": held_object,
}
