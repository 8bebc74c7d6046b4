"""Find the faces of a photograph and their 68 landmarks.

CenterFace finds faces of all sizes and turns (``centerface``). dlib's HOG detector looks too: where both see
an upright face, its box is the better one for dlib's landmarks. Where neither sees a face, and where the
package that brings CenterFace is not installed, a cascade of attempts stops at the first that is sure of one:
HOG on the photo reduced to 800 px, up-sampled, with a padded border (tight crops), rotated, and at last
dlib's MMOD network.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from stylegan_swap.errors import FaceSelectionError, FaceTooSmallError, NoFaceError
from stylegan_swap.faces.detection.boxes import covered_share
from stylegan_swap.faces.detection.centerface import (
    FaceCentre,
    centerface_file,
    face_centres,
    roll_of_five,
    upright,
)
from stylegan_swap.faces.detection.landmarks import (
    BOX_OF_CROP,
    LEFT_EYE,
    RIGHT_EYE,
    LandmarkBackend,
    dlib_model_file,
    landmark_backend,
    roll_of,
)
from stylegan_swap.faces.detection.views import view_of
from stylegan_swap.faces.geometry.align import ffhq_alignment, transformed

# In pixels: sides of the pictures that the attempts see, and of a face that can be swapped.
DETECTION_SIDE = 800
UPSAMPLED_SIDE = 1600
NETWORK_SIDE = 640
SMALLEST_FACE = 32
OUTSIDE_SHARE = 0.6  # of the landmarks outside the photo, above which there is no face
# HOG scores: upright faces reach 0.4 to 3, false boxes up to 0.2. In between, a box is kept back until
# the rungs that follow have found nothing better.
_CONFIDENT = 0.4
_CREDIBLE = 0.15
# Upright faces score 0.8 to 3. On their side they reach 1.4 with landmarks that miss, turned 0.9 to 3.2.
_UNDOUBTED = 1.45
# Pixels of a face that HOG, which knows 80, finds with certainty.
_FOUND_FROM = 120
_UPRIGHT_WITHIN = 12.0
_SAME_FACE = 0.4  # share of the smaller box from which two detectors mean one face
_SAME_TURN = 15.0  # degrees within which they mean one pose
_CROP_SIDE = 256  # pixels of the crop in which landmarks are predicted from five points
_MOST_DISAGREEMENT = 0.4  # mean distance of landmarks from the five points, in distances between the eyes


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a photograph.

    Attributes:
        box: float32 ``[4]`` x0, y0, x1, y1 in photo pixels (brows to chin).
        landmarks: float32 ``[68, 2]`` in photo pixels, iBUG order.
        score: the detector's confidence (HOG margin, or MMOD's; comparable within one rung only).
        found_by: the rung of the ladder that found it.
    """

    box: np.ndarray
    landmarks: np.ndarray
    score: float
    found_by: str

    def __repr__(self) -> str:
        box = ", ".join(str(round(float(edge))) for edge in self.box)
        return f"Face(box=[{box}], score={self.score:.2f}, found_by={self.found_by!r})"

    @property
    def side(self) -> float:
        """Longer side of the box in photo pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


@dataclass(frozen=True)
class _Rung:
    """One attempt: a name for the error message and a function from picture to boxes with scores."""

    name: str
    boxes: Callable[[np.ndarray], list[tuple[np.ndarray, float]]]
    angle: float = 0.0
    padding: float = 0.0
    side: int = DETECTION_SIDE
    enlarge: float = 1.0


def detect_faces(
    pixels: np.ndarray,
    *,
    name: str = "the photo",
    landmarks: LandmarkBackend | str = "dlib",
    thorough: bool = False,
    quick: bool = False,
) -> list[Face]:
    """Find all faces, numbered from left to right.

    Args:
        pixels: uint8 RGB ``[H, W, 3]``.
        name: what the error message calls the picture.
        landmarks: landmark backend or its name.
        thorough: look for all faces from 32 px on, also where large ones are seen (needed where a face is
            chosen by index or by a reference photo, and for all of them).
        quick: look once; for frames of a video, of which another follows.

    Returns:
        At least one face, sorted by the horizontal centre of the box.

    Raises:
        NoFaceError: no face is seen; the message lists all that was tried.
    """
    backend = landmark_backend(landmarks) if isinstance(landmarks, str) else landmarks
    tried: list[str] = []
    if centerface_file() is not None:
        tried.append("CenterFace")
        faces = _by_network(pixels, backend, thorough, quick)
        if faces:
            return sorted(faces, key=lambda face: float(face.box[0] + face.box[2]))
    candidates: list[Face] = []
    for rung in _LADDER[: 0 if tried else 1] if quick else _LADDER:
        if rung is _LAST_RESORT and any(face.score >= _CREDIBLE for face in candidates):
            break
        tried.append(rung.name)
        candidates += _climb(pixels, rung, backend)
        sure = [face.score for face in candidates if face.score >= _CONFIDENT]
        if sure and not rung.angle and not rung.padding and min(sure) < _UNDOUBTED:
            # A head on its side looks like a weak upright face, with landmarks that miss it.
            # As small as that face can still be found: the detector's time grows with the area.
            widest = max(face.side for face in candidates) / max(pixels.shape[:2])
            side = round(min(DETECTION_SIDE, _FOUND_FROM / widest))
            for turned in _TURNED:
                candidates += _climb(pixels, replace(turned, side=side), backend)
        if sure and not (thorough and rung is _LADDER[0]):
            break
    faces = _without_overlaps(_credible(candidates))
    if faces:
        return sorted(faces, key=lambda face: float(face.box[0] + face.box[2]))
    raise NoFaceError(
        f"{name}: no face was found (tried {', '.join(tried)}); use a sharper or larger picture in which "
        "both eyes and the mouth can be seen"
    )


def largest_face(faces: list[Face]) -> Face:
    """The face with the largest box."""
    return max(faces, key=lambda face: face.side)


def face_at(faces: list[Face], index: int, name: str = "the photo") -> Face:
    """The face with that number, counted from the left, from 0.

    Raises:
        FaceSelectionError: there are not that many faces.
    """
    if not 0 <= index < len(faces):
        count = f"{len(faces)} face{'s' if len(faces) != 1 else ''}"
        raise FaceSelectionError(
            f"{name}: face {index} was asked for, but there {'is' if len(faces) == 1 else 'are'} {count}: "
            f"use an index from 0 to {len(faces) - 1} (numbered from the left), or 'largest'"
        )
    return faces[index]


def require_size(face: Face, name: str = "the photo") -> Face:
    """Return the face, or refuse one too small to swap.

    Raises:
        FaceTooSmallError: the box is smaller than 32 px.
    """
    if face.side < SMALLEST_FACE:
        raise FaceTooSmallError(
            f"{name}: the face is only {round(face.side)} px wide; at least {SMALLEST_FACE} px are needed: "
            "use a larger version of the picture"
        )
    return face


def _by_network(pixels: np.ndarray, backend: LandmarkBackend, thorough: bool, quick: bool) -> list[Face]:
    """What CenterFace sees, each face as HOG finds it where both agree."""
    centres = face_centres(pixels, SMALLEST_FACE if thorough else None, quick)
    if not centres and not thorough:
        centres = face_centres(pixels, SMALLEST_FACE, quick)
    rivals = [] if quick else _climb(pixels, _LADDER[0], backend)
    faces = []
    for centre in centres:
        face = next((face for face in rivals if covered_share(face.box, centre.box) >= _SAME_FACE), None)
        if face is None or face.score < _UNDOUBTED:
            # A head on its side looks like a weak upright face, with landmarks that miss it.
            centre = upright(pixels, centre)
            if face is None or face.score < _CONFIDENT or _turn_between(centre, face) > _SAME_TURN:
                face = _face_of_centre(pixels, centre, backend)
        if face is not None:
            faces.append(face)
    # HOG alone: a face so large that the network sees no face in it.
    faces += [face for face in rivals if face.score >= _UNDOUBTED]
    return _without_overlaps(faces)


def _turn_between(centre: FaceCentre, face: Face) -> float:
    """Degrees by which two detectors differ in a face's roll."""
    return abs((roll_of_five(centre.points) - roll_of(face.landmarks) + 180) % 360 - 180)


def _face_of_centre(pixels: np.ndarray, centre: FaceCentre, backend: LandmarkBackend) -> Face | None:
    """The face with 68 landmarks, predicted in an upright crop; None where they miss the five points."""
    points = np.zeros((68, 2))
    points[LEFT_EYE], points[RIGHT_EYE] = centre.points[0], centre.points[1]
    points[48], points[54] = centre.points[3], centre.points[4]
    try:
        # The network's points are coarse: the crop that they give shows the way to an upright one.
        for _ in range(2):
            crop = ffhq_alignment(points, _CROP_SIDE)
            view = view_of(pixels, crop.matrix, (_CROP_SIDE, _CROP_SIDE), crop.scale, cv2.BORDER_REPLICATE)
            points = transformed(backend(view, BOX_OF_CROP * _CROP_SIDE), crop.inverse)
        points = transformed(backend(view, box_of(transformed(points, crop.matrix))), crop.inverse)
        face = face_of(pixels, points, centre.score, "CenterFace")
    except ValueError:
        return None
    eyes = [points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0)]
    five = np.stack([*eyes, points[30], points[48], points[54]])
    eye_distance = max(float(np.linalg.norm(eyes[1] - eyes[0])), 1.0)
    error = np.linalg.norm(five - centre.points, axis=1).mean() / eye_distance
    return face if error < _MOST_DISAGREEMENT else None


def _climb(pixels: np.ndarray, rung: _Rung, backend: LandmarkBackend) -> list[Face]:
    """Detect on the reduced, padded, rotated picture; carry what is found back to the photo."""
    height, width = pixels.shape[:2]
    scale = min(rung.enlarge, rung.side / max(height, width))
    to_view, size = _view_matrix(width, height, scale, rung.angle, rung.padding)
    border = cv2.BORDER_REPLICATE if rung.padding else cv2.BORDER_CONSTANT
    view = view_of(pixels, to_view, size, scale, border)
    faces = []
    for box, score in rung.boxes(view):
        try:
            faces.append(_face_from_view(pixels, view, box, score, to_view, rung, backend))
        except ValueError:
            continue
    return faces


def _face_from_view(
    pixels: np.ndarray,
    view: np.ndarray,
    box: np.ndarray,
    score: float,
    to_view: np.ndarray,
    rung: _Rung,
    backend: LandmarkBackend,
) -> Face:
    to_photo = cv2.invertAffineTransform(to_view)
    if rung.angle or rung.padding:
        points = transformed(backend(view, box), to_photo)
    else:
        corners = transformed(box.reshape(2, 2), to_photo)
        points = backend(pixels, corners.reshape(4))
    roll = roll_of(points)
    if abs(roll) > _UPRIGHT_WITHIN or rung.angle or rung.padding:
        points = _upright_landmarks(pixels, points, roll, backend)
    return face_of(pixels, points, score, rung.name)


def face_of(pixels: np.ndarray, points: np.ndarray, score: float, found_by: str) -> Face:
    """The face with these landmarks ``[68, 2]`` in photo pixels.

    Raises:
        ValueError: most of it lies outside the photo.
    """
    inside = np.clip(points, 0, [pixels.shape[1] - 1, pixels.shape[0] - 1])
    if np.mean(np.abs(inside - points).sum(1) > 0) > OUTSIDE_SHARE:
        raise ValueError("most of the face lies outside the photo")
    return Face(box_of(points).astype(np.float32), points.astype(np.float32), float(score), found_by)


def _upright_landmarks(
    pixels: np.ndarray, points: np.ndarray, roll: float, backend: LandmarkBackend
) -> np.ndarray:
    """Turn the face upright and predict again: the predictors were trained on upright faces."""
    box = box_of(points)
    centre = (box[:2] + box[2:]) / 2
    extent = float(np.max(np.ptp(points, axis=0)))
    scale = min(1.0, 250.0 / max(extent, 1.0))
    side = math.ceil(extent * scale * 2.4)
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), roll, scale)
    matrix[:, 2] += side / 2 - centre
    view = view_of(pixels, matrix, (side, side), scale, cv2.BORDER_REPLICATE)
    upright = backend(view, box_of(transformed(points, matrix)))
    return transformed(upright, cv2.invertAffineTransform(matrix))


def box_of(points: np.ndarray) -> np.ndarray:
    """The square dlib's HOG detector would draw round these landmarks.

    Its lower edge lies just below the chin and its sides inside the ears; fitted on frontal photographs.
    """
    low, high = points[17:].min(0), points[17:].max(0)
    centre = (low + high) / 2
    side = 1.3 * float(np.max(high - low))
    centre += np.array([0.0, 0.035 * side])
    return np.concatenate([centre - side / 2, centre + side / 2])


def _credible(faces: list[Face]) -> list[Face]:
    """All sure faces, or the one best candidate where no face is sure."""
    ranked = sorted(faces, key=lambda face: -face.score)
    sure = [face for face in ranked if face.score >= _CONFIDENT]
    return sure or [face for face in ranked if face.score >= _CREDIBLE][:1]


def _without_overlaps(faces: list[Face]) -> list[Face]:
    distinct: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(covered_share(face.box, rival.box) < _SAME_FACE for rival in distinct):
            distinct.append(face)
    return distinct


def _view_matrix(
    width: int, height: int, scale: float, angle: float, padding: float
) -> tuple[np.ndarray, tuple[int, int]]:
    """The affine map from the photo to the reduced, padded and rotated view, and the view's size."""
    turn = math.radians(angle)
    cosine, sine = abs(math.cos(turn)), abs(math.sin(turn))
    margin = 2 * padding * max(width, height)
    size = (
        max(1, round(((width + margin) * cosine + (height + margin) * sine) * scale)),
        max(1, round(((width + margin) * sine + (height + margin) * cosine) * scale)),
    )
    centre = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, angle, scale)
    matrix[:, 2] += np.array([(size[0] - 1) / 2 - centre[0], (size[1] - 1) / 2 - centre[1]])
    return matrix, size


_per_thread = threading.local()


def hog_boxes(view: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """What dlib's HOG detector finds in a picture: boxes ``[4]`` and scores, 0 and above."""
    import dlib

    # The detector keeps its image pyramid inside: one per thread.
    if not hasattr(_per_thread, "hog"):
        _per_thread.hog = dlib.get_frontal_face_detector()
    rectangles, scores, _ = _per_thread.hog.run(view, 0, 0.0)
    return [(_corners(rectangle), score) for rectangle, score in zip(rectangles, scores, strict=True)]


def _mmod(view: np.ndarray) -> list[tuple[np.ndarray, float]]:
    if min(view.shape[:2]) < SMALLEST_FACE:
        # Under about 10 px the network's filters do not fit: dlib raises RuntimeError and spoils its heap.
        return []
    with _network_lock:
        detections = _network()(view, 0)
    return [(_corners(detection.rect), detection.confidence) for detection in detections]


_network_lock = threading.Lock()


@functools.lru_cache(maxsize=1)
def _network() -> Any:
    import dlib

    return dlib.cnn_face_detection_model_v1(str(dlib_model_file("mmod_human_face_detector.dat")))


def _corners(rectangle: Any) -> np.ndarray:
    return np.array(
        [rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom()], dtype=np.float64
    )


_LAST_RESORT = _Rung("MMOD network", _mmod, side=NETWORK_SIDE, padding=0.1, enlarge=2.0)
_TURNED = tuple(_Rung(f"rotated by {angle:+d}°", hog_boxes, angle=angle, padding=0.1) for angle in (-35, 35))
_LADDER = (
    _Rung("HOG", hog_boxes),
    _Rung("HOG up-sampled", hog_boxes, side=UPSAMPLED_SIDE, enlarge=4.0),
    _Rung("HOG with padded border", hog_boxes, padding=0.4),
    *(
        _Rung(f"rotated by {angle:+d}°", hog_boxes, angle=angle, padding=0.1)
        for angle in (-45, 45, 90, -90, 180, 135, -135)
    ),
    _LAST_RESORT,
)
