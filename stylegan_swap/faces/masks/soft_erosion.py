"""MegaFS's soft erosion: a hard face mask shrinks and gets a smooth edge in one go.

Zhu et al. 2021, "One Shot Face Swapping on Megapixels"; the published post-processing. Reads and writes
tensors, because the mask comes with the generator's image.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

KERNEL = 17
THRESHOLD = 0.9
ITERATIONS = 7


def soft_erosion(
    mask: Tensor, kernel: int = KERNEL, threshold: float = THRESHOLD, iterations: int = ITERATIONS
) -> tuple[Tensor, Tensor]:
    """Erode masks softly.

    All rounds but the last take x ← min(x, K∗x), the last x ← K∗x, with zeros beyond the border, so a
    mask that touches it is eroded there too. What then reaches ``threshold`` becomes 1; the rest is divided
    by the largest value among it. An empty mask stays empty (the published formula is 0/0 there).

    Args:
        mask: ``[batch, 1, h, w]`` in 0..1, 1 = face.
        kernel: side of the cone K, odd.
        threshold: see above.
        iterations: rounds, at least 1. The defaults are what MegaFS uses at 1024 pixels.

    Returns:
        The soft mask ``[batch, 1, h, w]`` in 0..1, and where it is 1, as booleans.

    Raises:
        ValueError: if a number is out of range or the mask is not a batch of single channels.
    """
    if mask.ndim != 4 or mask.shape[1] != 1:
        raise ValueError(f"mask must be [batch, 1, height, width], got {tuple(mask.shape)}.")
    if kernel < 3 or kernel % 2 == 0 or iterations < 1:
        raise ValueError(
            f"kernel must be odd from 3 and iterations from 1, got kernel={kernel}, iterations={iterations}."
        )
    cone = erosion_kernel(kernel).to(mask)
    x = mask
    for _ in range(iterations - 1):
        x = torch.minimum(x, F.conv2d(x, cone, padding=kernel // 2))
    x = F.conv2d(x, cone, padding=kernel // 2)
    hard = x >= threshold
    soft = x.masked_fill(hard, 0)
    # Each mask by its own maximum: a face's edge must not depend on the others of its batch.
    largest = soft.amax((2, 3), keepdim=True)
    soft = torch.where(largest > 0, soft / largest.clamp(min=torch.finfo(x.dtype).tiny), soft)
    return soft.masked_fill(hard, 1), hard


def erosion_kernel(side: int) -> Tensor:
    """The cone K ``[1, 1, side, side]`` of sum 1: its height falls with the distance, to 0 at the corners."""
    offsets = torch.arange(side, dtype=torch.float32) - side // 2
    distance = (offsets.square() + offsets.square()[:, None]).sqrt()
    cone = distance.max() - distance
    return (cone / cone.sum())[None, None]
