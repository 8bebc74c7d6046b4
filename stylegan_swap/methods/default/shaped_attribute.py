"""Aligned attribute faces with the features of the person who enters them: ``faces.reshape`` for tensors.

The first step inside the project's own method: everything after it finds eyes, brows, nose and mouth where
the identity person has them, in the attribute photo's pose and expression.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stylegan_swap.faces.geometry.face_shape import shaped_landmarks
from stylegan_swap.faces.geometry.reshape import reshaping
from stylegan_swap.faces.tensors import from_pixels, to_pixels


class ShapedFaces(NamedTuple):
    """Faces whose features were moved.

    Attributes:
        image: ``[batch, 3, S, S]``, RGB in [-1, 1].
        landmarks: where the features lie now, ``[batch, 68, 2]``.
        spline_points: see ``AlignedSwap``; None where nothing moved.
        spline_weights: see there.
    """

    image: Tensor
    landmarks: Tensor
    spline_points: Tensor | None = None
    spline_weights: Tensor | None = None


def with_features_of(people: Tensor | None, x_attr: Tensor, landmarks: Tensor, share: float) -> ShapedFaces:
    """Move the features of aligned faces to where a person has them.

    Args:
        people: landmarks of whom the faces are to become, ``[batch, 68, 2]`` in pixels of their own pictures;
            None, or not finite: nothing moves.
        x_attr: ``[batch, 3, S, S]``, RGB in [-1, 1].
        landmarks: ``[batch, 68, 2]`` in their pixels.
        share: 0..1, how far to go; see ``faces.face_shape``.

    Returns:
        The faces; what was given where nothing moves.
    """
    if people is None or share == 0:
        return ShapedFaces(x_attr, landmarks)
    points = landmarks.cpu().numpy()
    target = np.stack([*map(shaped_landmarks, people.cpu().numpy(), points, [share] * len(points))])
    if np.array_equal(target, points, equal_nan=True):
        return ShapedFaces(x_attr, landmarks)
    faces, splines = to_pixels(x_attr), []
    for row, (source, destination) in enumerate(zip(points, target, strict=True)):
        move = reshaping(source, destination, x_attr.shape[-1])
        splines.append(None if move is None else (move.points, move.weights))
        faces[row] = faces[row] if move is None else move.apply(faces[row], source)
    image, new_landmarks = torch.cat([*map(from_pixels, faces)]).to(x_attr), torch.from_numpy(target)
    new_landmarks = new_landmarks.to(landmarks.device)
    solved = next(filter(None, splines), None)
    if solved is None:
        return ShapedFaces(image, new_landmarks)
    # Faces that stay have a spline of no weight.
    identity_spline = (solved[0], np.zeros_like(solved[1]))
    points, weights = map(np.stack, zip(*[spline or identity_spline for spline in splines], strict=True))
    return ShapedFaces(image, new_landmarks, torch.from_numpy(points), torch.from_numpy(weights))
