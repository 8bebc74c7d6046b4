"""Whose features a face has, apart from its pose and its expression: landmarks of one person as another's.

On the road inside ``swap_aligned``: where eyes, brows, nose and mouth of the identity person would lie in
the attribute photo. ``reshape`` then carries the photo's own features there. The jaw stays, so that hair,
ears and background do.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, MIRRORED, NOSE, RIGHT_EYE, roll_of
from stylegan_swap.faces.geometry.align import Alignment, ffhq_alignment, laid_onto
from stylegan_swap.faces.geometry.head_pose import CAMERA_DISTANCE, MEAN_FACE, Pose, head_pose

# Jaw and eyes: by these a face is laid onto the mean one.
_COMPARED = np.array([*range(17), *range(36, 48)])
_MOUTH = slice(48, 68)
# All but the jaw.
_FEATURES = slice(17, 68)
# Every brow with the eye below it.
_BROWS = ((slice(17, 22), LEFT_EYE), (slice(22, 27), RIGHT_EYE))
# Points of the outer lips, and the points of the inner lips on the other side of the same lip.
_OUTER, _INNER = [49, 50, 51, 52, 53, 55, 56, 57, 58, 59], [61, 61, 62, 63, 63, 65, 65, 66, 67, 67]
#: Shares that are the person's of what a person and an expression both change: heights of brows and of lips.
BROW_HEIGHT = 0.5
LIP_THICKNESS = 0.5
# How much of a difference in nod is one: a long nose or a short chin looks like it.
NOD = 0.5
# Side of the crops that are compared; any will do.
_SIDE = 256
# No point moves further, in distances between the eyes.
FURTHEST = 0.25


def shaped_landmarks(identity: np.ndarray, attribute: np.ndarray, share: float = 1.0) -> np.ndarray:
    """Where the landmarks of the attribute face would lie if its features were the identity person's.

    The identity's landmarks are turned into the attribute's pose by the difference that a 3-D mean face shows
    between both poses, and averaged with their mirror image, as a person is about symmetric. Eyes take place,
    width and tilt of theirs, and are as far open as the attribute's; brows take their shape and half their
    height; the nose is theirs; the mouth takes its place, and half the thickness of its lips, and keeps its
    opening, its width and its corners.

    ``identity``: ``[68, 2]`` in pixels of any picture; ``attribute``: ``[68, 2]`` in pixels of the other;
    ``share``: 0..1, how far to go there. Returns float32 ``[68, 2]`` in pixels of the attribute's picture;
    what was given where a pose is not found or landmarks are not finite.
    """
    upright = _turn(roll_of(attribute))
    attribute_face = np.asarray(attribute, np.float64) @ upright
    try:
        crop = ffhq_alignment(attribute_face, _SIDE)
        person = (
            _in_the_pose_of(np.asarray(identity, np.float64), attribute_face, crop) if share > 0 else None
        )
        target = attribute_face if person is None else _target_of(person, attribute_face, crop)
    except ValueError:
        # Points that span no face cannot say where features belong.
        target = attribute_face
    if target is attribute_face:
        return np.asarray(attribute, np.float32)
    motion = share * (target - attribute_face)
    limit = FURTHEST * np.linalg.norm(attribute_face[RIGHT_EYE].mean(0) - attribute_face[LEFT_EYE].mean(0))
    length = np.linalg.norm(motion, axis=1, keepdims=True)
    motion *= np.minimum(1, limit / np.maximum(length, 1e-6))
    return ((attribute_face + motion) @ upright.T).astype(np.float32)


def _target_of(person: np.ndarray, attribute_face: np.ndarray, crop: Alignment) -> np.ndarray:
    """The features of the upright face ``attribute_face`` with the shapes and places of the person's."""
    target = attribute_face.copy()
    for eye in (LEFT_EYE, RIGHT_EYE):
        target[eye] = _eye(person[eye], attribute_face[eye])
    for brow, eye in _BROWS:
        with_the_eye = target[eye].mean(0) - attribute_face[eye].mean(0)
        motion = person[brow] - attribute_face[brow]
        raised = motion.mean(0) - with_the_eye
        target[brow] += motion - (1 - BROW_HEIGHT) * raised * [0, 1]
    target[NOSE] = person[NOSE]
    target[_MOUTH] += _lip_line(person) - _lip_line(attribute_face)
    thicker = (person[_OUTER] - person[_INNER]) - (attribute_face[_OUTER] - attribute_face[_INNER])
    target[_OUTER] += LIP_THICKNESS * thicker * [0, 1]
    # Eyes and mouth end where an aligned crop of the attribute photo has them.
    target[_FEATURES] = _in_the_crop(target, crop)[_FEATURES]
    return target


def _eye(person: np.ndarray, attribute_face: np.ndarray) -> np.ndarray:
    """The eye in place, width and tilt of the person's, its lids as far open as they are: ``[6, 2]``."""
    attribute_width, person_width = attribute_face[3] - attribute_face[0], person[3] - person[0]
    # In the plane a turn with a scale is a multiplication by one complex number.
    turn = complex(*person_width) / complex(*attribute_width) if attribute_width.any() else 1 + 0j
    rotation = np.array([[turn.real, turn.imag], [-turn.imag, turn.real]])
    return person.mean(0) + (attribute_face - attribute_face.mean(0)) @ rotation


def _lip_line(face: np.ndarray) -> np.ndarray:
    """The middle of the mouth's opening, ``[2]``."""
    return (face[62] + face[66]) / 2


def _in_the_pose_of(identity: np.ndarray, attribute: np.ndarray, crop: Alignment) -> np.ndarray | None:
    """The identity's landmarks where the attribute's head is, in its pose; None where a pose is not found."""
    pose = head_pose(attribute)
    mirrored = identity[MIRRORED] * [-1, 1]
    landmark_sets = []
    for face in (identity, mirrored):
        face_pose = head_pose(face)
        if pose.flipped or face_pose.flipped:
            return None
        source, target = _projected(_believed(face_pose, pose)), _projected(pose.rotation)
        turned = laid_onto(face, face[_COMPARED], source[_COMPARED]) + target - source
        landmark_sets.append(_in_the_crop(turned, crop))
    return (landmark_sets[0] + landmark_sets[1]) / 2


def _in_the_crop(face: np.ndarray, crop: Alignment) -> np.ndarray:
    """A face ``[68, 2]`` under the similarity that lays its FFHQ crop onto that of another face."""
    return crop.to_photo(ffhq_alignment(face, _SIDE).to_crop(face))


def _believed(measured: Pose, reference: Pose) -> np.ndarray:
    """A pose, ``[3, 3]``; half of what its nod differs from the other's is taken for the shape."""
    pitch = reference.pitch + NOD * (measured.pitch - reference.pitch)
    return Rotation.from_euler("ZYX", [measured.roll, -measured.yaw, -pitch], degrees=True).as_matrix()


def _projected(rotation: np.ndarray) -> np.ndarray:
    """The mean face in that pose as a camera sees it, ``[68, 2]``."""
    points = MEAN_FACE @ rotation.T
    return points[:, :2] * CAMERA_DISTANCE / (CAMERA_DISTANCE + points[:, 2:])


def _turn(degrees: float) -> np.ndarray:
    """``[2, 2]`` that turns rows of points back by so many degrees, clockwise being positive."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
