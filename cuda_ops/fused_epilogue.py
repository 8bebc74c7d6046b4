"""What follows a convolution as one operation: demodulation, noise, bias, leaky ReLU, gain, clamp.

`cuda_ops::epilogue`, its derivative and the derivative of that, so that R1 and path length go through kernels
as well. Each is one pass over the image. `dispatch` says which tensors the kernels serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor

from cuda_ops import arguments
from cuda_ops.arguments import addresses, memory_format, wide
from cuda_ops.library import library_for, operation

if TYPE_CHECKING:
    from typing_extensions import Unpack

NO_LIMIT = -1.0
# Scale, noise, strength, bias, slope, gain and limit, in the order in which the operations take them.
Operands = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, float, float, float]


class Ending(TypedDict, total=False):
    """What follows a convolution: `clamp(gain · lrelu(scale · x + strength · noise + bias), ±clamp)`.

    Attributes:
        scale: `[batch, channels]`, float32: demodulation; None for 1.
        noise: `[batch or 1, 1, h, w]`, dtype of `x` or float32; goes with `strength`.
        strength: `[1]`, factor of the noise.
        bias: `[channels]`.
        slope: of the leaky ReLU below zero; 1, the default, for none.
        gain: above 0; 1 by default.
        clamp: largest absolute value of the result; None for no limit.
    """

    scale: Tensor | None
    noise: Tensor | None
    strength: Tensor | None
    bias: Tensor | None
    slope: float
    gain: float
    clamp: float | None


def fused_epilogue(x: Tensor, **ending: Unpack[Ending]) -> Tensor:
    """Compute `clamp(gain · lrelu(scale · x + strength · noise + bias), ±clamp)` in one pass.

    Computed in float32 (float64 for float64) and rounded once. Differentiable twice in all tensors; where the
    clamp holds, or in the negative branch at 0, the derivatives are those of the branch.

    Args:
        x: `[batch, channels, h, w]`.
        ending: see `Ending`.

    Returns:
        A tensor like `x`, dense, in the layout nearest to that of `x`.

    Raises:
        ValueError: shapes that do not fit, or a gain not above 0.
    """
    return torch.ops.cuda_ops.epilogue(x, *checked_ending(x.shape, x.dtype, **ending))


def checked_ending(
    shape: Sequence[int],
    dtype: torch.dtype,
    *,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
    strength: Tensor | None = None,
    bias: Tensor | None = None,
    slope: float = 1.0,
    gain: float = 1.0,
    clamp: float | None = None,
) -> Operands:
    """The operands of an epilogue for a result `[batch, channels, h, w]`; ValueError where they misfit."""
    batch, channels, height, width = shape
    if scale is not None and scale.shape != (batch, channels):
        raise ValueError(f"epilogue: scale {list(scale.shape)} must be [{batch}, {channels}].")
    if bias is not None and bias.shape != (channels,):
        raise ValueError(f"epilogue: bias {list(bias.shape)} must be [{channels}].")
    if (noise is None) != (strength is None):
        raise ValueError("epilogue: noise and strength go together; pass both or none.")
    if strength is not None and strength.numel() != 1:
        raise ValueError(f"epilogue: strength {list(strength.shape)} must be one number.")
    if noise is not None and (noise.ndim != 4 or noise.shape[1:] != (1, height, width)):
        raise ValueError(f"epilogue: noise {list(noise.shape)} must be [batch or 1, 1, {height}, {width}].")
    if noise is not None and noise.shape[0] not in (1, batch):
        raise ValueError(f"epilogue: {noise.shape[0]} maps of noise do not go with a batch of {batch}.")
    if not gain > 0:
        raise ValueError(f"epilogue: gain must be above 0, got {gain}.")
    if clamp is not None and clamp < 0:
        raise ValueError(f"epilogue: clamp must not be negative, got {clamp}; pass None for no limit.")
    scale = None if scale is None else scale.to(torch.promote_types(dtype, torch.float32))
    limit = NO_LIMIT if clamp is None else float(clamp)
    return scale, noise, strength, bias, float(slope), float(gain), limit


def ending_of(
    x: Tensor,
    scale: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    bias: Tensor | None,
    *constants: float,
) -> tuple[arguments.Ending, list[Tensor | None]]:
    """The argument list of an epilogue from its `Operands`, and the tensors that must outlive the call."""
    operands: list[Tensor | None] = [None if scale is None else scale.contiguous()]
    narrow = []
    for operand in (noise, strength, bias):
        if operand is not None and operand.dtype != x.dtype:
            operand = operand.to(wide(x.dtype))
        narrow.append(operand is not None and operand.dtype == x.dtype)
        operands.append(None if operand is None else operand.contiguous())
    batch = 1 if noise is None else noise.shape[0]
    return arguments.Ending(*addresses(*operands), batch, *narrow, 0, *constants), operands


def dense(like: Tensor, *tensors: Tensor | None) -> list[Any]:
    """All of them dense in the layout of `like`; None stays None."""
    layout = memory_format(like)
    return [None if t is None else t.contiguous(memory_format=layout) for t in tensors]


@operation(
    "epilogue(Tensor x, Tensor? scale, Tensor? noise, Tensor? strength, Tensor? bias, float slope, "
    "float gain, float limit) -> Tensor"
)
def _epilogue(x: Tensor, *operands: Any) -> Tensor:
    x = x.contiguous(memory_format=memory_format(x))
    y = torch.empty_like(x)
    ending, _alive = ending_of(x, *operands)
    launch = arguments.dense_launch([x, y])
    library_for(x).call(arguments.Epilogue(launch, *x.shape, x.data_ptr(), y.data_ptr(), ending))
    return y


@torch.library.register_fake("cuda_ops::epilogue")
def _epilogue_fake(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=memory_format(x))


def _epilogue_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, scale, noise, strength, bias, *ctx.constants = inputs
    ctx.bias_dtype = None if bias is None else bias.dtype
    # x is as large as the result; only the derivative by the scale needs it.
    needed = x if scale is not None and scale.requires_grad else None
    ctx.save_for_backward(needed, output, scale, noise, strength)


def _epilogue_grad(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    x, y, scale, noise, strength = ctx.saved_tensors
    _, of_scale, of_noise, of_strength, of_bias, *_ = ctx.needs_input_grad
    gx, channel_sum, product, pixel_sum = torch.ops.cuda_ops.epilogue_backward(
        g, x, y, scale, *ctx.constants, of_bias, of_scale, of_noise or of_strength
    )
    grads = noise_and_bias_grads(
        ctx.needs_input_grad[2:5], noise, strength, ctx.bias_dtype, channel_sum, pixel_sum
    )
    return (gx, product if of_scale else None, *grads, None, None, None)


def noise_and_bias_grads(
    needed: tuple[bool, ...],
    noise: Tensor | None,
    strength: Tensor | None,
    bias_dtype: torch.dtype | None,
    channel_sum: Tensor,
    pixel_sum: Tensor,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of noise, strength and bias from the sums that `cuda_ops::epilogue_backward` gives."""
    of_noise = of_strength = of_bias = None
    if noise is not None and strength is not None:
        if needed[0]:
            total = pixel_sum.sum(0, keepdim=True) if noise.shape[0] == 1 else pixel_sum
            of_noise = (total * strength.reshape(())).to(noise.dtype)
        if needed[1]:
            of_strength = (pixel_sum * noise).sum().reshape(strength.shape).to(strength.dtype)
    if needed[2]:
        of_bias = channel_sum.sum(0).to(bias_dtype)
    return of_noise, of_strength, of_bias


torch.library.register_autograd("cuda_ops::epilogue", _epilogue_grad, setup_context=_epilogue_setup)


@operation(
    "epilogue_backward(Tensor g, Tensor? x, Tensor? y, Tensor? scale, float slope, float gain, float limit, "
    "bool channel_sum, bool channel_product, bool pixel_sum) -> (Tensor, Tensor, Tensor, Tensor)"
)
def _backward(
    g: Tensor, x: Tensor | None, y: Tensor | None, scale: Tensor | None, *options: Any
) -> tuple[Tensor, ...]:
    *constants, channel_sum, channel_product, pixel_sum = options
    g, x, y = dense(g if y is None else y, g, x if channel_product else None, y)
    scale = None if scale is None else scale.contiguous()
    gx = torch.empty_like(g)
    launch = arguments.dense_launch([g, x, y, gx])
    sums = PartialSums(g, launch, channel_sum, channel_product, pixel_sum)
    pointers = addresses(g, x, y, scale, gx)
    library_for(g).call(
        arguments.EpilogueBackward(launch, *g.shape, *pointers, *sums.addresses(), *constants)
    )
    return gx, *sums.totals()


class PartialSums:
    """Room for the partial sums of a tiled kernel, and their totals; empty tensors where not requested."""

    def __init__(
        self, g: Tensor, launch: arguments.Launch, channel_sum: bool, product: bool, pixel_sum: bool
    ) -> None:
        batch, channels, height, width = g.shape
        tiles_c, tiles_p = library_for(g).tiles(launch, channels, height * width)
        per_channel, per_pixel = (batch, tiles_c, channels), (batch, tiles_p, height, width)
        requests = ((channel_sum, per_channel), (product, per_channel), (pixel_sum, per_pixel))
        self.like = g.new_empty(0, dtype=wide(g.dtype))
        self.parts = [self.like.new_empty(shape) if requested else None for requested, shape in requests]

    def addresses(self) -> list[int | None]:
        """Of the partial sums, None for those not requested."""
        return addresses(*self.parts)

    def totals(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sums per channel `[batch, channels]`, products likewise, and sums per pixel `[batch, 1, h, w]`."""
        first, second, third = (
            self.like.new_empty(0) if part is None else part.sum(1, keepdim=part.ndim == 4)
            for part in self.parts
        )
        return first, second, third


@torch.library.register_fake("cuda_ops::epilogue_backward")
def _backward_fake(g: Tensor, x: Tensor | None, y: Tensor | None, *options: Any) -> tuple[Tensor, ...]:
    channel_sum, channel_product, pixel_sum = options[-3:]
    batch, channels, height, width = g.shape
    sums = g.new_empty(0, dtype=wide(g.dtype))
    return (
        torch.empty_like(g, memory_format=memory_format(g if y is None else y)),
        sums.new_empty((batch, channels) if channel_sum else (0,)),
        sums.new_empty((batch, channels) if channel_product else (0,)),
        sums.new_empty((batch, 1, height, width) if pixel_sum else (0,)),
    )


def _backward_setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    g, x, y, scale, *options = inputs
    ctx.set_materialize_grads(False)
    ctx.constants, ctx.requested = options[:3], options[3:]
    ctx.save_for_backward(g, x, y, scale)


def _backward_grad(ctx: Any, u: Tensor | None, *sums: Tensor | None) -> tuple[Tensor | None, ...]:
    g, x, y, scale = ctx.saved_tensors
    # Of sums that were not requested there is only an empty tensor.
    sum_u, product_u, pixel_u = (
        gradient if requested else None for gradient, requested in zip(sums, ctx.requested, strict=True)
    )
    of_x = ctx.needs_input_grad[1] and product_u is not None
    of_scale = ctx.needs_input_grad[3] and u is not None
    if u is None and sum_u is None and product_u is None and pixel_u is None:
        return (None,) * 10
    of_g, grad_x, grad_scale = torch.ops.cuda_ops.epilogue_double(
        u, sum_u, product_u, pixel_u, g, x, y, scale, *ctx.constants, of_x, of_scale
    )
    # The derivative by y is that of a step, 0.
    return of_g, grad_x if of_x else None, None, grad_scale if of_scale else None, *(None,) * 6


torch.library.register_autograd("cuda_ops::epilogue_backward", _backward_grad, setup_context=_backward_setup)


@operation(
    "epilogue_double(Tensor? u, Tensor? sum_u, Tensor? product_u, Tensor? pixel_u, Tensor g, Tensor? x, "
    "Tensor? y, Tensor? scale, float slope, float gain, float limit, bool of_x, bool of_scale) "
    "-> (Tensor, Tensor, Tensor)"
)
def _double(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    u, sum_u, product_u, pixel_u, g, x, y, scale, *constants, of_x, of_scale = inputs
    u, g, x, y = dense(g if y is None else y, u, g, None if product_u is None else x, y)
    small = [None if t is None else t.contiguous() for t in (sum_u, product_u, pixel_u, scale)]
    of_g = torch.empty_like(g)
    grad_x = torch.empty_like(g) if of_x else None
    launch = arguments.dense_launch([g, u, x, y, of_g, grad_x])
    sums = PartialSums(g, launch, False, of_scale, False)
    pointers = addresses(u, *small[:3], g, x, y, small[3], of_g, grad_x)
    library_for(g).call(arguments.EpilogueDouble(launch, *g.shape, *pointers, *sums.addresses(), *constants))
    return of_g, g.new_empty(0) if grad_x is None else grad_x, sums.totals()[1]


@torch.library.register_fake("cuda_ops::epilogue_double")
def _double_fake(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    g, y, of_x, of_scale = inputs[4], inputs[6], *inputs[-2:]
    of_g = torch.empty_like(g, memory_format=memory_format(g if y is None else y))
    return (
        of_g,
        torch.empty_like(of_g) if of_x else g.new_empty(0),
        g.new_empty(tuple(g.shape[:2]) if of_scale else (0,), dtype=wide(g.dtype)),
    )


def _double_grad(ctx: Any, *_: Tensor) -> tuple[None, ...]:
    raise RuntimeError(
        "cuda_ops: the fused epilogue has first and second derivatives, a third was asked for; "
        "set STYLEGAN_SWAP_OPS=torch, which has all."
    )


torch.library.register_autograd("cuda_ops::epilogue_double", _double_grad)
