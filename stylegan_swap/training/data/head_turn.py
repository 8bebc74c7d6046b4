"""Another view of the same face: the head turned in space, another expression, another frame.

Makes the identity views of ``triplets``, so that identity and target never lie on each other pixel by
pixel. Depth comes from the 3-D mean face, expressions from people photographed both neutral and smiling.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, MIRRORED, RIGHT_EYE
from stylegan_swap.faces.geometry.align import ffhq_alignment, similarity, transformed
from stylegan_swap.faces.geometry.head_pose import CAMERA_DISTANCE, MEAN_FACE, head_pose
from stylegan_swap.faces.geometry.thin_plate import ThinPlate, border_points, moved
from stylegan_swap.faces.masks.mask import raised_brows
from stylegan_swap.metrics.expression import STABLE, normalised
from stylegan_swap.training.data.morph import Portrait
from stylegan_swap.training.data.photos import Photos

# The axis of the neck lies this far behind the mean face's origin, in its units.
_AXIS_DEPTH = 60.0
# The forehead is about as deep as the brows and a little behind them.
_FOREHEAD_DEPTH = 6.0
# The middle of the lips from left to right: inner upper, inner lower, outer upper, outer lower.
_LIPS = np.array([(61, 67, 50, 58), (62, 66, 51, 57), (63, 65, 52, 56)])
# Corners of the mouth that lie higher than this above its middle smile: nine neutral faces of ten do not.
_SMILE = 0.02


def turned_landmarks(landmarks: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Landmarks after the head has turned.

    Args:
        landmarks: ``[68, 2]`` in pixels.
        yaw: degrees, positive to the right of the picture.
        pitch: degrees, positive upwards.

    Returns:
        float64 ``[68, 2]``; the head keeps its place, so eyes and mouth move across the picture.

    Raises:
        ValueError: the landmarks show no face.
    """
    return _turned(np.asarray(landmarks, np.float64), yaw, pitch)[:68]


def mirrored(portrait: Portrait) -> Portrait:
    """The face in the mirror, its landmarks in their usual order."""
    points = np.asarray(portrait.landmarks, np.float32)[MIRRORED].copy()
    points[:, 0] = portrait.image.shape[1] - 1 - points[:, 0]
    return Portrait(np.ascontiguousarray(portrait.image[:, ::-1]), points)


def another_view(
    portrait: Portrait,
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    expression: np.ndarray | None = None,
    frame: np.ndarray | None = None,
) -> Portrait:
    """Move a face smoothly to where its landmarks would be from elsewhere, and align it again.

    Args:
        portrait: the photo.
        yaw: see ``turned_landmarks``.
        pitch: see there.
        expression: ``[68, 2]`` added to the landmarks first, in distances between the eyes, upright.
        frame: ``[2, 3]`` similarity applied to the aligned picture at last; none leaves it.

    Returns:
        A face of the same side; with nothing asked for, the photo itself.
    """
    if not yaw and not pitch and expression is None and frame is None:
        return portrait
    size = portrait.image.shape[0]
    landmarks = np.asarray(portrait.landmarks, np.float64)
    # The forehead turns with the head; it has no landmarks of its own.
    source = np.concatenate([landmarks, raised_brows(landmarks, 1.2)])
    goal = landmarks if expression is None else landmarks + in_pixels(expression, landmarks)
    target = _turned(goal, yaw, pitch) if yaw or pitch else _with_forehead(goal)
    matrix = ffhq_alignment(target[:68], size).matrix
    crop_matrix = ffhq_alignment(landmarks, size).matrix
    # Alignment of a crop that is aligned already: only what the move has changed counts.
    matrix = _composed(_inverse(crop_matrix), matrix)
    if frame is not None:
        matrix = _composed(matrix, frame)
    target = transformed(target, matrix)
    border = border_points(size)
    spline = ThinPlate(np.concatenate([target, border]), size, 3e-4)
    sources = np.concatenate([source, transformed(border, _inverse(matrix))])
    field = spline.displacements((sources - spline.points * size)[None])[0]
    image = np.clip(moved(portrait.image, field), 0, 255)
    return Portrait(image, target[:68].astype(np.float32))


def in_pixels(expression: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Carry displacements ``[68, 2]`` from the upright normalised face into a picture."""
    upright = normalised(MEAN_FACE[:, :2])[STABLE]
    return expression @ similarity(upright, landmarks[STABLE])[:, :2].T


class Expressions:
    """How faces move between neutral and smiling, from people photographed with both.

    Args:
        photos: the training set; photos with the expressions ``neutral`` and ``smiling`` are used.
    """

    def __init__(self, photos: Photos) -> None:
        moves = []
        for numbers in photos.people().values():
            by_name = {photos.expression(number): number for number in numbers}
            if {"neutral", "smiling"} <= set(by_name):
                first, last = (normalised(photos.landmarks(by_name[name])) for name in ("neutral", "smiling"))
                moves.append(_without_opening(last - first))
        self.moves = np.array(moves).reshape(len(moves), 68, 2)

    def draw(self, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """A part of the way of a random person, for ``another_view``; None where no pairs are known.

        Args:
            landmarks: ``[68, 2]`` of the face that is to move: a smiling face mostly calms down.
            rng: source of the person and the strength.
        """
        person, share, against = rng.random(3)
        if not len(self.moves):
            return None
        move = self.moves[int(person * len(self.moves))]
        smiling = _corner_lift(landmarks) > _SMILE
        strength = (-0.8 if smiling else 0.8) * share
        return (-0.4 * strength if against < 0.15 else strength) * move


def _without_opening(move: np.ndarray) -> np.ndarray:
    """Lips that are closed have nothing behind them to show: both inner lips move alike."""
    move = move.copy()
    for upper, lower, outer_upper, outer_lower in _LIPS:
        gap = (move[lower] - move[upper]) / 2
        move[[upper, outer_upper]] += gap
        move[[lower, outer_lower]] -= gap
    return move


def _corner_lift(landmarks: np.ndarray) -> float:
    """How far the corners of the mouth lie above the middle of the inner lips, in distances of the eyes."""
    p = np.asarray(landmarks, np.float64)
    eye_distance = np.linalg.norm(p[RIGHT_EYE].mean(0) - p[LEFT_EYE].mean(0))
    return float(((p[62, 1] + p[66, 1]) - (p[48, 1] + p[54, 1])) / 2 / max(float(eye_distance), 1e-6))


def _with_forehead(landmarks: np.ndarray) -> np.ndarray:
    return np.concatenate([landmarks, raised_brows(landmarks, 1.2)])


def _turned(landmarks: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """68 landmarks and ten points of the forehead after the turn."""
    camera = MEAN_FACE @ head_pose(landmarks).rotation.T
    eye_distance = np.linalg.norm(landmarks[RIGHT_EYE].mean(0) - landmarks[LEFT_EYE].mean(0))
    model_eye_distance = np.linalg.norm(camera[RIGHT_EYE, :2].mean(0) - camera[LEFT_EYE, :2].mean(0))
    scale = eye_distance / model_eye_distance
    depth = np.concatenate([camera[:, 2], camera[17:27, 2] + _FOREHEAD_DEPTH])
    points = _with_forehead(landmarks)
    centre = (landmarks[27] + landmarks[33]) / 2
    # Back into space by the perspective of the portrait, turn about the neck, and into the picture again.
    flat = (points - centre) / scale * (1 + depth / CAMERA_DISTANCE)[:, None]
    behind = depth - _AXIS_DEPTH
    about_y, about_x = math.radians(yaw), math.radians(pitch)
    x = flat[:, 0] * math.cos(about_y) - behind * math.sin(about_y)
    behind = flat[:, 0] * math.sin(about_y) + behind * math.cos(about_y)
    y = flat[:, 1] * math.cos(about_x) + behind * math.sin(about_x)
    behind = -flat[:, 1] * math.sin(about_x) + behind * math.cos(about_x)
    projected = np.stack([x, y], axis=-1) / (1 + (behind + _AXIS_DEPTH) / CAMERA_DISTANCE)[:, None]
    return centre + scale * projected


def _inverse(matrix: np.ndarray) -> np.ndarray:
    return cv2.invertAffineTransform(np.asarray(matrix, np.float64))


def _composed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One affine map after the other."""
    linear = second[:, :2] @ first[:, :2]
    return np.column_stack([linear, second[:, :2] @ first[:, 2] + second[:, 2]])
