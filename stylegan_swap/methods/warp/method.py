"""The classical swap, no weights: warp the identity face onto the attribute face and blend it in.

The baseline that every learned method must beat, and what ``swap()`` falls back to where the
default weights are missing. In order: a piecewise-affine warp driven by the 68 landmarks, colour matching in
Lab, the attribute photo's own light (its low frequencies), and a feathered paste that leaves alone what is
not skin.
Sources: Bitouk et al., Face Swapping (SIGGRAPH 2008); Pérez et al., Poisson Image Editing (SIGGRAPH 2003),
of which the low-frequency transfer is the multi-band form (Burt & Adelson, 1983).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import QhullError
from torch import Tensor

from stylegan_swap.faces.detection.landmarks import JAW, MIRRORED, mouth_opening
from stylegan_swap.faces.geometry.align import enlarged_points
from stylegan_swap.faces.masks.glasses import frame_mask, wears_glasses
from stylegan_swap.faces.masks.mask import eye_masks, feathered, hull_mask, inner_mouth_mask, raised_brows
from stylegan_swap.faces.pixels.blur import blurred
from stylegan_swap.faces.pixels.colour import colourfulness, from_lab, match_colour, to_lab
from stylegan_swap.faces.tensors import from_pixels, points_of, to_pixels
from stylegan_swap.methods.base.network_method import BaseMethod
from stylegan_swap.methods.base.protocol import AlignedSwap

# A mouth counts as open when its inner height exceeds this share of the distance between the eyes.
OPEN_MOUTH = 0.03
# Width of the low-frequency band taken from the attribute photo, as a share of the crop's side.
LIGHT_SCALE = 0.08
# How much of that band is the attribute photo's.
LIGHT_SHARE = 0.7
FEATHER = 0.05
# Side of the copy on which light and skin are looked at, where a crop is larger.
COARSE_SIDE = 256
# How far around the frames of the identity's glasses nothing is taken where they are to stay behind.
FRAME_REACH = 0.008
# Lab lightness from which frames are seen there: pale rims, too; wrinkles among them are no loss.
PALE_STEP = 4.5


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """One aligned face: crop float32 ``[S, S, 3]`` in 0..255 and its landmarks ``[68, 2]`` in crop pixels.

    What is read off the face alone is worked out once.
    """

    image: np.ndarray
    landmarks: np.ndarray

    @functools.cached_property
    def glasses(self) -> bool:
        """Whether it wears glasses."""
        return wears_glasses(self.image, self.landmarks)

    @functools.cached_property
    def frames(self) -> np.ndarray:
        """Frames of its glasses, also pale ones, float32 ``[S, S]`` in 0..1."""
        return frame_mask(self.image, self.landmarks, PALE_STEP)

    @functools.cached_property
    def mirrored(self) -> AlignedFace:
        """The face that looks the other way."""
        landmarks = self.landmarks[MIRRORED].copy()
        landmarks[:, 0] = self.image.shape[1] - 1 - landmarks[:, 0]
        return AlignedFace(np.ascontiguousarray(self.image[:, ::-1]), landmarks)


class WarpMethod(BaseMethod[list[list[AlignedFace]]]):
    """The classical swap behind the ``Method`` protocol. People are lists of photos of theirs."""

    name = "warp"
    paper = "Bitouk et al., Face Swapping: Automatically Replacing Faces in Photographs, SIGGRAPH 2008"

    def _prepare(self, x_id: Tensor, landmarks: Tensor | None) -> list[list[AlignedFace]]:
        return [[face] for face in _as_faces(x_id, landmarks)]

    def combine(self, prepared: list[list[list[AlignedFace]]]) -> list[list[AlignedFace]]:
        """One person with several photos; each swap takes the one that looks the same way."""
        return [[face for people in prepared for photos in people for face in photos]]

    def _swap(
        self,
        person: list[list[AlignedFace]],
        x_attr: Tensor,
        landmarks: Tensor | None,
        options: Mapping[str, Any],
    ) -> AlignedSwap:
        attributes = _as_faces(x_attr, landmarks)
        people = person * len(attributes) if len(person) == 1 else person
        images, masks = [], []
        for photos, attribute in zip(people, attributes, strict=True):
            turn = _turn(attribute.landmarks)
            # Mirroring is allowed, so looking the other way by the same angle is as good.
            identity = min(photos, key=lambda photo: abs(abs(_turn(photo.landmarks)) - abs(turn)))
            image, mask = warp_swap(identity, attribute)
            images.append(from_pixels(image))
            masks.append(torch.from_numpy(mask)[None, None])
        return AlignedSwap(torch.cat(images), torch.cat(masks))


def warp_swap(
    identity: AlignedFace, attribute: AlignedFace, bare: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Swap one aligned face.

    Args:
        identity: the face to take; any crop size.
        attribute: the face to replace; the result has its crop size.
        bare: leave the frames of the identity's glasses out of the mask.

    Returns:
        The swapped crop, float32 ``[S, S, 3]`` in 0..255, and the mask to paste it with, float32 ``[S, S]``.
    """
    size = attribute.image.shape[0]
    identity = _facing_alike(identity, attribute)
    warped, warped_mask = warp_face(identity, attribute.landmarks, size)
    skin = _skin_mask(attribute.landmarks, size) * warped_mask
    matched = match_colour(warped, attribute.image, skin)
    hull = hull_mask(attribute.landmarks, size)
    lit = _relight(matched, attribute.image, hull, skin)
    mask = feathered(hull * (warped_mask > 0.99), FEATHER * size)
    mask *= _uncovered(attribute.landmarks, attribute.image, warped)
    mask *= 1 - _kept_mouth(identity.landmarks, attribute.landmarks, size)
    mask *= 1 - _kept_glasses(identity, attribute)
    if bare:
        mask *= 1 - _carried_glasses(identity, attribute.landmarks, size)
    return lit, mask


def warp_face(identity: AlignedFace, landmarks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Move the identity face so that its landmarks lie on the given ones.

    Args:
        identity: the face to move.
        landmarks: ``[68, 2]`` in pixels of the output.
        size: side of the output.

    Returns:
        The warped face, float32 ``[size, size, 3]``, and where it shows the inside of the identity crop,
        float32 ``[size, size]``.

    Raises:
        ValueError: the landmarks lie in one point or on one line.
    """
    target_points, source_points = _control_points(landmarks), _control_points(identity.landmarks)
    # A map this smooth needs no more than a coarse grid; enlarging it also rounds the triangles' creases.
    step = max(1, size // 256)
    grid = np.arange(step / 2 - 0.5, size + step, step)
    columns, rows = np.meshgrid(grid, grid)
    try:
        coordinates = LinearNDInterpolator(target_points, source_points - target_points)(columns, rows)
    except QhullError as error:
        raise ValueError("the landmarks span no face: they lie in one point or on one line") from error
    outside = np.isnan(coordinates[..., 0])
    coordinates[outside] = 0.0
    smooth = cv2.GaussianBlur(coordinates.astype(np.float32), (0, 0), 0.008 * size / step)
    inverse = np.array([[step, 0, step / 2 - 0.5], [0, step, step / 2 - 0.5]])
    displacement = cv2.warpAffine(
        smooth, inverse, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpAffine((~outside).astype(np.float32), inverse, (size, size), flags=cv2.INTER_LINEAR)
    columns, rows = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    source = _prefiltered(identity, landmarks)
    warped = cv2.remap(
        source,
        columns + displacement[..., 0],
        rows + displacement[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.clip(warped, 0, 255), inside


def _prefiltered(identity: AlignedFace, landmarks: np.ndarray) -> np.ndarray:
    """Low-pass a crop that is about to be shrunk, so that it does not alias."""
    source = identity.image.astype(np.float32)
    shrink = float(np.ptp(identity.landmarks[:, 0]) / max(float(np.ptp(landmarks[:, 0])), 1.0))
    if shrink <= 1.25:
        return source
    return cv2.GaussianBlur(source, (0, 0), 0.42 * np.sqrt(shrink**2 - 1))


def _control_points(landmarks: np.ndarray) -> np.ndarray:
    """The 68 landmarks, two rows of forehead, and a ring well outside that ends the warp gently."""
    points = np.asarray(landmarks, np.float64)
    forehead = raised_brows(points, 0.6, 1.6)
    outline = np.concatenate([points[JAW], forehead[10:]])
    centre = outline.mean(0)
    ring = centre + 1.8 * (outline - centre)
    return np.concatenate([points, forehead, ring])


def _facing_alike(identity: AlignedFace, attribute: AlignedFace) -> AlignedFace:
    """Mirror the identity face when it looks the other way: less of it has to be invented."""
    attribute_turn, identity_turn = _turn(attribute.landmarks), _turn(identity.landmarks)
    if abs(attribute_turn + identity_turn) + 0.25 >= abs(attribute_turn - identity_turn):
        return identity
    return identity.mirrored


def _turn(landmarks: np.ndarray) -> float:
    """How far the head is turned: log ratio of the nose's distances to both ends of the jaw."""
    nose = landmarks[27:31].mean(0)
    left_distance = np.linalg.norm(nose - landmarks[0:3].mean(0))
    right = np.linalg.norm(nose - landmarks[14:17].mean(0))
    return float(np.log((left_distance + 1.0) / (right + 1.0)))


def _skin_mask(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Where the face is skin: the hull without eyes and mouth, away from its edge."""
    inside = feathered(hull_mask(landmarks, size, forehead=0.4), 0.08 * size)
    features = np.maximum(eye_masks(landmarks, size, 0.015), inner_mouth_mask(landmarks, size, 0.02))
    return inside * (1 - features)


def _relight(face: np.ndarray, attribute: np.ndarray, mask: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Give the face the low frequencies of the attribute photo: its light and its shading."""
    lab = to_lab(face)
    # Frequencies this low fit on few pixels, where the wide blur costs next to nothing.
    side = min(COARSE_SIDE, len(face))
    coarse, coarse_attribute, weight = (_shrunk(image, side) for image in (lab, attribute, mask))
    weighted = np.dstack([(to_lab(coarse_attribute) - coarse) * weight[..., None], weight])
    low = cv2.resize(blurred(weighted, LIGHT_SCALE * side), mask.shape, interpolation=cv2.INTER_LINEAR)
    change = LIGHT_SHARE * low[..., :3] / np.maximum(low[..., 3:], 1e-3)
    # Coloured light is taken over by skin; on teeth and the white of the eyes it would read as a tint.
    change[..., 1:] *= colourfulness(lab, skin)
    return from_lab(lab + change)


def _uncovered(landmarks: np.ndarray, *images: np.ndarray) -> np.ndarray:
    """Lower towards the face's edge where a crop shows no skin: hair, a hand, a hat, the background.

    Args:
        landmarks: ``[68, 2]`` in pixels of the crops.
        images: crops of faces that lie pixel on pixel, float32 ``[S, S, 3]``; each must show skin.
    """
    size = len(images[0])
    side = min(size, COARSE_SIDE)
    points = enlarged_points(landmarks, size, side)
    sample = feathered(hull_mask(points, side, forehead=0.0), 0.12 * side) > 0.5
    sample &= eye_masks(points, side, 0.03) < 0.1
    sample &= inner_mouth_mask(points, side, 0.06) < 0.1
    shares = np.ones((size, size), np.float32)
    if sample.sum() < 50:
        return shares
    # Only towards the edge: eyes, brows, lips and nostrils are no skin either, and must be swapped.
    inner = feathered(hull_mask(points, side, forehead=0.05), 0.10 * side)
    for image in images:
        lab = cv2.GaussianBlur(to_lab(image if side == size else _shrunk(image, side)), (0, 0), 0.006 * side)
        median = np.median(lab[sample], axis=0)
        deviation = 1.4826 * np.median(np.abs(lab[sample] - median), axis=0) + np.array([6.0, 3.0, 3.0])
        distance = np.sqrt((np.square((lab - median) / deviation) * np.array([0.6, 1.0, 1.0])).sum(-1))
        skin = np.clip((5.5 - distance) / 2.0, 0, 1).astype(np.float32)
        skin = cv2.morphologyEx(skin, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        share = cv2.GaussianBlur(np.maximum(skin, inner), (0, 0), 0.008 * side)
        shares *= cv2.resize(share, (size, size), interpolation=cv2.INTER_LINEAR)
    return shares


def _shrunk(image: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def _kept_mouth(identity: np.ndarray, attribute: np.ndarray, size: int) -> np.ndarray:
    """The inside of the mouth where one mouth is open and the other is not: the attribute photo's stays."""
    openings = sorted((mouth_opening(identity), mouth_opening(attribute)))
    if openings[1] < OPEN_MOUTH or openings[0] > 0.5 * openings[1]:
        return np.zeros((size, size), np.float32)
    return inner_mouth_mask(attribute, size, 0.004)


def _kept_glasses(identity: AlignedFace, attribute: AlignedFace) -> np.ndarray:
    """The frames of the attribute photo's glasses; the identity's own glasses would lie over them."""
    if identity.glasses or not attribute.glasses:
        return np.zeros(attribute.image.shape[:2], np.float32)
    return frame_mask(attribute.image, attribute.landmarks)


def _carried_glasses(identity: AlignedFace, landmarks: np.ndarray, size: int) -> np.ndarray:
    """Where the frames of the identity's glasses come to lie."""
    if not identity.glasses:
        return np.zeros((size, size), np.float32)
    frames = np.repeat(identity.frames[..., None] * 255.0, 3, 2)
    carried = warp_face(AlignedFace(frames, identity.landmarks), landmarks, size)[0][..., 0] / 255.0
    reach = 2 * round(FRAME_REACH * size) + 1
    return np.clip(cv2.dilate(carried, np.ones((reach, reach), np.uint8)), 0, 1)


def _as_faces(x: Tensor, landmarks: Tensor | None) -> list[AlignedFace]:
    return list(map(AlignedFace, to_pixels(x), points_of(x, landmarks)))
