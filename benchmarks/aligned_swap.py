"""Aligned faces in, pasted aligned faces out, for any method: what the checks on crops have in common.

The paste is the one of a swap: ``swap_aligned``, then mask · image + (1 − mask) · attribute, in 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from stylegan_swap.faces.detection.landmarks import landmarks_of_crop
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.methods.base.protocol import Method
from stylegan_swap.metrics.sample import Sample, View
from stylegan_swap.training.data.photos import Photos

# dlib's landmarks were made for faces of about this size.
_LANDMARK_SIDE = 256


def photo_view(photos: Photos, number: int, size: int) -> View:
    """An aligned photo of the set with its landmarks, at side ``size``."""
    return View(
        photos.resized(number, size),
        photos.landmarks(number, size),
        photos.name(number),
        photos.person(number),
    )


def prepared(method: Method, identity: View) -> Any:
    """The person of an aligned view, as the method wants them."""
    return method.prepare(from_pixels(identity.pixels), _points(identity))


def pasted(method: Method, person: Any, attribute: View) -> tuple[np.ndarray, np.ndarray]:
    """Swap an aligned view.

    Returns:
        The composite, uint8 ``[S, S, 3]``, and the mask, float32 ``[S, S]``.
    """
    x = from_pixels(attribute.pixels)
    swapped = method.swap_aligned(person, x, _points(attribute))
    mask, image = swapped.mask.float().cpu(), swapped.image.float().cpu()
    pixels = to_pixels(mask * image + (1 - mask) * x)[0]
    return np.rint(pixels).astype(np.uint8), mask[0, 0].numpy()


def swapped_sample(method: Method, identity: View, attribute: View, person: Any = None) -> Sample:
    """Swap and find the landmarks afresh in the result; ``person`` replaces what the method prepares."""
    person = prepared(method, identity) if person is None else person
    pixels, mask = pasted(method, person, attribute)
    result = View(pixels, fresh_landmarks(pixels), "result")
    return Sample(identity, attribute, result, mask)


def fresh_landmarks(pixels: np.ndarray) -> np.ndarray:
    """Landmarks of an aligned crop ``[S, S, 3]``, by dlib at 256 px, in pixels of the crop."""
    side = pixels.shape[0]
    if side < _LANDMARK_SIDE:
        large = cv2.resize(pixels, (_LANDMARK_SIDE, _LANDMARK_SIDE), interpolation=cv2.INTER_CUBIC)
        return ((landmarks_of_crop(large) + 0.5) * (side / _LANDMARK_SIDE) - 0.5).astype(np.float32)
    return landmarks_of_crop(pixels)


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], side: int = 160) -> np.ndarray:
    """Rows of pictures ``[S, S, 3]`` under each other, two rows side by side, uint8."""
    strips = [np.hstack([_tile(picture, side) for picture in row]) for row in rows]
    strips += [np.zeros_like(strips[0])] * (-len(strips) % 2)
    return np.vstack([np.hstack(strips[i : i + 2]) for i in range(0, len(strips), 2)])


def _tile(picture: np.ndarray, side: int) -> np.ndarray:
    method = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_CUBIC
    return cv2.resize(picture, (side, side), interpolation=method)


def _points(view: View) -> torch.Tensor:
    return torch.from_numpy(np.asarray(view.landmarks, np.float32))[None]
