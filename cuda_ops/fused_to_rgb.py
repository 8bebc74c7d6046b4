"""The step to RGB as one operation: 1×1 convolution to three channels, bias, limit, enlarged skip image.

`cuda_ops::to_rgb` reads the hidden tensor once, in whatever precision, and puts the image out in float32. Its
derivative is made of matrix products and `cuda_ops::fir`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cuda_ops import arguments
from cuda_ops.arguments import addresses, channels_last, memory_format, wide
from cuda_ops.fused_epilogue import NO_LIMIT
from cuda_ops.fused_fir import MOST_TAPS, NO_ENDING
from cuda_ops.library import library_for, operation

COLOURS = 3


def fused_to_rgb(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    skip: Tensor | None = None,
    taps: Tensor | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Compute `clamp(Σ_c weight[n, o, c] · x[n, c] + bias[o], ±clamp) + up-sampled skip` in one pass.

    Args:
        x: `[batch, channels, h, w]`.
        weight: `[batch, 3, channels]`, with style and gain.
        bias: `[3]`.
        skip: `[batch, 3, h/2, w/2]`, the image of the block before; goes with `taps`.
        taps: `[t_y, t_x]` of up to 4×4, sum 4: the filter of the up-sampling by 2; gets no gradient.
        clamp: limit before the skip is added; None for none.

    Returns:
        `[batch, 3, h, w]` in float32 (float64 for float64).

    Raises:
        ValueError: shapes that do not fit.
    """
    check_to_rgb(x, weight, bias, skip, taps is not None, clamp)
    if taps is not None and (taps.ndim != 2 or max(taps.shape) > MOST_TAPS):
        raise ValueError(f"to_rgb: taps {list(taps.shape)} must be [t, t] of up to 4x4.")
    exact = wide(x.dtype)
    return torch.ops.cuda_ops.to_rgb(
        x,
        weight.to(exact),
        None if bias is None else bias.to(exact),
        None if skip is None else skip.to(exact),
        None if taps is None else taps.detach(),
        NO_LIMIT if clamp is None else float(clamp),
    )


def check_to_rgb(
    x: Tensor, weight: Tensor, bias: Tensor | None, skip: Tensor | None, filtered: bool, clamp: float | None
) -> None:
    """Raise ValueError where the operands of a step to RGB do not fit; see `fused_to_rgb`."""
    batch, channels, height, width = x.shape
    if weight.shape != (batch, COLOURS, channels):
        raise ValueError(f"to_rgb: weight {list(weight.shape)} must be [{batch}, {COLOURS}, {channels}].")
    if bias is not None and bias.shape != (COLOURS,):
        raise ValueError(f"to_rgb: bias {list(bias.shape)} must be [{COLOURS}].")
    if (skip is not None) != filtered:
        raise ValueError("to_rgb: skip and taps go together; pass both or none.")
    if skip is not None and skip.shape != (batch, COLOURS, height // 2, width // 2):
        raise ValueError(
            f"to_rgb: skip {list(skip.shape)} must be half as large as the result [{batch}, {COLOURS}, "
            f"{height}, {width}]."
        )
    if clamp is not None and clamp < 0:
        raise ValueError(f"to_rgb: clamp must not be negative, got {clamp}; pass None for no limit.")


def _padding(taps: Tensor) -> tuple[int, int]:
    """Zeros before the first sample, along x and y, with which up-sampling by 2 doubles the size."""
    return (taps.shape[1] + 1) // 2, (taps.shape[0] + 1) // 2


@operation("to_rgb(Tensor x, Tensor weight, Tensor? bias, Tensor? skip, Tensor? taps, float limit) -> Tensor")
def _to_rgb(
    x: Tensor, weight: Tensor, bias: Tensor | None, skip: Tensor | None, taps: Tensor | None, limit: float
) -> Tensor:
    x = x.contiguous(memory_format=memory_format(x))
    y = _to_rgb_fake(x)
    weight = weight.contiguous()
    pads = (0, 0)
    if taps is not None:
        taps = taps.to(y.dtype).contiguous()
        pads = _padding(taps)
    call = arguments.ToRgb(
        *(arguments.dense_launch([x]), *x.shape),
        *((0, 0, (0, 0, 0, 0)) if skip is None else (*skip.shape[2:], tuple(skip.stride()))),
        *pads,
        *addresses(x, weight, bias, skip, taps, y),
        *((0, 0) if taps is None else (taps.shape[1], taps.shape[0])),
        limit,
    )
    library_for(x).call(call)
    return y


@torch.library.register_fake("cuda_ops::to_rgb")
def _to_rgb_fake(x: Tensor, *_: Any) -> Tensor:
    shape = (x.shape[0], COLOURS, *x.shape[2:])
    layout = memory_format(x)
    return torch.empty(shape, dtype=wide(x.dtype), device=x.device, memory_format=layout)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, _, taps, limit = inputs
    ctx.limit = limit
    # The bias decides where the limit holds.
    ctx.save_for_backward(x, weight, bias if limit >= 0 else None, taps)


def _grad(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias, taps = ctx.saved_tensors
    of_x, of_weight, of_bias, of_skip, *_ = ctx.needs_input_grad
    gx = grad_weight = grad_skip = None
    if of_skip and taps is not None:
        x0, y0 = _padding(taps)
        # The adjoint of the up-sampling, which exactly doubles the size.
        pads = [taps.shape[1] - x0 - 1, x0 - 1, taps.shape[0] - y0 - 1, y0 - 1]
        grad_skip = torch.ops.cuda_ops.fir(g, taps, 1, 2, pads, True, 1.0, *NO_ENDING)
    if ctx.limit >= 0:
        # The limit comes before the skip, so the result does not tell where it holds.
        with torch.no_grad():
            inner = torch.ops.cuda_ops.to_rgb(x, weight, bias, None, None, ctx.limit)
            inside = (inner.abs() < ctx.limit).to(g.dtype)
        g = g * inside
    # Products over [batch, pixels, channels] or [batch, channels, pixels], as the memory lies.
    batch, channels, height, width = x.shape
    if channels_last(x):
        colours = g.permute(0, 2, 3, 1).reshape(batch, height * width, COLOURS)
        pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        if of_x:
            back = colours.to(x.dtype) @ weight.to(x.dtype)
            gx = back.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        if of_weight:
            grad_weight = (colours.to(x.dtype).transpose(1, 2) @ pixels).to(weight.dtype)
    else:
        colours = g.reshape(batch, COLOURS, height * width)
        pixels = x.reshape(batch, channels, height * width)
        if of_x:
            gx = (weight.to(x.dtype).transpose(1, 2) @ colours.to(x.dtype)).reshape(x.shape)
        if of_weight:
            grad_weight = (colours.to(x.dtype) @ pixels.transpose(1, 2)).to(weight.dtype)
    return gx, grad_weight, g.sum((0, 2, 3)) if of_bias else None, grad_skip, None, None


torch.library.register_autograd("cuda_ops::to_rgb", _grad, setup_context=_setup)
