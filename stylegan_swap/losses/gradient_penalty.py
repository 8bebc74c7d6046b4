"""R1: the discriminator is flat at photographs, so that there is a slope for the generator elsewhere.

Used with every discriminator, that of images and that of codes. Mescheder et al.
(2018), "Which training methods for GANs do actually converge?"; lazy as in StyleGAN2, appendix B.
"""

from __future__ import annotations

import torch
from torch import Tensor


def r1_penalty(logits: Tensor, real: Tensor, gamma: float, every: int = 1) -> Tensor:
    """Half of ``gamma`` times the squared length of the gradient of the logit by the input, per sample.

    Lazy regularisation computes this only in one of ``every`` steps. The term then counts ``every``
    times, so that its mean over steps stays the same and ``gamma`` means the same at any interval.
    Whoever does so lets Adam forget at the corresponding speed: see ``lazy_adam``.

    Args:
        logits: what the discriminator says to ``real``, with its graph; samples must not depend on each
            other but through minibatch statistics.
        real: photographs or codes, batch first, that require a gradient; under augmentation the
            photographs *before* it, so that the slope counts in their own pixels.
        gamma: strength; about 0.0002·size²/batch for images (design of the "auto" settings of
            StyleGAN2-ADA), 10 for codes.
        every: number of steps that this one stands for.

    Returns:
        ``[batch]``, with a graph for a second derivative.

    Raises:
        ValueError: ``real`` has no gradient to give.
    """
    if not real.requires_grad:
        raise ValueError(
            "r1_penalty: the input must require a gradient before it goes into the discriminator; "
            "call detach().requires_grad_() on it first."
        )
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.float().square().flatten(1).sum(1) * (gamma / 2 * every)


def lazy_adam(lr: float, betas: tuple[float, float], every: int) -> tuple[float, tuple[float, float]]:
    """Learning rate and betas of Adam where a regulariser gets a step of its own every ``every`` steps.

    With k main steps the optimiser takes k + 1, so lr becomes lr·c and every beta its power c with
    c = k / (k + 1): as much progress and as long a memory per photograph as without laziness.

    Args:
        lr: learning rate for a regulariser in every step.
        betas: of Adam.
        every: k; 0 means that there is no regulariser and nothing changes.

    Returns:
        Corrected learning rate and betas.

    Source: StyleGAN2 (Karras et al. 2020), appendix B, "Lazy regularization".
    """
    if every <= 0:
        return lr, betas
    share = every / (every + 1)
    return lr * share, (betas[0] ** share, betas[1] ** share)
