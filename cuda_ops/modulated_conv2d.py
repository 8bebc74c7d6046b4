"""Convolution whose weights are scaled by a style and normalised again, without grouped convolution.

Where a W+ row meets the image. Modulation is a factor per input channel and demodulation one per output
channel, so both can be moved from the weights to the activations: one ordinary convolution serves a batch of
any size, and no weights per sample are ever written. `modulated_conv2d` is plain torch and differentiable;
`fused_styled_conv2d` has what follows the convolution (FIR filter, demodulation, noise, activation) in one
pass of a compiled kernel.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops.cpu_passes import finish, separable, winograd_conv2d
from cuda_ops.dispatch import use_kernels
from cuda_ops.fused_epilogue import Ending, fused_epilogue
from cuda_ops.fused_fir import fir_serves, fused_fir
from cuda_ops.split_up_conv import SplitWeight, split_conv_transpose2d
from cuda_ops.upfirdn2d import down_padding, fir, up_padding

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Folding style and demodulation into the weight touches the weight, scaling touches the
# activations. The weight pass broadcasts over k·k numbers at a time and is slower per number.
_FOLD_COST = 2.0


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    demodulate: bool = True,
    up: int = 1,
    down: int = 1,
    resample_filter: Tensor | None = None,
    bias: Tensor | None = None,
    weight_gain: float = 1.0,
    gain: float = 1.0,
    weight_square_sum: Tensor | None = None,
    eps: float = 1e-8,
    fold: bool | None = None,
) -> Tensor:
    """Convolve with `W'[n, o, i] = weight_gain · weight[o, i] · style[n, i]`, demodulated, plus bias.

    With `demodulate`, every output channel is divided by `sqrt(Σ W'² + eps)`. The result is
    `gain · (convolution + bias)`; a positive gain commutes with leaky ReLU, so the √2 that
    follows the activation can be given here. Padding keeps the size: `k // 2` (and what the
    filter needs). Differentiable twice in x, weight, style and bias.

    Args:
        x: `[batch, in, h, w]`, contiguous or channels_last (kept).
        weight: `[out, in, k, k]`, k odd.
        style: `[batch, in]`.
        demodulate: normalise the output channels.
        up: 1, or the factor of a transposed convolution followed by the filter.
        down: 1, or the factor of a filter followed by a strided convolution.
        resample_filter: `[t, t]` for up or down, used as it is: its sum must be `up²` or 1.
            None is the identity scaled accordingly.
        bias: `[out]`.
        weight_gain: run-time factor on the weight (equalised learning rate).
        gain: factor on the result.
        weight_square_sum: `[out, in]`, what `square_sum(weight)` gives, if the caller has it.
        eps: keeps the normalisation finite.
        fold: True folds style and demodulation into the weight (batch 1 alone), False never,
            None where it is faster. The result is the same.

    Returns:
        `[batch, out, h·up/down, w·up/down]`, dtype of `x`.

    Raises:
        ValueError: shapes that do not fit, an even kernel, `up` and `down` both above 1, or
            `fold=True` with more than one sample.

    Source: StyleGAN2 (Karras et al. 2020), section 2.2, weight demodulation.
    """
    _check(x, weight, style, up, down, bias, weight_square_sum, fold)
    # bf16 keeps 8 bits: the coefficients are worked out in float32 and rounded once.
    exact = torch.promote_types(x.dtype, torch.float32)
    s = style.to(exact)
    scale: float | Tensor = weight_gain * gain
    if demodulate:
        with as_given(s):
            scale = demodulation(s, weight, weight_square_sum, weight_gain, eps) * scale
    shift = None if bias is None else bias.to(exact) * gain

    if weight.shape[2] == 1 and not demodulate and up == down == 1 and weight.shape[0] <= 4:
        return _to_few_channels(x, weight, s * scale, shift)
    if folds(x, weight, up, down) if fold is None else fold:
        column = scale[0, :, None, None, None] if isinstance(scale, Tensor) else scale
        folded = (weight * (s[0, None, :, None, None] * column)).to(x.dtype)
        return _resampled(x, folded, up, down, resample_filter, None if shift is None else shift.to(x.dtype))

    x = x * s.to(x.dtype)[:, :, None, None]
    y = _resampled(x, weight.to(x.dtype), up, down, resample_filter, None)
    factor = torch.as_tensor(scale, dtype=exact, device=x.device).to(y.dtype)
    factor = factor[:, :, None, None] if factor.ndim else factor
    if shift is None:
        return y * factor
    return torch.addcmul(shift.to(y.dtype)[None, :, None, None], y, factor)


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
    y = F.conv_transpose2d(x, kernels[0].transpose(0, 1), stride=2)
    if y.device.type == "cpu" and not use_kernels(y):
        taps = separable(resample_filter)
        if taps is not None and min(pads) >= 0:
            return finish(y, taps=taps, padding=pads, **ending)
    elif fir_serves(resample_filter, (1, 1), (1, 1)):
        return fused_fir(y, resample_filter, padding=pads, **ending)
    return _ended(fir(y, resample_filter, pads), ending)


def demodulation(
    style: Tensor, weight: Tensor, weight_square_sum: Tensor | None, weight_gain: float, eps: float
) -> Tensor:
    """The factor `[batch, out]` normalising the output channels: `1 / sqrt(Σ W'² + eps)`, not in autocast.

    Args:
        style: `[batch, in]`, at least float32.
        weight: `[out, in, k, k]`.
        weight_square_sum: `[out, in]`, what `square_sum(weight)` gives, or None.
        weight_gain: run-time factor on the weight.
        eps: keeps it finite.
    """
    squares = square_sum(weight) if weight_square_sum is None else weight_square_sum
    energy = style.square() @ squares.to(style.dtype).t()
    return torch.rsqrt(energy * weight_gain**2 + eps)


def folds(x: Tensor, weight: Tensor, up: int, down: int = 1) -> bool:
    """Whether a style is folded into the weight faster than into the image: one sample, and a large one."""
    scaled = x.numel() * (1.0 + (weight.shape[0] / weight.shape[1]) * up**2 / down**2)
    return x.shape[0] == 1 and scaled > _FOLD_COST * weight.numel()


def square_sum(weight: Tensor) -> Tensor:
    """Sum of the squares of each k×k kernel, the part of demodulation that no style changes.

    Args:
        weight: `[out, in, k, k]`.

    Returns:
        `[out, in]`, at least float32.
    """
    exact = torch.promote_types(weight.dtype, torch.float32)
    if torch.is_grad_enabled() and weight.requires_grad:
        return weight.to(exact).square().sum((2, 3))
    # One pass without a temporary; its derivative would be singular where a kernel is all zero.
    return torch.linalg.vector_norm(weight.flatten(2), dim=2, dtype=exact).square()


def _pads(resample_filter: Tensor, weight: Tensor) -> tuple[int, int, int, int]:
    """Zeros `(x0, x1, y0, y1)` around what the transposed convolution puts out."""
    kernel, (taps_y, taps_x) = weight.shape[2], resample_filter.shape
    lead, tail = kernel // 2 - kernel + 1, kernel // 2 - kernel + 2
    return (taps_x + 1) // 2 + lead, taps_x // 2 - 1 + tail, (taps_y + 1) // 2 + lead, taps_y // 2 - 1 + tail


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


def _resampled(
    x: Tensor, weight: Tensor, up: int, down: int, f: Tensor | None, bias: Tensor | None
) -> Tensor:
    """Ordinary convolution with up- or down-sampling; the bias rides on the last step."""
    k = weight.shape[2]
    half = k // 2
    if up > 1:
        if f is None:
            f = x.new_full((1, 1), float(up**2))
        a, b, c, d = up_padding(f, (up, up))
        lead, tail = half - (k - 1), half - (k - up)
        y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=up)
        return fir(y, f, (a + lead, b + tail, c + lead, d + tail), bias)
    if down > 1:
        if f is None:
            f = x.new_ones(1, 1)
        a, b, c, d = down_padding(f, (down, down))
        y = fir(x, f, (a + half, b + half, c + half, d + half))
        return F.conv2d(y, weight, bias, stride=down)
    return F.conv2d(x, weight, bias, padding=half)


def _to_few_channels(x: Tensor, weight: Tensor, factor: Tensor, shift: Tensor | None) -> Tensor:
    """1×1 convolution to a few channels: weights per sample are tiny, `x` is read once and not copied."""
    kernels = (weight[None, :, :, 0, 0] * factor[:, None, :]).to(x.dtype)
    bias = None if shift is None else shift.to(x.dtype)
    if x.shape[0] == 1:
        return F.conv2d(x, kernels[0, :, :, None, None], bias)
    batch, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    y = torch.bmm(pixels, kernels.transpose(1, 2))
    y = y if bias is None else y + bias
    return y.reshape(batch, height, width, weight.shape[0]).permute(0, 3, 1, 2)


def _check(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    up: int,
    down: int,
    bias: Tensor | None,
    weight_square_sum: Tensor | None,
    fold: bool | None,
) -> None:
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"modulated_conv2d: x {list(x.shape)} must be [batch, in, h, w] and weight {list(weight.shape)} "
            "[out, in, k, k] with the same number of input channels."
        )
    out, inner, k_y, k_x = weight.shape
    if k_y != k_x or k_y % 2 == 0:
        raise ValueError(f"modulated_conv2d: the kernel must be square with an odd side, got {k_y}x{k_x}.")
    if style.shape != (x.shape[0], inner):
        raise ValueError(
            f"modulated_conv2d: style {list(style.shape)} must be [batch, in] = [{x.shape[0]}, {inner}]; "
            "pass the W+ row through the layer's modulation first."
        )
    for name, factor in (("up", up), ("down", down)):
        if not isinstance(factor, int) or isinstance(factor, bool) or factor < 1:
            raise ValueError(
                f"modulated_conv2d: {name} must be a whole number of at least 1, got {factor!r}."
            )
    if up > 1 and down > 1:
        raise ValueError("modulated_conv2d: up and down cannot both be above 1; use conv2d_resample.")
    if bias is not None and bias.shape != (out,):
        raise ValueError(f"modulated_conv2d: bias {list(bias.shape)} must be [out] = [{out}].")
    if weight_square_sum is not None and weight_square_sum.shape != (out, inner):
        raise ValueError(
            f"modulated_conv2d: weight_square_sum {list(weight_square_sum.shape)} must be [out, in] = "
            f"[{out}, {inner}], as square_sum(weight) gives it."
        )
    if fold and x.shape[0] != 1:
        raise ValueError(
            f"modulated_conv2d: fold=True puts one style into the weight, but the batch is {x.shape[0]}; "
            "leave fold at None."
        )


def as_given(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """A context in which operations on tensors like `x` keep their dtypes, also inside `torch.autocast`."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()
