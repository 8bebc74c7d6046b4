"""Bias, activation, gain and clamp in one call, as after every convolution of StyleGAN2."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops.dispatch import use_kernels
from cuda_ops.fused_epilogue import fused_epilogue


@dataclass(frozen=True)
class Activation:
    """One row of the table of activations: the function of (x, alpha), and its defaults."""

    function: Callable[[Tensor, float], Tensor]
    alpha: float
    gain: float


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda x, _: x, 0.0, 1.0),
    "relu": Activation(lambda x, _: F.relu(x), 0.0, math.sqrt(2)),
    "lrelu": Activation(lambda x, alpha: F.leaky_relu(x, alpha), 0.2, math.sqrt(2)),
    "tanh": Activation(lambda x, _: torch.tanh(x), 0.0, 1.0),
    "sigmoid": Activation(lambda x, _: torch.sigmoid(x), 0.0, 1.0),
    "elu": Activation(lambda x, _: F.elu(x), 0.0, 1.0),
    "selu": Activation(lambda x, _: F.selu(x), 0.0, 1.0),
    "softplus": Activation(lambda x, _: F.softplus(x), 0.0, 1.0),
    "swish": Activation(lambda x, _: F.silu(x), 0.0, math.sqrt(2)),
}


# Slope below zero of the activations that a positive factor passes through (that of lrelu is the default).
_SLOPES = {"linear": 1.0, "relu": 0.0, "lrelu": 0.2}


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Compute `clamp(gain · act(x + b), ±clamp)`.

    First and second derivatives are those of the formula; `lrelu` and `relu` take the
    negative branch at 0.

    Args:
        x: any shape, floating point; never written to.
        b: `[x.shape[dim]]`, or None.
        dim: the axis of `x` that `b` runs along.
        act: linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus or swish.
        alpha: slope below zero; used by `lrelu` alone, default 0.2.
        gain: factor after the activation; default √2 for relu, lrelu and swish, else 1.
        clamp: largest absolute value of the result; None for no limit.

    Returns:
        A tensor like `x`.

    Raises:
        ValueError: unknown `act`, `b` that does not fit, `dim` out of range, negative `clamp`.

    Source: StyleGAN2-ADA (Karras et al. 2020), training details.
    """
    if act not in ACTIVATIONS:
        raise ValueError(f"bias_act: unknown activation {act!r}; choose one of {', '.join(ACTIVATIONS)}.")
    if clamp is not None and clamp < 0:
        raise ValueError(f"bias_act: clamp must not be negative, got {clamp}; pass None for no limit.")
    spec = ACTIVATIONS[act]
    slope = spec.alpha if alpha is None else float(alpha)
    scale = spec.gain if gain is None else float(gain)
    if b is not None:
        along = _along(x, b, dim)
        if act in _SLOPES and scale > 0 and x.ndim == 4 and dim in (1, -3) and use_kernels(x):
            negative_slope = slope if act == "lrelu" else _SLOPES[act]
            return fused_epilogue(x, bias=b, slope=negative_slope, gain=scale, clamp=clamp)
        b = along
    if act in ("linear", "relu", "lrelu") and scale > 0:
        # A positive factor passes through these three, so it rides on the addition.
        y = x if b is None else torch.add(b * scale, x, alpha=scale)
        if b is None and scale != 1.0:
            y = x * scale
        if act != "linear":
            # y is ours unless it still is x; in place saves a pass over the largest tensors.
            below = slope if act == "lrelu" else 0.0
            y = (
                F.leaky_relu(y, below, inplace=y is not x and below > 0)
                if below
                else F.relu(y, inplace=y is not x)
            )
    else:
        y = spec.function(x if b is None else x + b, slope)
        if scale != 1.0:
            y = y * scale
    return y if clamp is None else y.clamp(-clamp, clamp)


def leaky_relu(x: Tensor, slope: float, in_place: bool) -> Tensor:
    """Leaky ReLU that may overwrite `x`; autograd needs a slope above 0 for that, else it copies."""
    if slope == 0.0:
        return F.relu(x, inplace=in_place)
    return F.leaky_relu(x, slope, inplace=in_place and slope > 0)


def _along(x: Tensor, b: Tensor, dim: int) -> Tensor:
    """View `b` so that it broadcasts along axis `dim` of `x`."""
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"bias_act: dim {dim} is not an axis of x {list(x.shape)}.")
    if b.ndim != 1 or b.shape[0] != x.shape[dim]:
        raise ValueError(
            f"bias_act: b {list(b.shape)} must be one number for each of the {x.shape[dim]} entries of axis "
            f"{dim} of x {list(x.shape)}."
        )
    shape = [1] * x.ndim
    shape[dim] = -1
    return b.reshape(shape).to(x.dtype)
