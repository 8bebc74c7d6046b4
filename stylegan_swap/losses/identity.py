"""Identity terms: the result shows the identity person and not the attribute person.

A recogniser can be fooled by a texture that no human sees, so it judges the result
through random views: what still satisfies it after shift, scale, blur, grey and flip is a face.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_swap.nn.recognisers.protocol import IdentityNetwork

SHIFT = 4 / 128
SCALE = 0.04
TURN = 0.07
BLUR = (0.25, 0.5, 0.25)


class RandomView:
    """Another camera's look at aligned faces: moved, scaled, turned, mirrored, soft, grey.

    Draws once, per image: shift up to 1/32 of the side, scale up to 4 %,
    turn up to 4°, mirrored in half, blurred in half, grey in a quarter. Applied to result and target alike,
    the two can be compared.

    Args:
        batch: number of images.
        device: where they are.
        generator: random stream; None is torch's global one.
    """

    def __init__(self, batch: int, device: torch.device, generator: torch.Generator | None = None) -> None:
        source = device if generator is None else generator.device

        def draw(low: float, high: float) -> Tensor:
            uniform = torch.rand(batch, device=source, generator=generator).to(device)
            return uniform * (high - low) + low

        scale, angle = 1 + draw(-SCALE, SCALE), draw(-TURN, TURN)
        mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        right, down = draw(-2 * SHIFT, 2 * SHIFT), draw(-2 * SHIFT, 2 * SHIFT)
        self._rows = torch.stack([cos * mirror, -sin, right, sin * mirror, cos, down], 1).view(-1, 2, 3)
        self._soft = (draw(0, 1) < 0.5).view(-1, 1, 1, 1)
        self._grey = (draw(0, 1) < 0.25).view(-1, 1, 1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """Look at ``[batch, 3, S, S]``, range [-1, 1]; differentiable in the image."""
        # In 16 bits coordinates step by whole pixels.
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            grid = F.affine_grid(self._rows, list(x.shape), align_corners=False)
            y = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
            taps = y.new_tensor(BLUR)
            kernel = torch.outer(taps, taps).expand(3, 1, 3, 3)
            soft = F.conv2d(F.pad(y, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
            y = torch.where(self._soft, soft, y)
            return torch.where(self._grey, y.mean(1, keepdim=True), y)


def identity_loss(recogniser: IdentityNetwork, embedding: Tensor, target: Tensor) -> Tensor:
    """Return 1 − cosine about the mean person per image, ``[batch]``: 0 same person, 1 a stranger.

    Args:
        recogniser: gives the mean person.
        embedding: of the result (or of a view of it), ``[batch, dim]``.
        target: of the identity person, ``[batch, dim]``.
    """
    return 1 - recogniser.similarity(embedding.float(), target)


def push_away_loss(
    recogniser: IdentityNetwork, embedding: Tensor, attribute: Tensor, margin: float = 0.1
) -> Tensor:
    """Return how far the result's likeness to the attribute person exceeds ``margin``, ``[batch]``.

    Args:
        recogniser: gives the mean person.
        embedding: of the result, ``[batch, dim]``.
        attribute: of the attribute person, ``[batch, dim]``.
        margin: cosine that strangers may have.
    """
    return (recogniser.similarity(embedding.float(), attribute) - margin).clamp_min(0)
