"""Path length: a step in W changes the image by the same amount everywhere.

GAN training alone uses this. What the regulariser buys is a generator whose codes are
easy to find again, which is what inversion and swapping live on (StyleGAN2, Karras et al. 2020, section 3.2).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PathLength(nn.Module):
    """The regulariser with the running mean that it pulls the lengths to.

    Args:
        decay: how much of the mean a batch replaces.
        weight: of the term.

    State: ``mean`` ``[]``, the running mean of the lengths.
    """

    mean: Tensor

    def __init__(self, decay: float = 0.01, weight: float = 2.0) -> None:
        super().__init__()
        self.decay = decay
        self.weight = weight
        self.register_buffer("mean", torch.zeros(()))

    def forward(
        self, images: Tensor, wplus: Tensor, *, every: int = 1, noise: Tensor | None = None
    ) -> Tensor:
        """Penalise each image's deviation from the mean length, and move the mean.

        The length is that of the gradient of Σ image·noise by the code, root mean square over rows: the
        expected size of the change that a unit step in W makes. The mean in the penalty has this batch
        in it and passes the gradient on; what is stored does not.

        Args:
            images: ``[batch, 3, H, W]`` with their graph down to ``wplus``.
            wplus: ``[batch, L, D]``, the tensor that the images were made of.
            every: number of steps that this one stands for (lazy regularisation); the penalty counts so
                often.
            noise: standard normal, shape of ``images``; None draws it.

        Returns:
            Penalty ``[batch]``, with a graph for a second derivative.

        Raises:
            ValueError: ``wplus`` is no ``[batch, L, D]`` tensor that requires a gradient.
        """
        if wplus.ndim != 3 or not wplus.requires_grad:
            raise ValueError(
                f"PathLength: the codes must be [batch, rows, width] and require a gradient, got "
                f"{list(wplus.shape)} with requires_grad={wplus.requires_grad}."
            )
        lengths = path_lengths(images, wplus, noise)
        mean = torch.lerp(self.mean.to(lengths), lengths.mean(), self.decay)
        with torch.no_grad():
            self.mean.copy_(mean)
        return (lengths - mean).square() * (self.weight * every)


def path_lengths(images: Tensor, wplus: Tensor, noise: Tensor | None = None) -> Tensor:
    """Lengths ``[batch]`` of the gradient of Σ image·noise/√(H·W) by the codes; arguments as `PathLength`."""
    draw = torch.randn_like(images) if noise is None else noise.to(images)
    side = math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * draw).sum() / side, wplus, create_graph=True)
    return gradient.float().square().sum(2).mean(1).sqrt()
