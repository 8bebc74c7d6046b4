"""A styled convolution on the compiled kernels: modulation, convolution, FIR, demodulation, activation.

The convolution itself is cuDNN's or oneDNN's; what follows it is one pass over the image, with the FIR
filter in it where the layer doubles the size. Plain torch has `modulated_conv2d` and `leaky_relu` for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops.conv2d_resample import transpose_weight
from cuda_ops.cpu_passes import finish, separable, winograd_conv2d
from cuda_ops.dispatch import use_kernels
from cuda_ops.fused_epilogue import Ending, fused_epilogue
from cuda_ops.fused_fir import fir_serves, fused_fir
from cuda_ops.modulated_conv2d import demodulation, folds
from cuda_ops.split_up_conv import SplitWeight, split_conv_transpose2d
from cuda_ops.upfirdn2d import fir, up_padding

if TYPE_CHECKING:
    from typing_extensions import Unpack


def fused_styled_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    up: int = 1,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    weight_gain: float = 1.0,
    weight_square_sum: Tensor | None = None,
    winograd_weight: Tensor | None = None,
    split_weight: SplitWeight | None = None,
    eps: float = 1e-8,
    **ending: Unpack[Ending],
) -> Tensor:
    """Compute `clamp(gain · lrelu(modulated convolution + strength · noise + bias), ±clamp)`.

    In float16 style and weight are brought down before the convolution and the demodulation takes that back,
    so that sums over thousands of products stay below the largest half (the idea is StyleGAN2-ADA's, Karras
    et al. 2020, mixed-precision training); the result is the same.

    Args:
        x: `[batch, in, h, w]`.
        weight: `[out, in, k, k]`, k odd.
        style: `[batch, in]`.
        up: 1, or 2 for a transposed convolution followed by the filter.
        resample_filter: `[t, t]`, sum 4, where `up` is 2.
        demodulate: normalise the output channels.
        weight_gain: run-time factor on the weight.
        weight_square_sum: `[out, in]`, what `square_sum(weight)` gives, if the caller has it.
        winograd_weight: what `winograd_weight(weight)` gives, where that way is to be taken and `up` is 1.
        split_weight: what `split_weight(weight)` gives, where that way is to be taken; not taken with filters
            other than outer products of four taps.
        eps: keeps the normalisation finite.
        ending: see `fused_epilogue.Ending`, without scale; sizes are those of the result.

    Returns:
        `[batch, out, h', w']`, h' = up · h, in the dtype in which the convolution ran.

    Raises:
        ValueError: `up` is 2 without a filter, or operands of the epilogue that do not fit.
    """
    if (up == 2) != (resample_filter is not None) or up not in (1, 2):
        raise ValueError(f"fused_styled_conv2d: up must be 1, or 2 with a resample_filter, got {up}.")
    exact = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        s = style.to(exact)
        # The demodulation: a factor per sample and output channel.
        scale = s.new_full((x.shape[0], weight.shape[0]), weight_gain)
        if demodulate:
            scale = demodulation(s, weight, weight_square_sum, weight_gain, eps) * weight_gain
        if winograd_weight is not None and up == 1:
            ending["scale"] = scale
            return winograd_conv2d(x, winograd_weight, style=s, **ending)
        if split_weight is not None and (resample_filter is None or not _splits(resample_filter, weight)):
            split_weight = None
        # Style and demodulation go into the weight, or round the convolution.
        weights = (weight,) if split_weight is None else split_weight
        factor: Tensor | None = None
        if folds(x, weight, up):
            pairs = s[0, None, :, None, None] * scale[0, :, None, None, None]
            kernels = [_folded(part, pairs).to(x.dtype) for part in weights]
        else:
            kernels, factor = [*weights], scale
            if _is_half(x):
                size = s.detach().abs().amax(1, keepdim=True).clamp_min(1e-6)
                s, factor = s / size, scale * (size / weight_gain)
                kernels = [part * weight_gain for part in kernels]
            x, kernels = x * s.to(x.dtype)[:, :, None, None], [part.to(x.dtype) for part in kernels]
    ending["scale"] = factor
    if resample_filter is None:
        return _ended(F.conv2d(x, kernels[0], padding=weight.shape[2] // 2), ending)
    # The up-convolution: transposed, or as even and odd rows, and the filter with the epilogue in it.
    pads = _pads(resample_filter, weight)
    if split_weight is not None:
        even, odd = split_conv_transpose2d(x, SplitWeight(*kernels))
        # They bring a column of zeros along.
        pads = (pads[0], pads[1] - 1, *pads[2:])
        return finish(even, odd=odd, taps=separable(resample_filter), padding=pads, **ending)
    y = F.conv_transpose2d(x, transpose_weight(kernels[0]), stride=2)
    if y.device.type == "cpu" and not use_kernels(y):
        taps = separable(resample_filter)
        if taps is not None and min(pads) >= 0:
            return finish(y, taps=taps, padding=pads, **ending)
    elif fir_serves(resample_filter, (1, 1), (1, 1)):
        return fused_fir(y, resample_filter, padding=pads, **ending)
    return _ended(fir(y, resample_filter, pads), ending)


def _pads(resample_filter: Tensor, weight: Tensor) -> tuple[int, int, int, int]:
    """Zeros `(x0, x1, y0, y1)` around what the transposed convolution puts out."""
    kernel = weight.shape[2]
    lead, tail = kernel // 2 - kernel + 1, kernel // 2 - kernel + 2
    a, b, c, d = up_padding(resample_filter, (2, 2))
    return a + lead, b + tail, c + lead, d + tail


def _splits(resample_filter: Tensor, weight: Tensor) -> bool:
    """Whether even and odd rows can be computed apart, the column of zeros being part of the padding."""
    x0, x1, y0, y1 = _pads(resample_filter, weight)
    return min(x0, x1 - 1, y0, y1) >= 0 and separable(resample_filter) is not None


def _folded(weight: Tensor, pairs: Tensor) -> Tensor:
    """A weight `[n · out, in, k, k]` times a factor for each pair of channels, `[out, in, 1, 1]`."""
    if len(weight) == len(pairs):
        return weight * pairs
    return (weight.unflatten(0, (-1, len(pairs))) * pairs).flatten(0, 1)


def _ended(y: Tensor, ending: Ending) -> Tensor:
    if y.device.type == "cpu" and not use_kernels(y):
        return finish(y, **ending)
    return fused_epilogue(y, **ending)


def _is_half(x: Tensor) -> bool:
    """Whether a convolution of `x` runs in float16, by itself or by autocast."""
    device = x.device.type
    autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
    return x.dtype == torch.float16 or autocast
