"""Raise a swapped crop to the photo's own resolution: pores, hair and grain that the network's image lacks.

A network loses what is finer than its own pixels, and draws the finest octave it has worst. Two photographs
still hold it: the attribute photo, pixel on pixel, and the identity photo, carried onto the attribute's
landmarks. What is finer than the network resolves is taken from them where the next coarser band of the photo
agrees with the swapped face, and on bare skin, where nothing contradicts, from the attribute photo; near
eyes, brows and mouth the identity photo goes first. What the network draws too softly gets the photo's
contrast (``contrast``), and eyeballs its lightness (``faces.pixels.eyes``). Where the identity photo fits,
its own lines and skin then take the place of what was drawn (``texture``).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from stylegan_swap.faces.geometry.align import Alignment, enlarged, enlarged_points
from stylegan_swap.faces.geometry.landmark_warp import carried, landmark_nodes, spread
from stylegan_swap.faces.masks.mask import fill_polygon, inner_mouth_mask
from stylegan_swap.faces.masks.regions import region_masks
from stylegan_swap.faces.pixels.blur import blurred
from stylegan_swap.faces.pixels.colour import luma, structure_band
from stylegan_swap.faces.pixels.eyes import with_eyes_of
from stylegan_swap.methods.warp.method import AlignedFace
from stylegan_swap.swapping.finish.contrast import match_contrast, match_finest
from stylegan_swap.swapping.finish.texture import with_texture_of

LARGEST = 2048  # side of the largest crop that is worked on, pixels
LEAST_GAIN = 1.15  # photo pixels per pixel that the network resolves, from which on anything is missing
SMALLEST_RESOLVED = 128  # pixels across the crop
WORK = 4  # pixels, per resolved one, on which contrast, eyes and the identity's lines are worked on
WINDOW = 2.5  # radius in resolved pixels within which the structure of photo and result is compared
STRUCTURE = 4.0  # grey levels of amplitude above which it is a structure and not only pores and grain
AGREES = (0.2, 0.6)  # correlation from which on a photo's detail is trusted, and trusted fully
LIGHT = (
    0.4,
    1.6,
)  # bounds of the factor that gives the identity's detail the contrast of the attribute's light
LIGHT_RADIUS = 4.0  # resolved pixels within which that light is measured
DARKEST = 8.0  # grey levels: light of the identity photo is not taken for less
FEATURE_MARGIN = 0.018  # reach of eyes, brows and lips beyond their landmarks, in shares of the side
MOUTH_MARGIN = 0.03  # the same for the identity's open mouth, whose teeth are nobody's business here
_FEATURE_SIDE = 256  # pixels on which the regions of features are drawn
_KEPT_SIDES = 2  # sides for which an identity's enlargements are kept


@dataclass(frozen=True, eq=False)
class FinePhoto:
    """An aligned face at its photo's own resolution.

    What depends on it alone is worked out once and kept.

    Attributes:
        crop: uint8 ``[P, P, 3]``.
        landmarks: float32 ``[68, 2]`` in pixels of the crop.
    """

    crop: np.ndarray
    landmarks: np.ndarray
    _kept: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)

    @classmethod
    def cut(cls, pixels: np.ndarray, landmarks: np.ndarray, alignment: Alignment) -> FinePhoto:
        """Cut a face out of a photo, as large as it is there."""
        fine = alignment.resized(fine_side(alignment))
        crop = np.rint(np.clip(fine.crop(pixels), 0, 255)).astype(np.uint8)
        return cls(crop, fine.to_crop(landmarks))

    @functools.cached_property
    def face(self) -> AlignedFace:
        """The face as the method ``warp`` reads it."""
        return AlignedFace(self.crop.astype(np.float32), self.landmarks)

    def points(self, side: int) -> np.ndarray:
        """The landmarks in a crop of that side."""
        return enlarged_points(self.landmarks, self.crop.shape[0], side)

    def seen(self, size: int, side: int) -> np.ndarray:
        """What a network of ``size`` sees of the face, float32 ``[side, side, 3]``."""
        low = self._remembered(("low", size), lambda: enlarged(self.crop, size))
        return self._remembered(("seen", size, side), lambda: enlarged(low, side))

    def missed(self, size: int, side: int) -> np.ndarray:
        """What a network of ``size`` misses of it, float32 ``[side, side, 3]``."""
        return self._remembered(
            ("missed", size, side), lambda: enlarged(self.crop, side) - self.seen(size, side)
        )

    def with_closed_mouth(self, size: int, side: int) -> Tensor:
        """What is seen, and in 0..1 whether it is not the inside of the mouth, ``[1, 4, side, side]``."""

        def stacked() -> Tensor:
            closed = 1 - np.clip(inner_mouth_mask(self.points(side), side, MOUTH_MARGIN), 0, 1)
            stack = np.dstack([self.seen(size, side), closed]).transpose(2, 0, 1)
            return torch.from_numpy(np.ascontiguousarray(stack, np.float32))[None]

        return self._remembered(("closed", size, side), stacked)

    def _remembered(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            # Frames of a clip ask for a side each: the oldest of a kind goes.
            alike = [known for known in list(self._kept) if known[0] == key[0]]
            for known in alike[: max(0, len(alike) - _KEPT_SIDES + 1)]:
                self._kept.pop(known, None)
            self._kept[key] = make()
        return self._kept[key]


def fine_side(alignment: Alignment) -> int:
    """Side of the crop at the photo's own scale, not below the method's and at most 2048."""
    # Rounded up: enlarging is cubic, shrinking would cost some of the grain.
    side = math.ceil(alignment.size / alignment.scale + 1e-6)
    return int(np.clip(side, alignment.size, max(LARGEST, alignment.size)))


def resolved_side(size: int) -> int:
    """How many pixels across the crop a network of that size really draws: from 256 on, half of them."""
    return min(size, max(SMALLEST_RESOLVED, size // 2))


def add_fine_detail(
    swapped: np.ndarray,
    pixels: np.ndarray,
    landmarks: np.ndarray,
    alignment: Alignment,
    identity: FinePhoto | None = None,
    strength: float = 1.0,
    nodes: Tensor | None = None,
) -> tuple[np.ndarray, Alignment]:
    """Enlarge a swapped crop to the photo's scale and add the detail that belongs there.

    Args:
        swapped: the method's crop, float32 ``[S, S, 3]`` in 0..255.
        pixels: the attribute photo, uint8 ``[H, W, 3]``.
        landmarks: of the attribute face, ``[68, 2]`` in photo pixels.
        alignment: the map the crop was cut with.
        identity: the identity photo; None takes detail from the attribute photo alone.
        strength: 0..1, a factor on all that is added.
        nodes: the map that carries the identity photo onto the landmarks, ``landmark_nodes`` of pictures of
        side
            S, ``[1, 2, 33, 33]``; None solves it.

    Returns:
        The crop, float32 ``[P, P, 3]`` in 0..255, and its alignment. What was given, where the photo is no
        finer than the network resolves.
    """
    side, size = fine_side(alignment), resolved_side(alignment.size)
    if alignment.size / alignment.scale < LEAST_GAIN * size or strength == 0:
        return swapped, alignment
    fine, small = alignment.resized(side), alignment.resized(size).crop(pixels)
    points, photo = fine.to_crop(landmarks), fine.crop(pixels)
    image = enlarged(swapped, side)
    detailed = image + _missing_detail(swapped, image, small, photo, points, identity, nodes)
    finished = _finished(detailed, photo, points, size, identity)
    if strength != 1:
        finished = image + strength * (finished - image)
    return np.clip(finished, 0, 255, out=finished), fine


def _finished(
    image: np.ndarray, photo: np.ndarray, points: np.ndarray, size: int, identity: FinePhoto | None
) -> np.ndarray:
    """Contrast, eyes and the identity's own lines, on a copy of which nothing finer would be missed."""
    side, work = len(image), min(len(image), WORK * size)
    copy, photo_copy = enlarged(image, work), enlarged(photo, work)
    work_points = enlarged_points(points, side, work)
    finished = match_contrast(copy, photo_copy, size)
    finished = with_eyes_of(finished, photo_copy, work_points, work / size)
    # Of fewer pixels a person's lines would be most of the face, whatever the network drew.
    if identity is not None and size >= SMALLEST_RESOLVED:
        finished = with_texture_of(finished, identity.face, photo_copy, work_points, size)
    if work == side:
        return finished
    return match_finest(image, photo, work, size) + enlarged(finished - copy, side)


def _missing_detail(
    swapped: np.ndarray,
    image: np.ndarray,
    small: np.ndarray,
    photo: np.ndarray,
    points: np.ndarray,
    identity: FinePhoto | None,
    nodes: Tensor | None,
) -> np.ndarray:
    """What to add to the enlarged crop ``image``; ``small`` is the photo as the network draws it."""
    side, size = image.shape[0], small.shape[0]
    # Where detail may go is a smooth map: half of the network's pixels across are enough to draw it.
    map_side = min(2 * size, side)
    unit = map_side / size
    features = _features(points * (map_side / side), map_side)
    face = enlarged(swapped, map_side)
    face_structure = structure_band(luma(face), unit)

    # On bare skin nothing contradicts; where the attribute's face has an edge the result must have it too.
    agrees, structured = _agreement(face_structure, enlarged(small, map_side), unit)
    own_share = (1 - structured * (1 - agrees)) * (1 - features) + agrees * features
    total_share = own_share
    detail = np.zeros_like(image)

    # Where the carried identity photo shows what was drawn, its detail goes first.
    if identity is not None:
        solved = len(swapped)
        if nodes is None or not nodes.isfinite().all():
            solved, pictured = map_side, enlarged_points(points, side, map_side)
            nodes, _ = landmark_nodes(_batch(identity.points(map_side)), _batch(pictured), map_side)
        carried_face, coverage = carried(
            identity.with_closed_mouth(size, map_side), nodes, torch.ones(1), solved
        )
        face_pixels = carried_face[0].permute(1, 2, 0).numpy()
        visible = face_pixels[..., 3] * np.clip(2 * coverage[0, 0].numpy(), 0, 1)
        agrees, structured = _agreement(face_structure, face_pixels[..., :3], unit)
        share = agrees * structured * visible * np.maximum(features, 0.5)
        face_light, own_light = (
            blurred(one.mean(2), LIGHT_RADIUS * unit) for one in (face, face_pixels[..., :3])
        )
        light = np.clip(face_light / np.maximum(own_light, DARKEST), *LIGHT)
        # Positions of the map are shares; pixel centres of the solved picture lie at i / solved.
        x, y = (spread(nodes, side, solved)[0] * side + (side / solved - 1) / 2).numpy()
        fine = cv2.remap(identity.missed(size, side), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        detail = fine * _map(share * light, side)
        own_share = own_share * (1 - share)
        total_share = own_share + share

    # What the photos give replaces what the network drew that fine.
    detail -= _map(total_share, side) * (image - enlarged(enlarged(swapped, size), side))
    detail += _map(own_share, side) * (photo - enlarged(small, side))
    return detail


def _batch(points: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(points, np.float32))[None]


def _agreement(result: np.ndarray, photo: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """How far a photo shows the structure that was drawn, and where it shows any; pictures of one side."""
    reference = structure_band(luma(photo), unit)
    products = np.dstack([result * reference, reference * reference, result * result])
    covariance, energy, drawn_energy = np.moveaxis(blurred(products, WINDOW * unit), 2, 0)
    correlation = covariance / np.sqrt(drawn_energy * energy + 1.0)
    low, high = AGREES
    agrees = np.clip((correlation - low) / (high - low), 0, 1)
    structured = np.clip(np.sqrt(np.maximum(energy, 0)) / STRUCTURE - 0.5, 0, 1)
    return agrees, structured


def _map(share: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(share, (side, side), interpolation=cv2.INTER_LINEAR)[..., None]


def _features(points: np.ndarray, side: int) -> np.ndarray:
    """Eyes, brows and mouth, with soft edges: float32 ``[side, side]``."""
    lips, _, brows, eyes = region_masks(points, side, _FEATURE_SIDE)
    mouth = fill_polygon(enlarged_points(points, side, _FEATURE_SIDE)[48:60], _FEATURE_SIDE)
    mask = np.maximum.reduce([lips, brows, eyes, mouth])
    radius = FEATURE_MARGIN * _FEATURE_SIDE
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(radius) + 1,) * 2)
    soft = cv2.GaussianBlur(cv2.dilate(mask, kernel), (0, 0), radius / 2)
    return np.clip(cv2.resize(soft, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1)
