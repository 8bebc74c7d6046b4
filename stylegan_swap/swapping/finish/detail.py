"""Raise a swapped crop to the photo's own resolution: pores, hair and grain that the network's image lacks.

The step between generator and paste: photo → detect → align → encoder → swapper → generator → **fine detail**
→ paste. A network loses what is finer than its own pixels, and draws the finest octave it has worst. Two
photographs still hold it: the attribute photo, pixel on pixel, and the identity photo, carried onto the
attribute's landmarks. What is finer than the network resolves is taken from them where the next coarser band
of the photo agrees with the swapped face, and on bare skin, where there is nothing to contradict, from the
attribute photo; near eyes, brows and mouth the identity photo goes first. What the network draws too softly
gets the photo's contrast (``band_contrast``), and eyeballs its lightness (``faces.eyes``). Where the identity
photo fits, its own lines and skin then take the place of what was drawn (``carried_texture``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from stylegan_swap.faces.geometry.align import Alignment, enlarged, enlarged_points
from stylegan_swap.faces.geometry.landmark_warp import landmark_nodes, warp_to_landmarks
from stylegan_swap.faces.masks.mask import fill_polygon, inner_mouth_mask
from stylegan_swap.faces.masks.regions import region_masks
from stylegan_swap.faces.pixels.blur import blurred
from stylegan_swap.faces.pixels.colour import luma, structure_band
from stylegan_swap.faces.pixels.eyes import with_eyes_of
from stylegan_swap.methods.warp.method import AlignedFace
from stylegan_swap.swapping.finish.contrast import match_contrast, match_finest
from stylegan_swap.swapping.finish.texture import with_texture_of

# The largest crop that is worked on, and from which enlargement on anything is missing.
LARGEST = 2048
LEAST_GAIN = 1.15
SMALLEST_RESOLVED = 128
# Pixels, for each that the network resolves, on which contrast, eyes and the identity's lines are worked on.
WORK = 4
# Radius, in pixels that the network resolves, within which the structure of photo and result is compared.
WINDOW = 2.5
# Amplitude of that structure, grey levels, above which there is a structure and not only pores and grain.
STRUCTURE = 4.0
# Correlation from which a photo's detail is trusted, and at which it is trusted fully.
AGREES = (0.2, 0.6)
# Bounds of the factor that gives the identity's detail the contrast of the attribute's light.
LIGHT = (0.4, 1.6)
# How far the regions of eyes, brows and lips reach beyond their landmarks, as a share of the side.
MARGIN = 0.018
# The same for the open mouth of the identity photo, whose teeth are nobody's business here.
CLOSED = 0.03


@dataclass(frozen=True, eq=False)
class FinePhoto:
    """An aligned face at its photo's own resolution.

    Attributes:
        crop: uint8 ``[P, P, 3]``.
        landmarks: float32 ``[68, 2]`` in pixels of the crop.
    """

    crop: np.ndarray
    landmarks: np.ndarray

    @classmethod
    def cut(cls, pixels: np.ndarray, landmarks: np.ndarray, alignment: Alignment) -> FinePhoto:
        """Cut a face out of a photo, as large as it is there."""
        fine = alignment.resized(fine_side(alignment))
        crop = np.rint(np.clip(fine.crop(pixels), 0, 255)).astype(np.uint8)
        return cls(crop, fine.to_crop(landmarks))

    def bands(self, size: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        """The face as a network of ``size`` sees it, and what it misses, ``[side, side, 3]``."""
        low = enlarged(self.crop, size)
        return low, enlarged(self.crop, side) - enlarged(low, side)


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
) -> tuple[np.ndarray, Alignment]:
    """Enlarge a swapped crop to the photo's scale and add the detail that belongs there.

    Args:
        swapped: the method's crop, float32 ``[S, S, 3]`` in 0..255.
        pixels: the attribute photo, uint8 ``[H, W, 3]``.
        landmarks: of the attribute face, ``[68, 2]`` in photo pixels.
        alignment: the map the crop was cut with.
        identity: the identity photo; None takes detail from the attribute photo alone.
        strength: 0..1, a factor on all that is added.

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
    detailed = image + _missing_detail(swapped, image, small, photo, points, identity)
    finished = _finished(detailed, photo, points, size, identity)
    if strength != 1:
        finished = image + strength * (finished - image)
    return np.clip(finished, 0, 255, out=finished), fine


def _finished(
    image: np.ndarray, photo: np.ndarray, points: np.ndarray, size: int, identity: FinePhoto | None
) -> np.ndarray:
    """Contrast, eyes and the identity's own lines, on a copy of which nothing finer would be missed."""
    side, work = len(image), min(len(image), WORK * size)
    copy, there, place = enlarged(image, work), enlarged(photo, work), enlarged_points(points, side, work)
    finished = match_contrast(copy, there, size)
    finished = with_eyes_of(finished, there, place, work / size)
    # Of fewer pixels a person's lines would be most of the face, whatever the network drew.
    if identity is not None and size >= SMALLEST_RESOLVED:
        person = AlignedFace(identity.crop.astype(np.float32), identity.landmarks)
        finished = with_texture_of(finished, person, there, place, size)
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
) -> np.ndarray:
    """What to add to the enlarged crop ``image``; ``small`` is the photo as the network draws it."""
    side, size = image.shape[0], small.shape[0]
    # Where detail may go is a smooth map: half of the network's pixels across are enough to draw it.
    drawn = min(2 * size, side)
    features = _features(points * (drawn / side), drawn)
    face = enlarged(swapped, drawn)
    agrees, structured = _agreement(face, enlarged(small, drawn), drawn / size)
    # On bare skin nothing contradicts; where the attribute's face has an edge the result must have it too.
    own_share = (1 - structured * (1 - agrees)) * (1 - features) + agrees * features
    taken = own_share
    detail = np.zeros_like(image)
    if identity is not None:
        low, high = identity.bands(size, side)
        moved, known = _carried(enlarged(low, drawn), identity, points, side)
        agrees, structured = _agreement(face, moved, drawn / size)
        share = agrees * structured * known * np.maximum(features, 0.5)
        light = np.clip(_mean(face, drawn / size) / np.maximum(_mean(moved, drawn / size), 8.0), *LIGHT)
        detail = _moved(high, identity, points) * _map(share * light, side)
        own_share = own_share * (1 - share)
        taken = own_share + share
    # What the photos give replaces what the network drew that fine.
    detail -= _map(taken, side) * (image - enlarged(enlarged(swapped, size), side))
    detail += _map(own_share, side) * (photo - enlarged(small, side))
    return detail


def _carried(
    image: np.ndarray, identity: FinePhoto, points: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """An image of the identity on the attribute's landmarks, and where it shows anything of use, 0..1."""
    size = image.shape[0]
    own = enlarged_points(identity.landmarks, identity.crop.shape[0], size)
    there = enlarged_points(points, side, size)
    closed = 1 - np.clip(inner_mouth_mask(own, size, CLOSED), 0, 1)[..., None]
    stack = np.concatenate([image, closed], 2).transpose(2, 0, 1)[None]
    moved, kept = warp_to_landmarks(
        torch.from_numpy(stack.astype(np.float32)),
        torch.from_numpy(own.astype(np.float32))[None],
        torch.from_numpy(there.astype(np.float32))[None],
    )
    whole = moved[0].permute(1, 2, 0).numpy()
    return whole[..., :3], whole[..., 3] * np.clip(2 * kept[0, 0].numpy(), 0, 1)


def _moved(image: np.ndarray, identity: FinePhoto, points: np.ndarray) -> np.ndarray:
    """The same for a large image of which only the picture is wanted; landmarks in its pixels."""
    side = len(image)
    own = enlarged_points(identity.landmarks, identity.crop.shape[0], side)
    first, last = (torch.from_numpy(np.asarray(each, np.float32))[None] for each in (own, points))
    nodes = landmark_nodes(first, last, side)[0] * side
    x, y = F.interpolate(nodes, (side, side), mode="bilinear", align_corners=True)[0].numpy()
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _agreement(result: np.ndarray, photo: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """How far both show the same in the band below the missing one, and where the photo shows anything."""
    ours, theirs = structure_band(luma(result), unit), structure_band(luma(photo), unit)
    window = WINDOW * unit
    together = blurred(ours * theirs, window)
    energy = blurred(theirs * theirs, window)
    scale = blurred(ours * ours, window) * energy
    correlation = together / np.sqrt(scale + 1.0)
    low, high = AGREES
    agrees = np.clip((correlation - low) / (high - low), 0, 1)
    structured = np.clip(np.sqrt(np.maximum(energy, 0)) / STRUCTURE - 0.5, 0, 1)
    return agrees, structured


def _mean(image: np.ndarray, unit: float) -> np.ndarray:
    return blurred(image.mean(2), 4 * unit)


def _map(share: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(share, (side, side), interpolation=cv2.INTER_LINEAR)[..., None]


def _features(points: np.ndarray, side: int) -> np.ndarray:
    """Eyes, brows and mouth, with soft edges: float32 ``[side, side]``."""
    drawn = 256
    lips, _, brows, eyes = region_masks(points, side, drawn)
    small = enlarged_points(points, side, drawn)
    mask = np.maximum.reduce([lips, brows, eyes, fill_polygon(small[48:60], drawn)])
    radius = MARGIN * drawn
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(radius) + 1,) * 2)
    soft = cv2.GaussianBlur(cv2.dilate(mask, kernel), (0, 0), radius / 2)
    return np.clip(cv2.resize(soft, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1)
