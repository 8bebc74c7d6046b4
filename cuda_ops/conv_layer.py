"""The layer of discriminator and target encoder: blur, equalised convolution, bias and leaky ReLU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cuda_ops.bias_act import leaky_relu
from cuda_ops.dispatch import use_kernels
from cuda_ops.fused_epilogue import fused_epilogue
from cuda_ops.layers import FIR_TAPS, BiasedLeakyReLU, Blur, EqualizedConv2d


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
