"""Expression term: lids, mouth and brows of the result do what the attribute person's do.

The differentiable form of what ``metrics.expression`` measures, for cross pairs,
where the shapes of the two faces differ and only openings and lifts can be compared.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylegan_swap.faces.detection.landmarks import EXPRESSION_SPREAD

# Openings and the lift of the corners depend least on whose face it is, brows and widths most.
WEIGHTS = (1.0, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 0.5, 0.5)
WRONG = 3.0


def expression_features(points: Tensor) -> Tensor:
    """Return nine measures of eyes, mouth and brows, ``[batch, 9]``, in distances between the eyes.

    Both eye openings (height over width), mouth width, inner and outer mouth opening, lift of the
    corners, height of both brows, gap between the brows.

    Args:
        points: ``[batch, 68, 2]`` (x, y), y down, in any unit.
    """
    left_eye, right_eye = points[:, 36:42].mean(1), points[:, 42:48].mean(1)
    across = right_eye - left_eye
    unit = across.square().sum(1, keepdim=True).clamp_min(1e-8).sqrt()
    axis = across / unit
    down = torch.stack([-axis[:, 1], axis[:, 0]], 1)

    def between(a: int, b: int) -> Tensor:
        return _length(points[:, a] - points[:, b]) / unit[:, 0]

    def height(p: Tensor) -> Tensor:
        return (p * down).sum(1) / unit[:, 0]

    def opening(first: int) -> Tensor:
        p = points[:, first : first + 6]
        lids = _length(p[:, 1] - p[:, 5]) + _length(p[:, 2] - p[:, 4])
        return lids / (2 * _length(p[:, 0] - p[:, 3]).clamp_min(1e-4))

    lips = (points[:, 62] + points[:, 66]) / 2
    return torch.stack(
        [
            opening(36),
            opening(42),
            between(48, 54),
            between(62, 66),
            between(51, 57),
            height(lips - (points[:, 48] + points[:, 54]) / 2),
            height(left_eye - points[:, 17:22].mean(1)),
            height(right_eye - points[:, 22:27].mean(1)),
            between(21, 22),
        ],
        1,
    )


def expression_loss(points: Tensor, target: Tensor) -> Tensor:
    """Return the weighted mean difference of the nine measures in units of their spread, ``[batch]``.

    Args:
        points: of the result, ``[batch, 68, 2]``.
        target: of the attribute photo, ``[batch, 68, 2]``; any unit, since the measures have none.
    """
    weights = points.new_tensor(WEIGHTS)
    spread = points.new_tensor(EXPRESSION_SPREAD)
    difference = (expression_features(points) - expression_features(target)).abs() / spread
    # Beyond three spreads a landmark is usually wrong, and its pull would tear the mouth.
    capped = difference.clamp_max(WRONG) + 0.2 * (difference - WRONG).clamp_min(0)
    return (capped * weights).sum(1) / weights.sum()


def _length(vector: Tensor) -> Tensor:
    return vector.square().sum(-1).clamp_min(1e-10).sqrt()
