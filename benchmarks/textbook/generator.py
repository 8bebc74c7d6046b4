"""StyleGAN2's generator by the textbook, running on the weights of ours.

The up-sampling filter runs as one depth-wise convolution over all channels, the kinder of two common ways;
``single_channel=True`` takes the other, one single-channel convolution over ``batch · channels`` images,
which is what several public ports fall back to without a GPU.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops import ModulatedConv2d
from cuda_ops.layers import StyledConv, ToRGB
from stylegan_swap.nn.stylegan2.generator import Generator


class TextbookGenerator:
    """Callable like ours: W+ codes ``[batch, L, D]`` → image ``[batch, 3, S, S]``.

    Args:
        network: whose weights to use.
        single_channel: how the filter runs; see above.
    """

    def __init__(self, network: Generator, *, single_channel: bool = False) -> None:
        self.network = network
        self.single_channel = single_channel

    def __call__(self, wplus: Tensor, structure: Tensor | None = None) -> Tensor:
        """Synthesise images, with the stored noise maps."""
        network = self.network
        constant = network.input.input
        wplus = wplus.to(constant)
        start = constant if structure is None else structure.to(constant)
        hidden = start.expand(wplus.shape[0], -1, -1, -1).contiguous()
        hidden = self._styled(network.conv1, hidden, wplus[:, 0], self._noise(0))
        image = self._to_rgb(network.to_rgb1, hidden, wplus[:, 1], None)
        for j in range(len(network.resolutions) - 1):
            for k in (1, 2):
                layer = network.convs[2 * j + k - 1]
                hidden = self._styled(layer, hidden, wplus[:, 2 * j + k], self._noise(2 * j + k))
            image = self._to_rgb(network.to_rgbs[j], hidden, wplus[:, 2 * j + 3], image)
        return image

    def _noise(self, index: int) -> Tensor:
        return self.network.noises.get_buffer(f"noise_{index}")

    def _styled(self, layer: StyledConv, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        y = self._modulated(layer.conv, x, w)
        y = y + layer.noise.weight * noise
        y = F.leaky_relu(y + layer.activate.bias.view(1, -1, 1, 1), 0.2)
        return y * math.sqrt(2)

    def _to_rgb(self, layer: ToRGB, x: Tensor, w: Tensor, skip: Tensor | None) -> Tensor:
        rgb = self._modulated(layer.conv, x, w) + layer.bias
        if skip is None:
            return rgb
        batch, channels, height, width = skip.shape
        # Zeros behind every sample, then the filter.
        wide = skip.view(batch, channels, height, 1, width, 1)
        wide = F.pad(wide, (0, 1, 0, 0, 0, 1)).reshape(batch, channels, 2 * height, 2 * width)
        return rgb + self.filter(wide, layer.upsample.kernel, (2, 1))

    def _modulated(self, conv: ModulatedConv2d, x: Tensor, w: Tensor) -> Tensor:
        batch, inner, height, width = x.shape
        out = conv.weight.shape[1]
        weight = conv.scale * conv.weight * conv.modulation(w).view(batch, 1, inner, 1, 1)
        if conv.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        kernel = weight.shape[3]
        x = x.reshape(1, batch * inner, height, width)
        if conv.resample == "up":
            weight = weight.transpose(1, 2).reshape(batch * inner, out, kernel, kernel)
            y = F.conv_transpose2d(x, weight, stride=2, groups=batch)
            y = y.view(batch, out, 2 * height + 1, 2 * width + 1)
            return self.filter(y, conv.blur.kernel, (1, 1))
        weight = weight.reshape(batch * out, inner, kernel, kernel)
        y = F.conv2d(x, weight, padding=kernel // 2, groups=batch)
        return y.view(batch, out, height, width)

    def filter(self, x: Tensor, taps: Tensor, pad: tuple[int, int]) -> Tensor:
        """Pad both axes by ``pad`` and convolve every channel with ``taps`` ``[4, 4]``."""
        batch, channels = x.shape[:2]
        x = F.pad(x, (*pad, *pad))
        kernel = taps.to(x).flip((0, 1))[None, None]
        if self.single_channel:
            y = F.conv2d(x.reshape(batch * channels, 1, *x.shape[2:]), kernel)
            return y.view(batch, channels, *y.shape[2:])
        return F.conv2d(x, kernel.expand(channels, -1, -1, -1), groups=channels)
