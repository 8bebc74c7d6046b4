"""The 68 landmarks of a face, by dlib or by face-alignment. Called by ``detect`` for every face found.

Order of the points: iBUG 300-W (jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67).
Coordinates are pixels of the picture given, (x, y), the centre of the first pixel at (0, 0).
"""

from __future__ import annotations

import functools
import importlib.util
import math
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from stylegan_swap.errors import MissingDependencyError

JAW = slice(0, 17)
BROWS = slice(17, 27)
NOSE = slice(27, 36)
LEFT_EYE = slice(36, 42)
RIGHT_EYE = slice(42, 48)
OUTER_LIPS = slice(48, 60)
INNER_LIPS = slice(60, 68)
# Where every landmark comes to lie when the face is mirrored.
MIRRORED = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ]
)
# How much nine measures of expression differ between the neutral faces of different people: openings of both
# eyes, width, inner and outer opening of the mouth, lift of its corners, heights of both brows and their gap
# (standard deviation over 102 people of the Face Research Lab London Set; ``metrics.expression``).
EXPRESSION_SPREAD = (0.040, 0.040, 0.059, 0.017, 0.058, 0.037, 0.046, 0.045, 0.052)

# dlib's trees see the face through a box; their answer moves with it. Averaging over a few shifted
# boxes takes most of that noise away.
_BOX_SHIFTS = ((0.0, 0.0), (-0.02, 0.0), (0.02, 0.0), (0.0, -0.02), (0.0, 0.02))
_WORKING_FACE = 250.0
BOX_OF_CROP = np.array([0.197, 0.309, 0.797, 0.909])
"""Where dlib's detector sees the face in FFHQ crops, on average over photographs: shares of the side."""


class LandmarkBackend(Protocol):
    """What ``detect`` needs from a landmark predictor."""

    name: str

    def __call__(self, pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Predict the points of one face.

        Args:
            pixels: uint8 RGB ``[H, W, 3]``.
            box: ``[4]`` x0, y0, x1, y1 as dlib's detectors draw it (brows to chin).

        Returns:
            float32 ``[68, 2]`` in pixels of ``pixels``.
        """
        ...


def dlib_model_file(name: str) -> Path:
    """Path of a file of the package face_recognition_models.

    The package is located, never imported: its code needs ``pkg_resources``, which setuptools dropped.

    Raises:
        MissingDependencyError: the package or the file is not installed.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "models" / name
        if path.is_file():
            return path
    raise MissingDependencyError(
        f"dlib's model file {name} was not found: pip install face_recognition_models"
    )


class DlibLandmarks:
    """dlib's regression trees (Kazemi & Sullivan, CVPR 2014), averaged over five shifted boxes."""

    name = "dlib"

    def __call__(self, pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
        """See LandmarkBackend."""
        import dlib

        predictor = _shape_predictor()
        region, offset, scale = _region_around(pixels, box)
        local = (np.asarray(box, np.float64).reshape(2, 2) - offset) * scale
        side = float(np.max(local[1] - local[0]))
        total = np.zeros((68, 2))
        for shift_x, shift_y in _BOX_SHIFTS:
            corners = local + side * np.array([shift_x, shift_y])
            rectangle = dlib.rectangle(*map(round, corners.reshape(-1).tolist()))
            shape = predictor(region, rectangle)
            total += [(part.x, part.y) for part in shape.parts()]
        return (total / len(_BOX_SHIFTS) / scale + offset).astype(np.float32)


class FaceAlignmentLandmarks:
    """The FAN network of the package face-alignment (Bulat & Tzimiropoulos, ICCV 2017).

    Its weights are downloaded by that package on first use.
    """

    name = "face-alignment"

    def __init__(self, device: str = "cpu") -> None:
        try:
            import face_alignment
        except ImportError as error:
            raise MissingDependencyError(
                f"the landmark backend cannot be imported ({error}): pip install face-alignment"
            ) from error
        try:
            self._network = _face_alignment_network(face_alignment, device)
        except (OSError, RuntimeError) as error:
            raise MissingDependencyError(
                "face-alignment could not load its weights, which it downloads on first use: "
                f"check the network, or use landmarks='dlib' ({error})"
            ) from error

    def __call__(self, pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
        """See LandmarkBackend."""
        predictions = self._network.get_landmarks_from_image(pixels, detected_faces=[[*map(float, box), 1.0]])
        if not predictions:
            raise ValueError("face-alignment returned no landmarks for the face box")
        return np.asarray(predictions[0], np.float32)[:, :2]


def landmark_backend(name: str = "dlib") -> LandmarkBackend:
    """The backend of that name: ``dlib`` (default) or ``face-alignment``.

    Raises:
        ValueError: the name is unknown.
        MissingDependencyError: the package or its weights are missing.
    """
    if name == "dlib":
        return DlibLandmarks()
    if name == "face-alignment":
        return FaceAlignmentLandmarks()
    raise ValueError(f"unknown landmark backend {name!r}: choose 'dlib' or 'face-alignment'")


def landmarks_of_crop(crop: np.ndarray) -> np.ndarray:
    """Landmarks of a face that is aligned already, by dlib, without detecting it first.

    Args:
        crop: FFHQ-aligned ``[S, S, 3]``, RGB in 0..255.

    Returns:
        float32 ``[68, 2]`` in crop pixels.
    """
    box = BOX_OF_CROP * crop.shape[0]
    return DlibLandmarks()(np.clip(np.rint(crop), 0, 255).astype(np.uint8), box)


def roll_of(landmarks: np.ndarray) -> float:
    """In-plane rotation of a face in degrees, by the line between the eyes; clockwise is positive."""
    left_eye, right_eye = landmarks[LEFT_EYE].mean(0), landmarks[RIGHT_EYE].mean(0)
    return math.degrees(math.atan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0]))


def mouth_opening(landmarks: np.ndarray) -> float:
    """Height of the inner mouth (points 62 to 66) over the distance between the eye centres."""
    eyes = np.linalg.norm(landmarks[RIGHT_EYE].mean(0) - landmarks[LEFT_EYE].mean(0))
    return float(np.linalg.norm(landmarks[66] - landmarks[62]) / max(float(eyes), 1e-6))


@functools.lru_cache(maxsize=1)
def _face_alignment_network(package: Any, device: str) -> Any:
    """Read from disk once, not for every photo."""
    # compile=True would run torch.compile with a warm-up and write to the user's cache.
    return package.FaceAlignment(package.LandmarksType.TWO_D, device=device, flip_input=False, compile=False)


@functools.lru_cache(maxsize=1)
def _shape_predictor() -> Any:
    import dlib

    return dlib.shape_predictor(str(dlib_model_file("shape_predictor_68_face_landmarks.dat")))


def _region_around(pixels: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut out the surroundings of the box and shrink them: large photographs cost no more than small ones.

    Returns:
        The region, the place of its first pixel in the photo, and its scale across and down.
    """
    height, width = pixels.shape[:2]
    corners = np.asarray(box, np.float64).reshape(2, 2)
    margin = 0.6 * (corners[1] - corners[0])
    low = np.clip(np.floor(corners[0] - margin), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(corners[1] + margin), low + 1, [width, height]).astype(int)
    region = pixels[low[1] : high[1], low[0] : high[0]]
    scale = min(1.0, _WORKING_FACE / float(np.max(corners[1] - corners[0])))
    offset, scales = low.astype(np.float64), np.ones(2)
    if scale < 1.0:
        size = (max(1, round(region.shape[1] * scale)), max(1, round(region.shape[0] * scale)))
        scales = np.array([size[0] / region.shape[1], size[1] / region.shape[0]])
        region = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
        # INTER_AREA keeps pixel edges, not centres, in place.
        offset = offset + 0.5 / scales - 0.5
    return np.ascontiguousarray(region), offset, scales
