"""Which pixels are face: soft masks from the 68 landmarks. Used by the methods, ``paste`` and training.

All masks are float32 in 0..1 on the aligned crop, 1 = face.
"""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import INNER_LIPS, JAW, LEFT_EYE, RIGHT_EYE

# How far the forehead is part of the face, in units of the distance from brow to eye.
FOREHEAD = 0.9


def hull_points(landmarks: np.ndarray, forehead: float = FOREHEAD) -> np.ndarray:
    """The outline of the face: the jaw, and the brows raised towards the hair line.

    ``landmarks``: ``[68, 2]`` in crop pixels; ``forehead``: how far the brows are raised, in units of the
    distance from brow to eye. Returns float32 ``[27, 2]``: 17 points of the jaw, 10 of the raised brows.
    """
    points = np.asarray(landmarks, np.float32)
    return np.concatenate([points[JAW], raised_brows(points, forehead)])


def raised_brows(landmarks: np.ndarray, *foreheads: float) -> np.ndarray:
    """The ten brow points moved up the face as far as each number says (``FOREHEAD``): ``[10 · n, 2]``."""
    points = np.asarray(landmarks, np.float32)
    eyes = (points[LEFT_EYE].mean(0) + points[RIGHT_EYE].mean(0)) / 2
    brows = points[17:27]
    up = brows.mean(0) - eyes
    heights = np.array(foreheads or (FOREHEAD,), np.float32)[:, None, None]
    return (brows + heights * up).reshape(-1, 2)


def hull_mask(landmarks: np.ndarray, size: int, forehead: float = FOREHEAD) -> np.ndarray:
    """Filled convex hull of the face, ``[size, size]``, values 0 and 1 (edges anti-aliased)."""
    hull = cv2.convexHull(hull_points(landmarks, forehead))
    return fill_polygon(hull.reshape(-1, 2), size)


def soft_mask(
    landmarks: np.ndarray, size: int, *, feather: float = 0.06, forehead: float = FOREHEAD
) -> np.ndarray:
    """The hull with an edge that rises smoothly from 0 at the outline to 1 inside.

    ``landmarks``: ``[68, 2]`` in crop pixels; ``size``: side of the crop; ``feather``: width of the edge, as
    a share of the crop's side; ``forehead``: see ``hull_points``.

    Returns:
        float32 ``[size, size]``; exactly 0 from one pixel outside the hull on (OpenCV's line is that wide).
    """
    return feathered(hull_mask(landmarks, size, forehead), feather * size)


def reach_mask(landmarks: np.ndarray, size: int, *, margin: float = 0.06) -> np.ndarray:
    """The furthest a swap may reach: 1 on the hull, falling to exactly 0 at ``margin`` × side outside it."""
    mask = hull_mask(landmarks, size)
    return feathered(_dilated(mask, margin * size), margin * size)


def feathered(mask: np.ndarray, width: float) -> np.ndarray:
    """Give a mask an inner edge of that many pixels with zero slope at both ends (smoothstep)."""
    # The crop's own border counts as outside: nothing may end abruptly there.
    padded = cv2.copyMakeBorder((mask > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    ramp = np.clip(distance / max(width, 1.0), 0.0, 1.0)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def inner_mouth_mask(landmarks: np.ndarray, size: int, grow: float = 0.0) -> np.ndarray:
    """The opening between the lips, grown by ``grow`` × side, edges soft, ``[size, size]``."""
    mask = fill_polygon(np.asarray(landmarks, np.float32)[INNER_LIPS], size)
    return _grown(mask, grow * size)


def eye_masks(landmarks: np.ndarray, size: int, grow: float = 0.0) -> np.ndarray:
    """Both eye openings, grown by ``grow`` × side, edges soft, ``[size, size]``."""
    points = np.asarray(landmarks, np.float32)
    return _grown(fill_polygon(np.stack([points[LEFT_EYE], points[RIGHT_EYE]]), size), grow * size)


def fill_polygon(points: np.ndarray, size: int) -> np.ndarray:
    """Fill a polygon ``[n, 2]`` or several ``[k, n, 2]``, sub-pixel, edges anti-aliased: ``[size, size]``."""
    canvas = np.zeros((size, size), np.uint8)
    shift = 4
    fixed = np.round(np.asarray(points, np.float64) * (1 << shift)).astype(np.int32)
    for polygon in fixed.reshape(-1, *fixed.shape[-2:]):
        cv2.fillPoly(canvas, [polygon], 255, lineType=cv2.LINE_AA, shift=shift)
    return canvas.astype(np.float32) / 255


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    if radius < 0.5:
        return mask
    return cv2.GaussianBlur(_dilated(mask, radius), (0, 0), max(radius / 2, 0.5))


def _dilated(mask: np.ndarray, radius: float) -> np.ndarray:
    """Dilate by a disc; by distances, because its cost does not grow with the radius."""
    if mask.max() <= 0.5:
        return mask
    outside = (mask <= 0.5).astype(np.uint8)
    return np.clip(radius + 0.5 - cv2.distanceTransform(outside, cv2.DIST_L2, 5), 0, 1).astype(np.float32)
