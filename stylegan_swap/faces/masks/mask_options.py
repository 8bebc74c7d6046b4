"""The user's options of the mask: its kind, regions that stay the photo's, its edge, what is cut off.

A method predicts where its face belongs; :func:`paste_mask` makes of that and of the landmarks the weights
``paste_back`` blends with. Everything happens on the aligned crop, so that an option means the same for a
small face, a large one and a tilted one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.faces.detection.landmarks import BROWS, LEFT_EYE, NOSE, OUTER_LIPS, RIGHT_EYE
from stylegan_swap.faces.masks.mask import feathered, fill_polygon, hull_mask, hull_points, raised_brows

KINDS = ("predicted", "hull", "inner", "box")
# Width of an edge that no option chose, as a share of the crop's side: of a mask, and round a kept region.
EDGE, KEPT_EDGE = 0.06, 0.03
WIDEST_BLUR = 0.5

# Region → polygons over the 68 points, and how far what belongs to it reaches beyond them, in units of the
# distance between the eyes: lids and lashes, the breadth of a brow, the wings of the nose.
_Polygons = Callable[[np.ndarray], list[np.ndarray]]
_REGIONS: dict[str, tuple[_Polygons, float]] = {
    "mouth": (lambda points: [points[OUTER_LIPS]], 0.08),
    "eyes": (lambda points: [points[LEFT_EYE], points[RIGHT_EYE]], 0.16),
    "brows": (lambda points: [points[17:22], points[22:27]], 0.12),
    "nose": (lambda points: [points[NOSE]], 0.12),
    "forehead": (lambda points: [np.concatenate([points[BROWS], raised_brows(points)])], 0.0),
}
REGIONS = tuple(_REGIONS)


@dataclass(frozen=True)
class MaskOptions:
    """Where the swapped face replaces the photo.

    Attributes:
        kind: ``"predicted"``: the method's own mask, which spares hands, hair and glasses; ``"hull"``: the
            outline of the landmarks with the forehead, whatever lies before it; ``"inner"``: brows, eyes,
            nose and mouth without cheeks and chin; ``"box"``: the upright rectangle round the hull. Several
            joined by ``+`` take the smallest at every pixel: ``"hull+predicted"``.
        keep: regions that stay the photo's: any of ``"mouth"``, ``"eyes"``, ``"brows"``, ``"nose"``,
            ``"forehead"``. Inside them not one bit of the photo changes.
        blur: width of the soft edge as a share of the crop's side, 0 to 0.5; it reaches inwards, never
            beyond the mask. None keeps each kind's own: what the method drew, 0.06 for the others.
        padding: shares of the box cut off at its top, right, bottom and left, each 0 to 1.

    Raises:
        UnsupportedOptionError: a kind or a region is unknown, or a number is out of range.
    """

    kind: str = "predicted"
    keep: tuple[str, ...] = ()
    blur: float | None = None
    padding: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        keep = self.keep.split(",") if isinstance(self.keep, str) else self.keep
        # A list, or the words "mouth,eyes", are what people write; kept as a tuple, so that it can be hashed.
        object.__setattr__(self, "keep", tuple(dict.fromkeys(filter(None, map(str.strip, keep)))))
        object.__setattr__(self, "padding", tuple(map(float, self.padding)))
        _check_names("mask", self.kinds, KINDS)
        _check_names("region to keep", self.keep, REGIONS)
        if self.blur is not None and not 0 <= self.blur <= WIDEST_BLUR:
            raise UnsupportedOptionError(f"mask blur is a share from 0 to {WIDEST_BLUR}, got {self.blur}")
        padding = self.padding
        if len(padding) != 4 or not np.logical_and(np.array(padding) >= 0, np.array(padding) <= 1).all():
            raise UnsupportedOptionError(
                f"mask padding is four shares from 0 to 1 (top, right, bottom, left), got {list(padding)}"
            )
        if padding[0] + padding[2] >= 1 or padding[1] + padding[3] >= 1:
            raise UnsupportedOptionError(f"mask padding {list(padding)} leaves nothing of the face: cut less")

    @classmethod
    def of(cls, mask: str | MaskOptions) -> MaskOptions:
        """Options as they are, or those of a kind's name."""
        return mask if isinstance(mask, MaskOptions) else cls(mask)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that ``kind`` joins."""
        return tuple(str(self.kind).replace(" ", "").split("+"))

    @property
    def neutral(self) -> bool:
        """Whether the method's mask is taken as it is."""
        return self == MaskOptions()


def paste_mask(
    options: MaskOptions,
    predicted: np.ndarray,
    landmarks: np.ndarray,
    bystanders: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """The weights of the blend.

    Args:
        options: what the user asked for.
        predicted: the method's mask, float32 ``[S, S]`` in 0..1.
        landmarks: of the attribute face, ``[68, 2]`` in crop pixels.
        bystanders: landmarks of faces that must stay as they are, in the same pixels; they may lie outside.

    Returns:
        float32 ``[S, S]`` in 0..1; 1 takes the swapped face, 0 keeps the photo.
    """
    size = predicted.shape[0]
    weights = predicted if options.neutral else _chosen_mask(options, predicted, landmarks)
    for bystander in bystanders:
        low, high = bystander.min(0), bystander.max(0)
        if (high > 0).all() and (low < size - 1).all():
            # Two pixels more, so that enlarging the crop leaves all of that face at 0.
            hull = cv2.dilate(hull_mask(bystander, size), np.ones((5, 5), np.uint8))
            weights = np.where(hull > 0, 0, weights).astype(np.float32)
    return weights


def _chosen_mask(options: MaskOptions, predicted: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """What the options make of the method's mask."""
    size = predicted.shape[0]
    points = np.asarray(landmarks, np.float32)
    edge = (EDGE if options.blur is None else options.blur) * size
    masks = []
    for kind in options.kinds:
        if kind == "predicted":
            masks.append(predicted)
            if options.blur is not None:
                masks.append(feathered(predicted, edge))
        elif kind == "hull":
            masks.append(feathered(hull_mask(points, size), edge))
        elif kind == "inner":
            inner = cv2.convexHull(points[17:]).reshape(-1, 2)
            masks.append(feathered(fill_polygon(inner, size), edge))
        else:
            masks.append(feathered(_box(points, size), edge))
    if any(options.padding):
        masks.append(feathered(_box(points, size, options.padding), edge))
    weights = functools.reduce(np.minimum, masks).astype(np.float32)
    if options.keep:
        around = (KEPT_EDGE if options.blur is None else options.blur) * size
        weights *= 1 - kept_mask(points, size, options.keep, around)
    return weights


def kept_mask(landmarks: np.ndarray, size: int, regions: tuple[str, ...], edge: float) -> np.ndarray:
    """Where the photo stays: 1 in the regions, falling smoothly to 0 at ``edge`` pixels outside them.

    ``landmarks``: ``[68, 2]`` in crop pixels; ``size``: side of the crop; ``regions``: names from
    ``REGIONS``; ``edge``: in pixels of the crop. Returns float32 ``[size, size]``, exactly 1 inside.
    """
    points = np.asarray(landmarks, np.float32)
    eye_distance = float(np.linalg.norm(points[LEFT_EYE].mean(0) - points[RIGHT_EYE].mean(0)))
    protected = np.zeros((size, size), np.float32)
    for name in regions:
        polygons, reach = _REGIONS[name]
        for polygon in polygons(points):
            inside = fill_polygon(cv2.convexHull(polygon).reshape(-1, 2), size) > 0
            # A face that the crop shows only in part may have a region outside it.
            if not inside.any():
                continue
            distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
            # A pixel more, so that enlarging the crop leaves the region itself at 1.
            fall = np.clip((distance - reach * eye_distance - 1) / max(edge, 1.0), 0, 1)
            protected = np.maximum(protected, 1 - fall * fall * (3 - 2 * fall))
    return protected.astype(np.float32)


def _box(
    points: np.ndarray, size: int, padding: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
) -> np.ndarray:
    """The rectangle round the hull, less what is cut off, ``[size, size]``, 0 and 1."""
    hull = hull_points(points)
    low, high = hull.min(0), hull.max(0)
    top, right, bottom, left = padding
    extent = high - low
    first, last = low + extent * [left, top], high - extent * [right, bottom]
    columns = np.arange(size)
    across = (columns >= first[0]) & (columns <= last[0])
    down = (columns >= first[1]) & (columns <= last[1])
    return np.outer(down, across).astype(np.float32)


def _check_names(subject: str, names: tuple[str, ...], choices: tuple[str, ...]) -> None:
    for name in names:
        if name not in choices:
            raise UnsupportedOptionError(f"unknown {subject} {name!r}: choose from {', '.join(choices)}")
