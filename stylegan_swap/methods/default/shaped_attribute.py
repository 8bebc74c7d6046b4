"""Aligned attribute faces with the features of the person who enters them: ``faces.reshape`` for tensors.

The first step inside the project's own method: everything after it finds eyes, brows, nose and mouth where
the identity person has them, in the attribute photo's pose and expression.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stylegan_swap.faces.geometry.face_shape import shaped_landmarks
from stylegan_swap.faces.geometry.reshape import reshaped
from stylegan_swap.faces.tensors import from_pixels, to_pixels


def with_features_of(
    people: Tensor | None, x_attr: Tensor, landmarks: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    """Move the features of aligned faces to where a person has them.

    Args:
        people: landmarks of whom the faces are to become, ``[batch, 68, 2]`` in pixels of their own pictures;
            None, or not finite: nothing moves.
        x_attr: ``[batch, 3, S, S]``, RGB in [-1, 1].
        landmarks: ``[batch, 68, 2]`` in their pixels.
        share: 0..1, how far to go; see ``faces.face_shape``.

    Returns:
        The faces ``[batch, 3, S, S]`` and where their landmarks lie now, ``[batch, 68, 2]``; what was given
        where nothing moves.
    """
    if people is None or share == 0:
        return x_attr, landmarks
    here = landmarks.cpu().numpy()
    both = zip(people.cpu().numpy(), here, strict=True)
    wanted = np.stack([shaped_landmarks(person, face, share) for person, face in both])
    if np.array_equal(wanted, here, equal_nan=True):
        return x_attr, landmarks
    faces = [from_pixels(reshaped(*parts)) for parts in zip(to_pixels(x_attr), here, wanted, strict=True)]
    return torch.cat(faces).to(x_attr), torch.from_numpy(wanted).to(landmarks.device)
