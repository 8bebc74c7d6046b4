"""Find a face again near where it was a moment ago. What ``detect`` is to a photo, this is to a clip.

The neighbourhood is looked at upright and at one size, whatever the roll of the head and however large it is
in the frame: detection costs a fraction of that of a whole frame, and the landmarks of neighbouring frames
are predicted under the same conditions, so that they tremble less.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stylegan_swap.faces.detection.boxes import overlap
from stylegan_swap.faces.detection.detect import Face, box_of, face_of, hog_boxes
from stylegan_swap.faces.detection.landmarks import LandmarkBackend, roll_of
from stylegan_swap.faces.detection.views import region_view
from stylegan_swap.faces.geometry.align import transformed

FOUND_BY = "tracking"
# The face's box is brought to this side, and the window is so many times larger. dlib's detector looks at
# it at half the size, where the box has 100 px (it needs 80).
_FACE = 200.0
_WINDOW = 2.4
# HOG scores here: a frontal face has 0.4 to 3, half a profile or motion blur 0 to 0.4.
_LEAST_OVERLAP = 0.35


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """The upright window round a face's last place.

    Attributes:
        view: uint8 RGB ``[side, side, 3]``.
        matrix: float64 ``[2, 3]``, frame → window.
        expected: the box ``[4]`` in the window where the face was.
    """

    view: np.ndarray
    matrix: np.ndarray
    expected: np.ndarray


def neighbourhood(pixels: np.ndarray, landmarks: np.ndarray) -> Neighbourhood:
    """Cut the window out of a frame.

    Args:
        pixels: uint8 RGB ``[H, W, 3]``.
        landmarks: where the face was, ``[68, 2]`` in frame pixels.
    """
    roll = roll_of(landmarks)
    turn = cv2.getRotationMatrix2D((0.0, 0.0), roll, 1.0)
    upright = transformed(landmarks, turn)
    box = box_of(upright)
    scale = _FACE / max(float(box[2] - box[0]), 1.0)
    side = round(_FACE * _WINDOW)
    matrix = turn * scale
    matrix[:, 2] += side / 2 - scale * (box[:2] + box[2:]) / 2
    view = region_view(pixels, matrix, side, scale, cv2.BORDER_REPLICATE)
    half = np.array([_FACE / 2, _FACE / 2])
    return Neighbourhood(view, matrix, np.concatenate([side / 2 - half, side / 2 + half]))


def redetect(
    pixels: np.ndarray, landmarks: np.ndarray, backend: LandmarkBackend
) -> tuple[list[Face], Face | None]:
    """Look for faces near the place where one was.

    Args:
        pixels: uint8 RGB ``[H, W, 3]``.
        landmarks: of the face in the frame before, ``[68, 2]``.
        backend: landmark backend.

    Returns:
        The faces that are seen there, the most likely to be the same first; and, where none is seen, the face
        as the landmarks would lie if it were still in its place, which somebody must confirm (None if that is
        no face at all).
    """
    near = neighbourhood(pixels, landmarks)
    size = near.view.shape[1] // 2
    small = cv2.resize(near.view, (size, size), interpolation=cv2.INTER_AREA)
    boxes = [(2 * box + 0.5, score) for box, score in hog_boxes(np.ascontiguousarray(small))]
    matches = [(overlap(box, near.expected), box, score) for box, score in boxes]
    matches = sorted((entry for entry in matches if entry[0] >= _LEAST_OVERLAP), key=lambda entry: -entry[0])
    faces = [face for _, box, score in matches if (face := _face(pixels, near, box, score, backend))]
    if faces:
        return faces, None
    return [], _face(pixels, near, near.expected, -1.0, backend)


def _face(
    pixels: np.ndarray, near: Neighbourhood, box: np.ndarray, score: float, backend: LandmarkBackend
) -> Face | None:
    try:
        points = backend(near.view, box)
        # The detector's boxes come in steps; the box of the landmarks does not.
        points = backend(near.view, box_of(points))
        return face_of(pixels, transformed(points, cv2.invertAffineTransform(near.matrix)), score, FOUND_BY)
    except ValueError:
        return None
