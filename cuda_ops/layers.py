"""The layers StyleGAN2 networks are built of, with the parameter names of the exchange format.

"Equalised" layers store weights of unit variance and scale them at run time, so that Adam takes steps of the
same relative size in every layer (Karras et al. 2018, progressive growing, section 4.1). State-dict names
follow the layout in which MegaFS, pSp, e4e and FSLSD publish their files. Nothing is cached between calls
unless `ModulatedConv2d.for_inference` is called, so an edit of a weight cannot leave a stale value behind and
threads may share a module for inference.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.bias_act import bias_act, leaky_relu
from cuda_ops.cpu_passes import cpu_to_rgb, kernels_for, separable, winograd_serves, winograd_weight
from cuda_ops.dispatch import use_kernels
from cuda_ops.finish import add_noise_and_activate
from cuda_ops.fused_epilogue import fused_epilogue
from cuda_ops.fused_to_rgb import fused_to_rgb
from cuda_ops.modulated_conv2d import as_given, fused_styled_conv2d, modulated_conv2d, square_sum
from cuda_ops.split_up_conv import SplitWeight, split_serves, split_weight
from cuda_ops.upfirdn2d import setup_filter, upfirdn2d

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)
"""Low-pass taps of StyleGAN2."""


class PixelNorm(nn.Module):
    """Divide by the root mean square over the channels: `x · rsqrt(mean(x²) + 1e-8)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` of shape `[batch, channels, ...]`; the shape is kept."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class EqualizedLinear(nn.Module):
    """Linear layer with equalised learning rate; keys `weight` `[out, in]`, `bias` `[out]`.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        bias: whether to add one.
        bias_init: value that the bias adds at the start.
        lr_mul: learning-rate factor; weights are stored divided by it.
        activation: None, or "lrelu" for leaky ReLU 0.2 times √2.

    Raises:
        ValueError: a width below 1, `lr_mul` not above 0, or an unknown activation.

    Source: StyleGAN (Karras et al. 2019), mapping network.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        bias_init: float = 0.0,
        lr_mul: float = 1.0,
        activation: Literal["lrelu"] | None = None,
    ) -> None:
        super().__init__()
        _check_positive("EqualizedLinear", in_features=in_features, out_features=out_features, lr_mul=lr_mul)
        if activation not in (None, "lrelu"):
            raise ValueError(f"EqualizedLinear: activation must be None or 'lrelu', got {activation!r}.")
        self.in_features = in_features
        self.out_features = out_features
        self.lr_mul = lr_mul
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_mul)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., in]` to `[..., out]`."""
        gain = math.sqrt(2) if self.activation else 1.0
        # Scaling the activations instead of the weight spares a copy of the weight; the gain
        # passes through leaky ReLU.
        x = x * (gain * self.lr_mul / math.sqrt(self.in_features))
        y = F.linear(x, self.weight, None if self.bias is None else self.bias * (gain * self.lr_mul))
        return F.leaky_relu(y, 0.2, inplace=True) if self.activation else y


class EqualizedConv2d(nn.Module):
    """Convolution with equalised learning rate; keys `weight` `[out, in, k, k]`, `bias` `[out]`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the kernel.
        stride: as in `torch.nn.Conv2d`.
        padding: as in `torch.nn.Conv2d`.
        bias: whether to add one.

    Raises:
        ValueError: a size below 1 or a negative padding.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel": kernel, "stride": stride}
        _check_positive("EqualizedConv2d", **sizes)
        if padding < 0:
            raise ValueError(f"EqualizedConv2d: padding must not be negative, got {padding}.")
        self.stride = stride
        self.padding = padding
        self.scale = 1.0 / math.sqrt(in_channels * kernel**2)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(
        self, x: Tensor, gain: float = 1.0, extra_bias: Tensor | None = None, stride: int | None = None
    ) -> Tensor:
        """Convolve `[batch, in, h, w]` to `[batch, out, h', w']`.

        Args:
            x: the input.
            gain: factor on the result, folded into the weight.
            extra_bias: `[out]`, added like an own bias: that of the activation which follows.
            stride: in place of the layer's own, where the input is decimated already.
        """
        bias: Tensor | None = self.bias
        if extra_bias is not None:
            bias = extra_bias if bias is None else bias + extra_bias
        if bias is not None and gain != 1.0:
            bias = bias * gain
        stride = self.stride if stride is None else stride
        return F.conv2d(x, self.weight * (self.scale * gain), bias, stride, self.padding)


def activated(x: Tensor, *convs: nn.Module) -> Tensor:
    """`EqualizedConv2d`s one after the other on `[batch, in, h, w]`, each with leaky ReLU 0.2 times √2."""
    for conv in convs:
        # The gain is positive and passes through leaky ReLU, so it is folded into the weight.
        x = F.leaky_relu(conv(x, gain=math.sqrt(2)), 0.2, inplace=True)
    return x


def joined_upwards(x: Tensor, skip: Tensor, up: nn.Module, lateral: nn.Module) -> Tensor:
    """One step up of a U-Net: `x` `[batch, c, h, w]` doubled, joined with `skip` `[batch, d, 2h, 2w]`."""
    wide = F.interpolate(up(x), scale_factor=2.0, mode="bilinear", align_corners=False)
    # Two branches of unit variance, divided by √2 before the activation and multiplied after it.
    return F.leaky_relu(wide + lateral(skip), 0.2, inplace=True)


def linear_rows(layers: Iterable[nn.Module], inputs: Iterable[Tensor]) -> Tensor:
    """Apply each `EqualizedLinear` to its own input `[batch, in]`: `[batch, layers, out]`."""
    return torch.stack([layer(x) for layer, x in zip(layers, inputs, strict=True)], 1)


class BiasedLeakyReLU(nn.Module):
    """Add a bias per channel, leaky ReLU 0.2, times √2; key `bias` `[channels]`."""

    def __init__(self, channels: int, slope: float = 0.2, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.slope = slope
        self.gain = gain
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Activate `[batch, channels, ...]`; the shape is kept."""
        return bias_act(x, self.bias, act="lrelu", alpha=self.slope, gain=self.gain)


class Blur(nn.Module):
    """FIR filter in front of or behind a resampling convolution; key `kernel` `[4, 4]` (a buffer).

    Args:
        taps: taps of one axis, normalised to sum 1.
        padding: `(before, after)`, both axes.
        factor: up-sampling factor that the filter follows: its sum becomes `factor²`.
    """

    kernel: Tensor

    def __init__(
        self, taps: Sequence[float] = FIR_TAPS, padding: tuple[int, int] = (2, 1), factor: int = 1
    ) -> None:
        super().__init__()
        self.padding = padding
        self.register_buffer("kernel", setup_filter(taps, gain=factor**2, separable=False))

    def forward(self, x: Tensor, down: int = 1) -> Tensor:
        """Filter `[batch, channels, h, w]` and keep every `down`-th sample."""
        start, end = self.padding
        return upfirdn2d(x, self.kernel, down=down, padding=(start, end, start, end))


class Upsample(nn.Module):
    """Double the size with the FIR filter, as the RGB skip does; key `kernel` `[4, 4]`, sum 4 (a buffer)."""

    kernel: Tensor

    def __init__(self, taps: Sequence[float] = FIR_TAPS, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor
        t = len(taps)
        self.padding = ((t + factor - 1) // 2, (t - factor) // 2)
        self.register_buffer("kernel", setup_filter(taps, gain=factor**2, separable=False))

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge `[batch, channels, h, w]` to `[batch, channels, h·factor, w·factor]`."""
        start, end = self.padding
        return upfirdn2d(x, self.kernel, up=self.factor, padding=(start, end, start, end))


class RememberedWeight:
    """What inference works out once of a `ModulatedConv2d`'s weight; it holds while the weight is the same.

    Attributes:
        weight: the memory it was worked out from; held on to, it cannot become that of another weight.
        square_sum: `[out, in]`, see `modulated_conv2d.square_sum`.
    """

    def __init__(self, weight: Tensor) -> None:
        self.version, self.address = weight._version, weight.data_ptr()
        self.weight = weight.detach()
        self.square_sum = square_sum(self.weight[0])

    @functools.cached_property
    def winograd(self) -> Tensor:
        """The weight as `winograd_conv2d` reads it."""
        return winograd_weight(self.weight[0])

    @functools.cached_property
    def split(self) -> SplitWeight:
        """The weight as `split_conv_transpose2d` reads it."""
        return split_weight(self.weight[0])


class ModulatedConv2d(nn.Module):
    """Modulated convolution; keys `weight` `[1, O, I, k, k]`, `modulation.{weight,bias}`, `blur.kernel`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the kernel, odd.
        style_dim: width of a W+ row.
        demodulate: normalise the output channels.
        resample: None, "up" (×2, then blur) or "down" (blur, then ÷2).
        taps: FIR taps of one axis.

    Raises:
        ValueError: a size below 1, an even kernel, or an unknown `resample`.

    Source: StyleGAN2 (Karras et al. 2020), section 2.2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        style_dim: int,
        demodulate: bool = True,
        resample: Literal["up", "down"] | None = None,
        taps: Sequence[float] = FIR_TAPS,
    ) -> None:
        super().__init__()
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel": kernel}
        _check_positive("ModulatedConv2d", **sizes, style_dim=style_dim)
        if kernel % 2 == 0:
            raise ValueError(f"ModulatedConv2d: the kernel must have an odd side, got {kernel}.")
        if resample not in (None, "up", "down"):
            raise ValueError(f"ModulatedConv2d: resample must be None, 'up' or 'down', got {resample!r}.")
        self.demodulate = demodulate
        self.resample = resample
        self.scale = 1.0 / math.sqrt(in_channels * kernel**2)
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel, kernel))
        self.modulation = EqualizedLinear(style_dim, in_channels, bias_init=1.0)
        if resample is not None:
            self.blur = Blur(taps, factor=2 if resample == "up" else 1)
        self._remembered: RememberedWeight | None = None

    def for_inference(self) -> None:
        """Lay the weight out as the convolution reads it, and remember the sums of its squares.

        Values, names and shapes stay. What is remembered is dropped when the weight is replaced, moved,
        converted or written to in place; only a write through `weight.data` goes unseen, after which this
        is to be called again. Training ignores it.
        """
        with torch.no_grad():
            kernels = self.weight.detach()[0]
            # A transposed convolution reads [in, out, k, k], input channels slowest.
            turned = kernels.transpose(0, 1) if self.resample == "up" else kernels
            turned = turned.contiguous(memory_format=torch.channels_last)
            self.weight.data = (turned.transpose(0, 1) if self.resample == "up" else turned)[None]
            self._remembered = None
            if self.demodulate and not self.weight.is_inference():
                self._remembered = RememberedWeight(self.weight)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and files do without what is remembered: it would not hold there."""
        return {**self.__dict__, "_remembered": None}

    def remembered(self) -> RememberedWeight | None:
        """What `for_inference` remembered, if it still holds and nothing is trained."""
        # Read once: another thread may drop it meanwhile.
        remembered, weight = self._remembered, self.weight
        if remembered is None or (weight.requires_grad and torch.is_grad_enabled()):
            return None
        if torch.compiler.is_compiling():
            return None
        # An inference tensor counts no versions.
        stale = weight.is_inference() or remembered.version != weight._version
        known = remembered.weight
        if stale or remembered.address != weight.data_ptr() or known.dtype != weight.dtype:
            self._remembered = None
            return None
        return remembered

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ModulatedConv2d:
        """`to`, `half`, `cuda` and their like: the values may change."""
        self._remembered = None
        return super()._apply(fn, recurse)

    def style_of(self, w: Tensor) -> Tensor:
        """The style `[batch, in]` of a W+ row, also under autocast in the precision of the parameters."""
        # In mixed precision too: the products are few, and their errors would go into every pixel.
        kind = w.device.type
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self.modulation(w.to(self.modulation.weight.dtype))
        return self.modulation(w.to(self.modulation.weight.dtype))

    def forward(self, x: Tensor, w: Tensor, bias: Tensor | None = None, gain: float = 1.0) -> Tensor:
        """Convolve `x` under the style of `w`.

        Args:
            x: `[batch, in, h, w]`.
            w: `[batch, style_dim]`, one W+ row.
            bias: `[out]`, the bias of the activation that follows.
            gain: factor on the result, bias included.

        Returns:
            `[batch, out, h', w']`, h' = h, 2h ("up") or h/2 ("down").
        """
        return modulated_conv2d(
            x,
            self.weight[0],
            self.style_of(w),
            demodulate=self.demodulate,
            up=2 if self.resample == "up" else 1,
            down=2 if self.resample == "down" else 1,
            resample_filter=self.blur.kernel if self.resample is not None else None,
            bias=bias,
            weight_gain=self.scale,
            gain=gain,
            weight_square_sum=None if (remembered := self.remembered()) is None else remembered.square_sum,
        )


def _check_positive(layer: str, **sizes: float) -> None:
    for name, value in sizes.items():
        if value <= 0:
            raise ValueError(f"{layer}: {name} must be above 0, got {value}.")


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
        area_factor = 1 if self.conv.resample is None else 4
        kernels = kernels_for(x, x[:, 0].numel() * self.activate.bias.numel() * area_factor)
        if kernels is not None:
            return self._fused(x, w, noise, kernels == "cpu")
        # √2 is positive and passes through leaky ReLU, so every term carries it beforehand.
        gain = math.sqrt(2)
        y = self.conv(x, w, bias=self.activate.bias, gain=gain)
        scaled = None if noise is None else self.noise(noise.to(y), gain)
        return add_noise_and_activate(y, scaled, 0.2, self.conv_clamp)

    def _fused(self, x: Tensor, w: Tensor, noise: Tensor | None, on_cpu: bool) -> Tensor:
        conv = self.conv
        up, remembered = conv.resample == "up", conv.remembered()
        split = winograd = None
        if remembered is not None and on_cpu:
            split = remembered.split if up and split_serves(x, conv.weight) else None
            winograd = remembered.winograd if not up and winograd_serves(x, conv.weight) else None
        return fused_styled_conv2d(
            x,
            conv.weight[0],
            conv.style_of(w),
            bias=self.activate.bias,
            noise=None if noise is None else noise.to(x.device),
            strength=None if noise is None else self.noise.weight,
            up=2 if up else 1,
            resample_filter=conv.blur.kernel if up else None,
            weight_gain=conv.scale,
            slope=0.2,
            gain=math.sqrt(2),
            clamp=self.conv_clamp,
            weight_square_sum=None if remembered is None else remembered.square_sum,
            winograd_weight=winograd,
            split_weight=split,
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
        kernels = kernels_for(x, x.numel())
        if kernels == "library":
            taps = None if skip is None else self.upsample.kernel
            bias = self.bias.flatten()
            return fused_to_rgb(x, self._weight(x, w), bias, skip=skip, taps=taps, clamp=self.conv_clamp)
        if kernels == "cpu" and (skip is None or skip.dtype == torch.float32):
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


class ConvLayer(nn.Sequential):
    """Discriminator layer: [blur], equalised convolution, [bias and leaky ReLU ×√2], in one pass each.

    Keys are the indices of those parts that exist: `0.kernel` (down only), then `weight`,
    then `bias`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the kernel, odd.
        down: filter and halve the size.
        activate: end with bias and leaky ReLU; without it there is no bias either.
        taps: FIR taps of one axis.

    Source: StyleGAN2 (Karras et al. 2020), residual discriminator.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        down: bool = False,
        activate: bool = True,
        taps: Sequence[float] = FIR_TAPS,
    ) -> None:
        parts: list[nn.Module] = []
        if down:
            total = len(taps) - 2 + kernel - 1
            parts.append(Blur(taps, ((total + 1) // 2, total // 2)))
        parts.append(
            EqualizedConv2d(
                in_channels, out_channels, kernel, 2 if down else 1, 0 if down else kernel // 2, bias=False
            )
        )
        if activate:
            parts.append(BiasedLeakyReLU(out_channels))
        super().__init__(*parts)
        self.down = down
        self.activate = activate
        self.kernel = kernel

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """Map `[batch, in, h, w]` to `[batch, out, h', w']` times `gain` (above 0)."""
        conv = self[1] if self.down else self[0]
        stride = None
        if self.down:
            # A 1×1 kernel sees only every second filtered sample: do not compute the others.
            pointwise = self.kernel == 1
            x = self[0](x, down=2 if pointwise else 1)
            stride = 1 if pointwise else 2
        if not self.activate:
            return conv(x, gain=gain, stride=stride)
        act: BiasedLeakyReLU = self[-1]  # type: ignore[assignment]
        if use_kernels(x):
            slope, total = act.slope, act.gain * gain
            return fused_epilogue(conv(x, stride=stride), bias=act.bias, slope=slope, gain=total)
        y = conv(x, gain=act.gain * gain, extra_bias=act.bias, stride=stride)
        return leaky_relu(y, act.slope, in_place=True)
