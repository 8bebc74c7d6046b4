"""Landmark term: eyes, brows, nose, mouth and jaw of the result lie where the target's lie.

The points are those of ``nn.perception.landmark_net``.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Jaw, brows, nose, eyes, outer and inner lips. The jaw's points slide along the contour.
JAW_WEIGHT, EYE_WEIGHT, MOUTH_WEIGHT = 0.3, 2.0, 2.0


def landmark_loss(points: Tensor, target: Tensor) -> Tensor:
    """Return the weighted mean distance of the 68 points per image, ``[batch]``, in percent of the side.

    Args:
        points: of the result, ``[batch, 68, 2]`` in units of the side.
        target: of the photo that is the answer, likewise.
    """
    weights = torch.ones(68, device=points.device)
    weights[:17], weights[36:48], weights[48:] = JAW_WEIGHT, EYE_WEIGHT, MOUTH_WEIGHT
    distance = (points - target).square().sum(2).add(1e-10).sqrt()
    return 100 * (distance * weights).sum(1) / weights.sum()


def inner_landmark_loss(points: Tensor, target: Tensor) -> Tensor:
    """Return the mean distance of the 32 points of eyes and mouth, ``[batch]``, in percent of the side.

    Where the swapped face has another shape than the photo that gives pose and expression: jaw, brows and
    nose are the identity's. Arguments as in :func:`landmark_loss`.
    """
    return 100 * (points - target)[:, 36:].square().sum(2).add(1e-10).sqrt().mean(1)
