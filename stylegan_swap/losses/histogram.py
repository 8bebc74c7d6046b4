"""Style term: the face of the result has the colours of the attribute photo's face, as a histogram.

The "histogram matching" of BeautyGAN (Li et al. 2018), as FSLSD uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def histogram_loss(image: Tensor, attribute: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared difference to the histogram-matched image inside the face, ``[batch]``.

    Args:
        image: ``[batch, 3, S, S]``, range [-1, 1].
        attribute: like ``image``; gives the histogram.
        mask: ``[batch, 1, S, S]`` in 0..1, 1 = face of the attribute photo, where both are read.
    """
    matched = histogram_matched(image.detach().float(), attribute.float(), mask)
    difference = (image.float() - matched).square().mean(1, keepdim=True) * mask
    return difference.sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp_min(1)


@torch.no_grad()
def histogram_matched(image: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Return the image with the values of every channel replaced, rank by rank, by the reference's.

    Inside the mask (above 0.5) alone; arguments as in :func:`histogram_loss`.
    """
    result = image.clone()
    for channels, targets, inside in zip(result, reference, mask[:, 0] > 0.5, strict=True):
        for channel, target in zip(channels, targets, strict=True):
            ranks = channel[inside].argsort()
            values = torch.empty_like(ranks, dtype=channel.dtype)
            values[ranks] = target[inside].sort().values.to(channel.dtype)
            channel[inside] = values
    return result
