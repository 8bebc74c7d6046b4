"""From aligned faces to the inputs of an exported file, as numpy arrays.

What ``methods.default`` does with pixels before the network: landmarks, glasses, readable parts. Programs in
other languages do the same or leave it out; docs/export.md says what that costs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stylegan_swap.faces.masks.glasses import wears_glasses
from stylegan_swap.faces.masks.readable import readable_face
from stylegan_swap.faces.tensors import points_of, to_pixels
from stylegan_swap.methods.default.shaped_attribute import with_features_of


def feed_of(
    x_id: Tensor,
    x_attr: Tensor,
    id_landmarks: Tensor | None = None,
    attr_landmarks: Tensor | None = None,
    *,
    structure: float = 1.0,
    appearance: float = 0.0,
) -> dict[str, np.ndarray]:
    """Return what ``onnxruntime.InferenceSession.run`` takes, by input name.

    The attribute face is given the features of the identity, as ``swap_aligned`` does with networks that read
    the identity photo, such as the default.

    Args:
        x_id: the identity's FFHQ-aligned face, ``[1, 3, S, S]``, RGB in [-1, 1], S the file's side.
        x_attr: the attribute photo's, likewise.
        id_landmarks: ``[1, 68, 2]`` in pixels of ``x_id``; predicted where not given.
        attr_landmarks: of ``x_attr``, likewise.
        structure: 0..1, see ``swap``.
        appearance: 0..1, see ``swap``.

    Raises:
        ValueError: not one square face each, or of different sides.
    """
    if x_id.ndim != 4 or x_id.shape != x_attr.shape or x_id.shape[2] != x_id.shape[3] or len(x_id) != 1:
        raise ValueError(
            f"an exported file takes two faces [1, 3, S, S], got {list(x_id.shape)} and {list(x_attr.shape)}"
        )
    face, points = to_pixels(x_id)[0], points_of(x_id, id_landmarks)[0]
    glasses = wears_glasses(face, points)
    there = torch.from_numpy(points_of(x_attr, attr_landmarks)[0])[None]
    shaped, there = with_features_of(torch.from_numpy(points)[None], x_attr, there, structure)[:2]
    return {
        "identity": x_id.detach().float().cpu().numpy(),
        "identity_landmarks": points[None].astype(np.float32),
        "identity_usable": readable_face(face, points, glasses)[None, None].astype(np.float32),
        "identity_glasses": np.array([glasses]),
        "attribute": shaped.detach().float().cpu().numpy(),
        "attribute_landmarks": there.float().numpy(),
        "structure": np.array([structure], np.float32),
        "appearance": np.array([appearance], np.float32),
    }
