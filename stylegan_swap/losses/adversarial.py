"""Adversarial terms: the discriminator tells photographs from results, the generator is not told apart.

Every stage with a discriminator uses this pair. Non-saturating logistic loss of
Goodfellow et al. (2014), as in StyleGAN2 (Karras et al. 2020).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_adversarial(fake: Tensor) -> Tensor:
    """What the generator minimises, per image: softplus(−logit).

    Args:
        fake: logits of results, any shape with the batch first; above 0 for "photograph".

    Returns:
        ``[batch]``, above 0; log 2 where the discriminator is undecided.
    """
    return F.softplus(-fake.float()).flatten(1).mean(1) if fake.ndim > 1 else F.softplus(-fake.float())


def discriminator_adversarial(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """What the discriminator minimises: softplus(−logit) of photographs, softplus(logit) of results.

    The two come apart, because their backward passes usually do: the graph of one is gone before
    the other is built.

    Args:
        real: logits of photographs, any shape with the batch first.
        fake: logits of results.

    Returns:
        Two ``[batch]`` tensors, of the photographs and of the results; 2·log 2 in sum where undecided.
    """
    return generator_adversarial(real), generator_adversarial(-fake)


@torch.no_grad()
def mean_sign(logits: Tensor) -> Tensor:
    """Mean sign of logits, ``[]`` in -1..1: how sure the discriminator is of what it was shown.

    Of photographs it is the measure of overfitting that steers ADA: 0 for an undecided discriminator,
    1 for one that knows every photograph (Karras et al. 2020, "Training GANs with limited data", eq. 1).
    """
    return logits.float().sign().mean()
