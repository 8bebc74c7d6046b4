"""Where a head points: the pose that fits a 3-D mean face to the 68 landmarks.

Read by ``face_shape`` on the road, by the measures of pose and expression, and in training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from stylegan_swap.faces.detection.landmarks import roll_of

# 68 points of the mean face, about millimetres: x to the right of the picture, y down, z away from the
# viewer. Figures: the mean 3-D face that DeepFaceLab fits (github.com/iperov/DeepFaceLab, landmarks_68_3D).
MEAN_FACE = np.array(
    [
        (-73.394, -29.801, 47.668),
        (-72.775, -10.950, 45.909),
        (-70.534, 7.930, 44.843),
        (-66.850, 26.074, 43.141),
        (-59.790, 42.564, 38.635),
        (-48.369, 56.481, 30.751),
        (-34.121, 67.247, 18.456),
        (-17.875, 75.057, 3.609),
        (0.099, 77.061, -0.882),
        (17.477, 74.758, 5.181),
        (32.649, 66.929, 19.177),
        (46.372, 56.311, 30.771),
        (57.343, 42.419, 37.629),
        (64.388, 25.456, 40.886),
        (68.212, 6.991, 42.281),
        (70.486, -11.666, 44.143),
        (71.376, -30.365, 47.140),
        (-61.119, -49.362, 14.254),
        (-51.288, -58.770, 7.268),
        (-37.805, -61.996, 0.442),
        (-24.023, -61.033, -6.607),
        (-11.636, -56.687, -11.967),
        (12.057, -57.391, -12.051),
        (25.106, -61.902, -7.315),
        (38.339, -62.778, -1.023),
        (51.191, -59.302, 5.349),
        (60.054, -50.190, 11.616),
        (0.654, -42.194, -13.381),
        (0.805, -30.994, -21.151),
        (0.992, -19.945, -29.284),
        (1.227, -8.415, -36.948),
        (-14.772, 2.598, -20.132),
        (-7.180, 4.752, -23.537),
        (0.556, 6.563, -25.944),
        (8.272, 4.661, -23.696),
        (15.214, 2.643, -20.858),
        (-46.047, -37.471, 7.038),
        (-37.675, -42.731, 3.021),
        (-27.884, -42.712, 1.354),
        (-19.648, -36.755, -0.111),
        (-28.273, -35.134, -0.147),
        (-38.082, -34.919, 1.477),
        (19.266, -37.032, -0.666),
        (27.894, -43.342, 0.248),
        (37.438, -43.111, 1.696),
        (45.171, -38.087, 4.894),
        (38.196, -35.532, 0.283),
        (28.765, -35.484, -1.173),
        (-28.916, 28.613, -2.240),
        (-17.533, 22.172, -15.934),
        (-6.685, 19.029, -22.611),
        (0.381, 20.721, -23.748),
        (8.375, 19.035, -22.722),
        (18.877, 22.394, -15.611),
        (28.794, 28.080, -3.217),
        (19.058, 36.298, -14.988),
        (8.956, 39.635, -22.554),
        (0.382, 40.396, -23.592),
        (-7.429, 39.836, -22.406),
        (-18.161, 36.678, -15.122),
        (-24.377, 28.678, -4.786),
        (-6.898, 25.476, -20.894),
        (0.341, 26.014, -22.220),
        (8.445, 25.326, -21.026),
        (24.474, 28.323, -5.713),
        (8.449, 30.596, -20.671),
        (0.205, 31.409, -21.904),
        (-7.198, 30.845, -20.328),
    ]
)
# Jaw, brows and the lower nose: what neither eyelids nor lips move.
FITTED = np.array([*range(27), *range(30, 36)])
# The camera sees the face from this distance, in units of the mean face: a portrait.
CAMERA_DISTANCE = 1000.0
_RADIUS = float(np.sqrt(np.mean(np.sum((MEAN_FACE[FITTED, :2] - MEAN_FACE[FITTED, :2].mean(0)) ** 2, 1))))


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a head points, seen along the line from the camera to the face.

    Attributes:
        rotation: float64 ``[3, 3]``, mean face → camera; the identity is a frontal face.
        yaw: degrees, positive when the nose turns to the right of the picture.
        pitch: degrees, positive when the nose rises.
        roll: degrees, positive clockwise in the picture, -180..180.
        flipped: the solver ended in a mirrored solution: the face seen from behind or upside down
            although the eyes are not. Such a pose means nothing.
    """

    rotation: np.ndarray
    yaw: float
    pitch: float
    roll: float
    flipped: bool


def head_pose(landmarks: np.ndarray, *, initial_guess: bool = True) -> Pose:
    """Fit the mean face to 33 landmarks by perspective (OpenCV's iterative ``solvePnP``).

    The principal point lies in the centre of the fitted points and the focal length follows from their
    spread, so cropping or enlarging the photo changes nothing. The rotation is Rz(roll)·Ry·Rx.

    Args:
        landmarks: ``[68, 2]`` in pixels.
        initial_guess: start from a frontal face one metre away, turned like the line between the eyes.
            Without it the solver's own start is mirrored for many frontal faces, and it does not find back.

    Raises:
        ValueError: the points are not 68, not finite, or lie in one place.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise ValueError(f"head_pose needs 68 finite points [68, 2], got {points.shape}")
    fitted = points[FITTED]
    centre = fitted.mean(0)
    radius = float(np.sqrt(np.mean(np.sum((fitted - centre) ** 2, 1))))
    if radius < 1e-3:
        raise ValueError("head_pose: the landmarks lie in one place, so they show no face")
    focal = CAMERA_DISTANCE * radius / _RADIUS
    camera = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    # A frontal face, its eyes where they are: from an upright one the solver is lost upside down.
    eye_line = roll_of(points)
    start_turn = np.array([[0.0], [0.0], [math.radians(eye_line)]])
    start_place = np.array([[0.0], [0.0], [CAMERA_DISTANCE]])
    _, turn, place = cv2.solvePnP(
        MEAN_FACE[FITTED],
        fitted,
        camera,
        None,
        start_turn,
        start_place,
        useExtrinsicGuess=initial_guess,
        flags=cv2.SOLVEPNP_ITERATIVE,
    )
    rotation = Rotation.from_rotvec(turn.reshape(3))
    roll, about_y, about_x = rotation.as_euler("ZYX", degrees=True)
    # Facing away, behind the camera, or upside down against the line between the eyes.
    away = rotation.as_matrix()[2, 2] <= 0 or float(place[2, 0]) <= 0
    upside_down = abs(turned(float(roll) - eye_line)) > 90
    return Pose(
        rotation.as_matrix(), -float(about_y), -float(about_x), float(roll), bool(away or upside_down)
    )


def turned(degrees: float) -> float:
    """An angle in -180..180."""
    return (degrees + 180) % 360 - 180
