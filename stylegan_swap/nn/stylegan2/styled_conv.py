"""The two layers of the generator: styled convolution with noise, and the step to RGB.

Parameter names follow the exchange layout (`conv.weight`, `conv.modulation.*`, `noise.weight`,
`activate.bias`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cuda_ops.cpu_finish import cpu_kernels_serve, separable
from cuda_ops.cpu_to_rgb import cpu_to_rgb
from cuda_ops.dispatch import use_kernels
from cuda_ops.finish import add_noise_and_activate
from cuda_ops.fused_to_rgb import fused_to_rgb
from cuda_ops.layers import BiasedLeakyReLU, ModulatedConv2d, Upsample
from cuda_ops.modulated_conv2d import as_given
from cuda_ops.split_up_conv import split_serves
from cuda_ops.styled_conv2d import fused_styled_conv2d
from cuda_ops.winograd import winograd_serves


class NoiseWeight(nn.Module):
    """The one number by which a layer's noise is multiplied; key `weight` `[1]`, 0 at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, noise: Tensor, gain: float = 1.0) -> Tensor:
        """Scale `noise` `[batch or 1, 1, h, w]` by the weight and `gain`."""
        return noise * (self.weight * gain)


class StyledConv(nn.Module):
    """Modulated 3×3 convolution, noise, bias, leaky ReLU 0.2 times √2.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        style_dim: width of a W+ row.
        up: double the size.
        conv_clamp: limit of the absolute value of the result; None for none. Networks that
            NVIDIA trained in mixed precision use 256.

    Source: StyleGAN2 (Karras et al. 2020), figure 2c.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style_dim: int,
        up: bool = False,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, 3, style_dim, resample="up" if up else None)
        self.noise = NoiseWeight()
        self.activate = BiasedLeakyReLU(out_channels)
        self.conv_clamp = conv_clamp

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """Apply the layer.

        Args:
            x: `[batch, in, h, w]`.
            w: `[batch, style_dim]`.
            noise: `[batch or 1, 1, h', w']`, or None for none.

        Returns:
            `[batch, out, h', w']`, h' = 2h with `up`.
        """
        grown = 1 if self.conv.resample is None else 4
        if use_kernels(x) or cpu_kernels_serve(x, x[:, 0].numel() * self.activate.bias.numel() * grown):
            return self._fused(x, w, noise)
        # √2 is positive and passes through leaky ReLU, so every term carries it beforehand.
        gain = math.sqrt(2)
        y = self.conv(x, w, bias=self.activate.bias, gain=gain)
        scaled = None if noise is None else self.noise(noise.to(y), gain)
        return add_noise_and_activate(y, scaled, 0.2, self.conv_clamp)

    def _fused(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        conv = self.conv
        split = conv.resample == "up" and not use_kernels(x) and split_serves(x, conv.weight)
        turned = conv.resample is None and winograd_serves(x, conv.weight)
        return fused_styled_conv2d(
            x,
            conv.weight[0],
            conv.style_of(w),
            bias=self.activate.bias,
            noise=None if noise is None else noise.to(x.device),
            strength=None if noise is None else self.noise.weight,
            up=1 if conv.resample is None else 2,
            resample_filter=None if conv.resample is None else conv.blur.kernel,
            weight_gain=conv.scale,
            slope=0.2,
            gain=math.sqrt(2),
            clamp=self.conv_clamp,
            weight_square_sum=conv.remembered_square_sum(),
            winograd_weight=conv.remembered_winograd_weight() if turned else None,
            split_weight=conv.remembered_split_weight() if split else None,
        )


class ToRGB(nn.Module):
    """1×1 modulated convolution to RGB, added to the enlarged image of the block before.

    The sum over the blocks is kept in float32 where the network runs in 16 bits.

    Args:
        in_channels: channels of the hidden tensor.
        style_dim: width of a W+ row.
        upsample: whether there is a block before (buffer `upsample.kernel`).
        conv_clamp: as in `StyledConv`.

    Source: StyleGAN2 (Karras et al. 2020), figure 7b, output skips.
    """

    def __init__(
        self, in_channels: int, style_dim: int, upsample: bool = True, conv_clamp: float | None = None
    ) -> None:
        super().__init__()
        if upsample:
            self.upsample = Upsample()
        self.conv = ModulatedConv2d(in_channels, 3, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.conv_clamp = conv_clamp

    def forward(self, x: Tensor, w: Tensor, skip: Tensor | None = None) -> Tensor:
        """Give the RGB image so far.

        Args:
            x: `[batch, in, h, w]`.
            w: `[batch, style_dim]`.
            skip: `[batch, 3, h/2, w/2]`, the image of the block before, or None in the first.

        Returns:
            `[batch, 3, h, w]`, at least float32.
        """
        if use_kernels(x):
            taps = None if skip is None else self.upsample.kernel
            bias = self.bias.flatten()
            return fused_to_rgb(x, self._weight(x, w), bias, skip=skip, taps=taps, clamp=self.conv_clamp)
        if cpu_kernels_serve(x, x.numel()) and (skip is None or skip.dtype == torch.float32):
            factors = None if skip is None else separable(self.upsample.kernel)
            if skip is None or factors is not None:
                bias = self.bias.flatten()
                return cpu_to_rgb(x, self._weight(x, w), bias, skip=skip, taps=factors, clamp=self.conv_clamp)
        rgb = self.conv(x, w, bias=self.bias.flatten())
        rgb = rgb.to(torch.promote_types(rgb.dtype, torch.float32))
        if self.conv_clamp is not None:
            rgb = rgb.clamp(-self.conv_clamp, self.conv_clamp)
        if skip is None:
            return rgb
        with as_given(skip):
            return rgb + self.upsample(skip)

    def _weight(self, x: Tensor, w: Tensor) -> Tensor:
        """The weight `[batch, 3, in]` with style and gain, at least float32."""
        style = self.conv.style_of(w).to(torch.promote_types(x.dtype, torch.float32))
        return self.conv.weight[0, None, :, :, 0, 0] * (style * self.conv.scale)[:, None]
