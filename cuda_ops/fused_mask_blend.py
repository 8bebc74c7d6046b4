"""Blend of two tensors by a mask as one operation.

`cuda_ops::mask_blend` puts what is outside the face into the generator's hidden tensors. Its derivative is
one pass as well.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cuda_ops import arguments
from cuda_ops.arguments import addresses, memory_format, wide
from cuda_ops.dispatch import use_kernels
from cuda_ops.fused_epilogue import PartialSums, dense
from cuda_ops.library import library_for, operation


def mask_blend(x: Tensor, background: Tensor, mask: Tensor) -> Tensor:
    """Compute `mask · x + (1 − mask) · other`; where the mask is 1 the result is `x` itself.

    Args:
        x: `[batch, channels, h, w]`.
        background: the same shape; taken in the dtype of `x`.
        mask: `[batch or 1, 1, h, w]` in 0..1.

    Returns:
        A tensor like `x`.
    """
    alike = x.ndim == 4 and background.shape == x.shape and mask.shape[1:] == (1, *x.shape[2:])
    if alike and mask.shape[0] in (1, x.shape[0]) and use_kernels(x):
        return torch.ops.cuda_ops.mask_blend(x, background.to(x.dtype), mask)
    mask = mask.to(x.dtype)
    # The wide tensors first: a one-channel factor in front would lose the channels-last layout.
    return x * mask + background.to(x.dtype) * (1 - mask)


def _mask_operand(mask: Tensor, x: Tensor) -> tuple[Tensor, int, bool]:
    if mask.dtype != x.dtype:
        mask = mask.to(wide(x.dtype))
    return mask.contiguous(), mask.shape[0], mask.dtype == x.dtype


@operation("mask_blend(Tensor x, Tensor other, Tensor mask) -> Tensor")
def _blend(x: Tensor, background: Tensor, mask: Tensor) -> Tensor:
    x, background = dense(x, x, background)
    y = torch.empty_like(x)
    mask, batch, narrow = _mask_operand(mask, x)
    launch = arguments.dense_launch([x, background, y])
    pointers = addresses(x, background, mask, y)
    library_for(x).call(arguments.MaskBlend(launch, *x.shape, *pointers, batch, narrow, 0))
    return y


@torch.library.register_fake("cuda_ops::mask_blend")
def _blend_fake(x: Tensor, background: Tensor, mask: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=memory_format(x))


def _blend_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, background, mask = inputs
    ctx.save_for_backward(*((x, background) if mask.requires_grad else (None, None)), mask)


def _blend_grad(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    x, background, mask = ctx.saved_tensors
    of_x, of_other, total = torch.ops.cuda_ops.mask_blend_backward(g, x, background, mask)
    needed = ctx.needs_input_grad
    of_mask = None
    if needed[2]:
        of_mask = (total.sum(0, keepdim=True) if mask.shape[0] == 1 else total).to(mask.dtype)
    return of_x if needed[0] else None, of_other if needed[1] else None, of_mask


torch.library.register_autograd("cuda_ops::mask_blend", _blend_grad, setup_context=_blend_setup)


@operation("mask_blend_backward(Tensor g, Tensor? x, Tensor? other, Tensor mask) -> (Tensor, Tensor, Tensor)")
def _backward(
    g: Tensor, x: Tensor | None, background: Tensor | None, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    g, x, background = dense(g if x is None else x, g, x, background)
    of_x, of_other = torch.empty_like(g), torch.empty_like(g)
    mask, batch, narrow = _mask_operand(mask, g)
    launch = arguments.dense_launch([g, x, background, of_x, of_other])
    sums = PartialSums(g, launch, False, False, x is not None)
    pointers = addresses(g, x, background, mask, of_x, of_other)
    library_for(g).call(
        arguments.MaskBlendBackward(launch, *g.shape, *pointers, *sums.addresses(), batch, narrow, 0)
    )
    return of_x, of_other, sums.totals()[2]


@torch.library.register_fake("cuda_ops::mask_blend_backward")
def _backward_fake(
    g: Tensor, x: Tensor | None, background: Tensor | None, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    of_x = torch.empty_like(g, memory_format=memory_format(g if x is None else x))
    shape = (0,) if x is None else (g.shape[0], 1, *g.shape[2:])
    return of_x, torch.empty_like(of_x), g.new_empty(shape, dtype=wide(g.dtype))


def _backward_setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs)


def _backward_grad(
    ctx: Any, u: Tensor | None, v: Tensor | None, q: Tensor | None
) -> tuple[Tensor | None, ...]:
    """Of ⟨u, g · m⟩ + ⟨v, g · (1 − m)⟩ + ⟨q, Σ_c g · (x − other)⟩."""
    g, x, background, mask = ctx.saved_tensors
    q = None if x is None else q
    m = mask.to(g.dtype)
    of_g = of_x = of_other = of_mask = None
    if ctx.needs_input_grad[0]:
        terms = [] if u is None else [u * m]
        terms += [] if v is None else [v * (1 - m)]
        terms += [] if q is None else [(x - background) * q.to(g.dtype)]
        of_g = sum(terms[1:], terms[0]) if terms else None
    if q is not None:
        of_x = g * q.to(g.dtype)
        of_other = -of_x
    if ctx.needs_input_grad[3] and not (u is None and v is None):
        difference = (0 if u is None else u) - (0 if v is None else v)
        of_mask = (g * difference).sum(1, keepdim=True).sum_to_size(mask.shape).to(mask.dtype)
    return of_g, of_x, of_other, of_mask


torch.library.register_autograd(
    "cuda_ops::mask_blend_backward", _backward_grad, setup_context=_backward_setup
)
