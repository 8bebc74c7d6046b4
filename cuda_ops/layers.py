"""The layers StyleGAN2 networks are built of, with the parameter names of the exchange format.

"Equalised" layers store weights of unit variance and scale them at run time, so that Adam takes steps of the
same relative size in every layer (Karras et al. 2018, progressive growing, section 4.1). State-dict names
follow the layout in which MegaFS, pSp, e4e and FSLSD publish their files. Nothing is cached between calls
unless `ModulatedConv2d.for_inference` is called, so an edit of a weight cannot leave a stale value behind and
threads may share a module for inference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.bias_act import bias_act, leaky_relu
from cuda_ops.dispatch import use_kernels
from cuda_ops.fused_epilogue import fused_epilogue
from cuda_ops.modulated_conv2d import modulated_conv2d, square_sum
from cuda_ops.split_up_conv import SplitWeight, split_weight
from cuda_ops.upfirdn2d import setup_filter, upfirdn2d
from cuda_ops.winograd import winograd_weight

# What a weight was, its memory, and the sums of its squares.
_Remembered = tuple[object, Tensor, Tensor]
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
        self._squares: _Remembered | None = None
        self._winograd: Tensor | None = None
        self._split: SplitWeight | None = None

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
            self._forget()
            if self.demodulate and not self.weight.is_inference():
                # Held on to, the memory cannot become that of another weight.
                weight = self.weight.detach()
                self._squares = (self._stamp(), weight, square_sum(self.weight[0]))

    def _stamp(self) -> object:
        """Changes with whatever may change the weight's values, as long as its memory is held."""
        weight = self.weight
        return weight._version, weight.data_ptr(), weight.dtype, weight.device

    def __getstate__(self) -> dict[str, Any]:
        """Copies and files do without what is remembered: it would not hold there."""
        return {**self.__dict__, "_squares": None, "_winograd": None, "_split": None}

    def remembered_square_sum(self) -> Tensor | None:
        """What `for_inference` remembered, if it still holds."""
        # Read once: another thread may drop it meanwhile.
        remembered, trained = self._squares, torch.is_grad_enabled() and self.weight.requires_grad
        if remembered is None or trained or torch.compiler.is_compiling():
            return None
        stamp, _, squares = remembered
        if self.weight.is_inference() or stamp != self._stamp():
            self._forget()
            return None
        return squares

    def remembered_winograd_weight(self) -> Tensor | None:
        """The weight as `winograd_conv2d` reads it, worked out once; None where no sum is remembered."""
        if self.remembered_square_sum() is None:
            return None
        weight = self._winograd
        if weight is None:
            weight = self._winograd = winograd_weight(self.weight.detach()[0])
        return weight

    def remembered_split_weight(self) -> SplitWeight | None:
        """The weight as `split_conv_transpose2d` reads it, worked out once; None without a remembered sum."""
        if self.remembered_square_sum() is None:
            return None
        weight = self._split
        if weight is None:
            weight = self._split = split_weight(self.weight.detach()[0])
        return weight

    def _forget(self) -> None:
        self._squares = self._winograd = self._split = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ModulatedConv2d:
        """`to`, `half`, `cuda` and their like: the values may change."""
        self._forget()
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
            weight_square_sum=self.remembered_square_sum(),
        )


def _check_positive(layer: str, **sizes: float) -> None:
    for name, value in sizes.items():
        if value <= 0:
            raise ValueError(f"{layer}: {name} must be above 0, got {value}.")


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
