"""RAFSwap's mask predictor: where the generator's face belongs, read off the generator's own features.

On the road photo → detect → align → encoder → swapper → generator → **paste** it gives the weights of the
blend ("face mask predictor", Xu et al. 2022, RAFSwap, §3.4). Parameter names and shapes are those of the
published checkpoint without ``mask.``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cuda_ops.layers import ConvLayer, EqualizedConv2d
from stylegan_swap.nn.stylegan2.generator import channels_for

WIDTH = 32
HIDDEN = 128


class MaskPredictor(nn.Module):
    """Both convolutions' outputs of every block from 8 pixels on → one mask; 1.8 M parameters.

    Args:
        size: side of the mask and of the last block that is read; a power of two from 8 on.
        channels: resolution → channels of the generator; None takes the published table.

    Raises:
        ValueError: if the table lacks a resolution.
    """

    def __init__(self, size: int = 256, channels: Mapping[int, int] | None = None) -> None:
        super().__init__()
        table = channels_for(size) if channels is None else channels
        self.size = size
        self.resolutions = [2**k for k in range(3, size.bit_length())]
        missing = [r for r in self.resolutions if r not in table]
        if missing or not self.resolutions:
            raise ValueError(f"MaskPredictor: size {size} from 8 on needs channels at {missing or 8}.")
        self.convs = nn.ModuleList()
        for r in self.resolutions:
            for _ in range(2):
                self.convs.append(ConvLayer(table[r], WIDTH, 3))
                self.convs.append(nn.Upsample((size, size), mode="nearest"))
        self.to_mask = nn.Sequential(
            ConvLayer(2 * WIDTH * len(self.resolutions), HIDDEN, 3),
            nn.Sequential(EqualizedConv2d(HIDDEN, 1, 3, 1, 1)),
        )

    def forward(self, first: Mapping[int, Tensor], second: Mapping[int, Tensor]) -> Tensor:
        """Return the mask ``[batch, 1, size, size]`` in 0..1, 1 = the generator's image.

        Args:
            first: resolution r → ``[batch, C_r, r, r]`` behind the first convolution of the block, for
                r = 8..size.
            second: behind the second, alike.
        """
        features = [side[r] for r in self.resolutions for side in (first, second)]
        layers = zip(self.convs[::2], self.convs[1::2], features, strict=True)
        return self.to_mask(torch.cat([enlarge(conv(x)) for conv, enlarge, x in layers], 1)).sigmoid()
