"""FSLSD's decoder: the swapped face's features inside a mask, the attribute photo's outside, made an image.

On the road photo → detect → align → encoder → swapper → **generator** → paste it stands behind the
generator, whose features it reads, and in the place of pasting (Xu et al. 2022, FSLSD, §3.3). Parameter names
and shapes are those of the entry ``decoder`` of the released checkpoint without ``module.``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.layers import BiasedLeakyReLU, Blur
from stylegan_swap.nn.stylegan2.generator import channels_for

FIRST = 8
LAST_CHANNELS = 16


class TransposeBlur(nn.Module):
    """Plain transposed 3×3 convolution to twice the size, smoothed; neither norm nor activation.

    ``[batch, in, r, r]`` → ``[batch, out, 2r, 2r]``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.upsample_conv = nn.ConvTranspose2d(in_channels, out_channels, 3, 2)
        self.blur = Blur(padding=(1, 1), factor=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the enlarged map."""
        return self.blur(self.upsample_conv(x))


class BlendDecoder(nn.Module):
    """Blends two pyramids under a mask and decodes the blend; linear up to the last stage.

    14.9 M parameters at 1024.

    Args:
        size: side S of the image, a power of two from 16 on.
        channels: resolution → channels of both pyramids; None takes the published generator's.

    Raises:
        ValueError: a bad size, or a channel table that lacks a resolution.
    """

    def __init__(self, size: int, channels: Mapping[int, int] | None = None) -> None:
        super().__init__()
        table = channels_for(size) if channels is None else channels
        self.size = size
        self.resolutions = [2**k for k in range(3, size.bit_length())]
        missing = [r for r in self.resolutions if r not in table]
        if missing or size < 16:
            raise ValueError(f"BlendDecoder: size {size} from 16 on needs channels at {missing or '8..16'}.")
        stages: list[nn.Module] = []
        for r in self.resolutions[:-1]:
            # All but the first also read what the stage before put out.
            stages.append(TransposeBlur(table[r] * (1 if r == FIRST else 2), table[2 * r]))
        stages.append(
            nn.Sequential(
                nn.Conv2d(2 * table[size], LAST_CHANNELS, 3, 1, 1),
                BiasedLeakyReLU(LAST_CHANNELS),
                nn.Conv2d(LAST_CHANNELS, 3, 3, 1, 1),
            )
        )
        self.decoder = nn.ModuleList(stages)

    def forward(self, inside: Mapping[int, Tensor], outside: Mapping[int, Tensor], mask: Tensor) -> Tensor:
        """Decode the blend.

        Args:
            inside: the generator's features, resolution r → ``[batch, C_r, r, r]`` for r = 8..S.
            outside: the target encoder's, alike.
            mask: ``[batch, 1, S, S]``, 1 takes ``inside``; see :func:`mask_chain` for what becomes of it.

        Returns:
            ``[batch, 3, S, S]``, RGB around [-1, 1], not clipped.

        Raises:
            ValueError: if the mask has another side.
        """
        masks = mask_chain(mask, self.size)
        hidden: Tensor | None = None
        for r, stage in zip(self.resolutions, self.decoder, strict=True):
            blended = torch.lerp(outside[r], inside[r], masks[r].to(inside[r]).expand_as(inside[r]))
            hidden = stage(blended if hidden is None else torch.cat([blended, hidden], 1))
        assert hidden is not None
        return hidden


def mask_chain(mask: Tensor, size: int) -> dict[int, Tensor]:
    """The mask at every resolution, as FSLSD makes it: sampled at 8 pixels, then doubled step by step.

    So every mask, even the largest, is a soft version of 64 samples of the given one. Bilinear, without a
    filter, as in the library that the weights were trained with.

    Args:
        mask: ``[batch, 1, S, S]``.
        size: side S.

    Returns:
        r → ``[batch, 1, r, r]`` for r = 8..S.

    Raises:
        ValueError: if the mask has another shape.
    """
    if mask.ndim != 4 or mask.shape[1:] != (1, size, size):
        raise ValueError(f"mask must be [batch, 1, {size}, {size}], got {tuple(mask.shape)}.")
    masks: dict[int, Tensor] = {}
    for r in (2**k for k in range(3, size.bit_length())):
        mask = F.interpolate(mask, (r, r), mode="bilinear", align_corners=False)
        masks[r] = mask
    return masks
