"""Does a face wear glasses, where are their frames, and what of an identity photo may be read?

No network: glasses are the only thing that puts a strong edge across the bare skin between the inner
corners of the eyes.
"""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE
from stylegan_swap.faces.masks.mask import eye_masks, fill_polygon, inner_mouth_mask
from stylegan_swap.faces.pixels.colour import to_lab

# Mean lightness step (Lab L per pixel at 256 px) across the nose bridge. On 145 public portraits all but two
# of the faces without glasses stay below 3.5, most below 2; thin frames reach 3, thick ones 15.
BRIDGE_EDGE = 3.0
# A weaker edge will do where thin structures cover so much of the place of the lower rims. On 1,036 public
# portraits this finds five more pairs of thin frames and takes two wrinkled faces for glasses.
WEAK_EDGE, RIMS = 2.5, 0.11
# Lab lightness by which the frames' thin structures stand out.
FRAME_STEP = 8.0
_WORKING_SIDE = 256


def bridge_edge(image: np.ndarray, landmarks: np.ndarray) -> float:
    """Strength of the strongest horizontal edge across the nose bridge.

    ``image``: aligned crop, float32 ``[S, S, 3]`` in 0..255; ``landmarks``: ``[68, 2]`` in crop pixels.
    Returns change of Lab lightness per pixel at a crop of 256 px, averaged along the bridge.
    """
    lightness, points = _working_copy(image, landmarks)
    steepness = np.abs(cv2.Sobel(cv2.GaussianBlur(lightness, (0, 0), 1.0), cv2.CV_32F, 0, 1, ksize=3)) / 8
    first = points[39] + 0.25 * (points[42] - points[39])
    last = points[39] + 0.75 * (points[42] - points[39])
    up = points[27] - points[29]
    bridge = fill_polygon(
        np.array([first + 0.55 * up, last + 0.55 * up, last - 0.35 * up, first - 0.35 * up]), _WORKING_SIDE
    )
    rows = bridge.sum(1)
    if rows.max() < 2:
        return 0.0
    return float(((steepness * bridge).sum(1) / np.maximum(rows, 1e-6))[rows > 0.5 * rows.max()].max())


def wears_glasses(image: np.ndarray, landmarks: np.ndarray) -> bool:
    """Whether an edge as strong as a frame's crosses the nose bridge; arguments as in ``bridge_edge``."""
    edge = bridge_edge(image, landmarks)
    return edge > BRIDGE_EDGE or (edge > WEAK_EDGE and _rims(image, landmarks) > RIMS)


def frame_mask(image: np.ndarray, landmarks: np.ndarray, step: float = FRAME_STEP) -> np.ndarray:
    """Where the frames are, on a face that wears glasses.

    Args:
        image: aligned crop, float32 ``[S, S, 3]`` in 0..255.
        landmarks: ``[68, 2]`` in crop pixels.
        step: Lab lightness by which they stand out; half of it finds pale rims too, and wrinkles.

    Returns:
        float32 ``[S, S]`` in 0..1: thin dark or bright structures between brows and cheeks, out to the
        temples, without the eyes themselves.
    """
    size = image.shape[0]
    lightness, points = _working_copy(image, landmarks)
    fine = cv2.GaussianBlur(lightness, (0, 0), 0.7)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    thin = np.maximum(
        cv2.morphologyEx(fine, cv2.MORPH_BLACKHAT, kernel), cv2.morphologyEx(fine, cv2.MORPH_TOPHAT, kernel)
    )
    zone = fill_polygon(_zone(points), _WORKING_SIDE) * (eye_masks(points, _WORKING_SIDE, 0.02) < 0.3)
    frames = _without_specks((thin > step) & (zone > 0.5))
    frames = cv2.GaussianBlur(cv2.dilate(frames, np.ones((3, 3), np.uint8)), (0, 0), 0.9)
    return np.clip(cv2.resize(frames, (size, size), interpolation=cv2.INTER_LINEAR), 0, 1)


def bare_face(image: np.ndarray, landmarks: np.ndarray, glasses: bool | None = None) -> np.ndarray:
    """What of a face is no glasses: float32 ``[S, S]``, 0 in the band where some are worn, else 1.

    Args:
        image: aligned crop, float32 ``[S, S, 3]`` in 0..255.
        landmarks: ``[68, 2]`` in crop pixels.
        glasses: whether glasses are worn; None looks.
    """
    size = image.shape[0]
    if not (wears_glasses(image, landmarks) if glasses is None else glasses):
        return np.ones((size, size), np.float32)
    return 1 - fill_polygon(_zone(np.asarray(landmarks, np.float32)), size)


def _rims(image: np.ndarray, landmarks: np.ndarray) -> float:
    """Share of the place below the eyes, where lower rims lie, that thin structures cover."""
    points = _working_copy(image, landmarks)[1]
    left_eye, right_eye, across, down = _eye_axes(points)
    upper = [left_eye - 0.45 * across + 0.15 * down, right_eye + 0.45 * across + 0.15 * down]
    lower = [right_eye + 0.3 * across + 0.5 * down, left_eye - 0.3 * across + 0.5 * down]
    cheeks = fill_polygon(np.array([*upper, *lower]), _WORKING_SIDE)
    small = cv2.resize(image, (_WORKING_SIDE, _WORKING_SIDE), interpolation=cv2.INTER_AREA)
    return float((frame_mask(small, points) * cheeks).sum() / max(float(cheeks.sum()), 1.0))


def _without_specks(candidates: np.ndarray) -> np.ndarray:
    """Keep what hangs together over a length only a frame has."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(candidates.astype(np.uint8), connectivity=8)
    extent = np.maximum(statistics[:, cv2.CC_STAT_WIDTH], statistics[:, cv2.CC_STAT_HEIGHT])
    large = extent >= 0.055 * _WORKING_SIDE
    large[0] = False
    return large[labels].astype(np.float32)


def _eye_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centres of both eyes, the way from one to the other, and as far down the face, ``[2]`` each."""
    left_eye, right_eye = points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0)
    across = right_eye - left_eye
    return left_eye, right_eye, across, np.array([-across[1], across[0]])


def _zone(points: np.ndarray) -> np.ndarray:
    """The band glasses lie in: from the brows to the upper cheeks, from temple to temple."""
    left_eye, right_eye, across, down = _eye_axes(points)
    return np.array(
        [
            left_eye - 0.75 * across - 0.30 * down,
            right_eye + 0.75 * across - 0.30 * down,
            right_eye + 0.75 * across + 0.15 * down,
            right_eye + 0.35 * across + 0.50 * down,
            right_eye - 0.30 * across + 0.45 * down,
            left_eye + 0.30 * across + 0.45 * down,
            left_eye - 0.35 * across + 0.50 * down,
            left_eye - 0.75 * across + 0.15 * down,
        ]
    )


def _working_copy(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    factor = _WORKING_SIDE / image.shape[0]
    small = cv2.resize(image, (_WORKING_SIDE, _WORKING_SIDE), interpolation=cv2.INTER_AREA)
    return to_lab(small)[..., 0], (np.asarray(landmarks, np.float32) + 0.5) * factor - 0.5


# How far teeth may show beyond the landmarks of the inner lips, as a share of the crop's side.
MOUTH_MARGIN = 0.012


def readable_face(image: np.ndarray, landmarks: np.ndarray, glasses: bool | None = None) -> np.ndarray:
    """What of an identity photo may enter a swap: float32 ``[S, S]`` in 0..1.

    Whether the mouth is open is the attribute photo's affair: teeth carried onto closed lips would stay there
    as light specks.

    Args:
        image: aligned crop, float32 ``[S, S, 3]`` in 0..255.
        landmarks: ``[68, 2]`` in crop pixels.
        glasses: whether glasses are worn; None looks.
    """
    mouth = inner_mouth_mask(landmarks, image.shape[0], MOUTH_MARGIN)
    return bare_face(image, landmarks, glasses) * (1 - np.clip(mouth, 0, 1))
