"""Heat maps of eyes and mouth: where the attribute photo looks and what its mouth does.

They go with the attribute image into the attribute encoder, so that gaze and expression survive at 8 to 32
pixels, where a photograph alone is too coarse to show them.
"""

from __future__ import annotations

import torch
from torch import Tensor

# iBUG 68-point order: left eye, right eye, outer lips, inner lips.
PARTS = (range(36, 42), range(42, 48), range(48, 60), range(60, 68))
CHANNELS = len(PARTS)
POINTS = 68
SIGMA = 0.012


def landmark_maps(landmarks: Tensor | None, size: int, *, like: Tensor, sigma: float = SIGMA) -> Tensor:
    """Draw eye and mouth landmarks as Gaussians.

    Args:
        landmarks: ``[batch, 68, 2]`` (x, y) in pixels of an image of side ``size``, pixel centres at
            integers; None, or a face whose points are not finite, gives blank maps.
        size: side of the maps.
        like: tensor that gives batch size, device and dtype.
        sigma: radius of a point as a fraction of the side.

    Returns:
        ``[batch, 4, size, size]`` in [0, 1]: left eye, right eye, outer lips, inner lips; each pixel
        the maximum over the part's points. Differentiable in the landmarks.

    Raises:
        ValueError: if the landmarks have another shape or batch size.
    """
    batch = like.shape[0]
    if landmarks is None:
        return like.new_zeros(batch, CHANNELS, size, size)
    if landmarks.shape != (batch, POINTS, 2):
        raise ValueError(f"landmarks must be [{batch}, {POINTS}, 2], got {tuple(landmarks.shape)}.")
    points = landmarks.to(like.device, torch.float32)
    usable = points.isfinite().all(dim=2).all(dim=1)
    points = torch.where(usable.view(-1, 1, 1), points, torch.zeros_like(points))
    grid = torch.arange(size, device=like.device, dtype=torch.float32)
    scale = -0.5 / (sigma * size) ** 2
    # A Gaussian is the product of its two profiles, so no [batch, 68, size, size] exponential.
    across = (scale * (grid - points[..., :1]) ** 2).exp()
    down = (scale * (grid - points[..., 1:]) ** 2).exp()
    maps = [(down[:, part, :, None] * across[:, part, None, :]).amax(1) for part in map(list, PARTS)]
    return (torch.stack(maps, 1) * usable.view(-1, 1, 1, 1)).to(like.dtype)
