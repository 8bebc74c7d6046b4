"""Pixel term: absolute difference to a target photo, heavier where people look.

Used where training knows the answer: reverse triplets and pairs of one person.
"""

from __future__ import annotations

from torch import Tensor

from stylegan_swap.nn.blocks.landmark_maps import landmark_maps

# A Gaussian of this share of the side around each landmark of eyes and mouth covers lids, iris and lips.
PART_SIGMA = 0.03


def pixel_weights(mask: Tensor, landmarks: Tensor, *, parts: float = 3.0, outside: float = 0.3) -> Tensor:
    """Say how much each pixel counts: 1 inside the face, more at eyes and mouth, less outside.

    Args:
        mask: ``[batch, 1, S, S]`` in 0..1, 1 = face.
        landmarks: ``[batch, 68, 2]`` in pixels of S.
        parts: weight at eyes and mouth.
        outside: weight where the mask is 0.

    Returns:
        ``[batch, 1, S, S]``.
    """
    maps = landmark_maps(landmarks, mask.shape[-1], like=mask, sigma=PART_SIGMA)
    near = maps.amax(1, keepdim=True)
    return outside + mask * (1 - outside) + (parts - 1) * near * mask


def pixel_loss(image: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean absolute difference per image, ``[batch]``.

    Args:
        image: ``[batch, 3, S, S]``, range [-1, 1].
        target: like ``image``.
        weights: ``[batch, 1, S, S]``; only their proportions within an image count.
    """
    difference = (image.float() - target).abs().mean(1, keepdim=True)
    return (difference * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp_min(1e-6)
