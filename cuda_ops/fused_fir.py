"""FIR filter with up- or down-sampling by 2 and what follows a convolution, as one operation.

`cuda_ops::fir` ends the generator's up-convolutions and stands before the discriminator's down-convolutions.
Its derivative is made of itself (a FIR filter is linear: its adjoint is a FIR filter with up and down
exchanged) and of `cuda_ops::epilogue_backward`, both differentiable, and so is the second derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cuda_ops import arguments
from cuda_ops.arguments import channels_last, memory_format, wide
from cuda_ops.fused_epilogue import NO_LIMIT, Ending, checked_ending, ending_of, noise_and_bias_grads
from cuda_ops.library import library_for, operation

if TYPE_CHECKING:
    from typing_extensions import Unpack

MOST_TAPS = 4
# No scale, noise, strength, bias and activation: the filter alone.
NO_ENDING = (None, None, None, None, 1.0, 1.0, NO_LIMIT)
_FACTORS = (((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 1), (2, 2)))


def fir_serves(taps: Tensor, up: tuple[int, int], down: tuple[int, int]) -> bool:
    """Whether there is a kernel for a filter `[t_y, t_x]` or `[t]` with these factors (x, y)."""
    return max(taps.shape) <= MOST_TAPS and (up, down) in _FACTORS


def fused_fir(
    x: Tensor,
    taps: Tensor,
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    flip: bool = False,
    filter_gain: float = 1.0,
    **ending: Unpack[Ending],
) -> Tensor:
    """Filter every channel as `upfirdn2d` does, then end as `fused_epilogue` does, in one pass.

    Args:
        x: `[batch, channels, h, w]`, any strides.
        taps: `[t_y, t_x]` of up to 4×4; gets no gradient.
        up: 1 or 2.
        down: 1 or 2; not both 2.
        padding: `(x0, x1, y0, y1)` zeros around the up-sampled image, negative numbers crop.
        flip: True correlates, False convolves.
        filter_gain: factor on the filter.
        ending: see `fused_epilogue.Ending`; sizes are those of the result.

    Returns:
        `[batch, channels, h', w']`, dtype of `x`.

    Raises:
        ValueError: factors or a filter without a kernel, nothing left to put out, operands that do not fit.
    """
    if taps.ndim != 2 or not fir_serves(taps, (up, up), (down, down)):
        raise ValueError(
            f"fused_fir: no kernel for taps {list(taps.shape)}, up {up}, down {down}; taps go up to 4x4, and "
            "one of the factors may be 2. upfirdn2d takes any."
        )
    shape = _result_shape(x, taps, up, down, padding)
    if min(shape[2:]) < 1:
        raise ValueError(
            f"fused_fir: a {x.shape[3]}x{x.shape[2]} image, up {up}, padding {padding} is smaller than the "
            f"{taps.shape[1]}x{taps.shape[0]} filter; pad more or use a shorter filter."
        )
    operands = checked_ending(shape, x.dtype, **ending)
    filtering = (up, down, list(padding), flip, float(filter_gain))
    return torch.ops.cuda_ops.fir(x, taps.detach(), *filtering, *operands)


def _result_shape(
    x: Tensor, taps: Tensor, up: int, down: int, padding: Sequence[int]
) -> tuple[int, int, int, int]:
    x0, x1, y0, y1 = padding
    height = (x.shape[2] * up + y0 + y1 - taps.shape[0] + down) // down
    width = (x.shape[3] * up + x0 + x1 - taps.shape[1] + down) // down
    return x.shape[0], x.shape[1], height, width


@operation(
    "fir(Tensor x, Tensor taps, int up, int down, int[4] padding, bool flip, float filter_gain, "
    "Tensor? scale, Tensor? noise, Tensor? strength, Tensor? bias, float slope, float gain, float limit) "
    "-> Tensor"
)
def _fir(
    x: Tensor, taps: Tensor, up: int, down: int, padding: list[int], flip: bool, gain: float, *operands: Any
) -> Tensor:
    y = _fir_fake(x, taps, up, down, padding)
    taps = taps.to(wide(x.dtype)).contiguous()
    last = channels_last(x)
    pack = 16 // x.element_size()
    packed = (
        last
        and x.shape[1] % pack == 0
        and all(x.stride(axis) % pack == 0 for axis in (0, 2, 3))
        and x.data_ptr() % 16 == y.data_ptr() % 16 == 0
    )
    ending, _alive = ending_of(x, *operands)
    call = arguments.Fir(
        *(arguments.launch_of(x, last, packed), *x.shape, *y.shape[2:], tuple(x.stride())),
        *(padding[0], padding[2], x.data_ptr(), y.data_ptr(), taps.data_ptr()),
        *(taps.shape[1], taps.shape[0], up, down, flip, 0, gain, ending),
    )
    library_for(x).call(call)
    return y


@torch.library.register_fake("cuda_ops::fir")
def _fir_fake(x: Tensor, taps: Tensor, up: int, down: int, padding: list[int], *_: Any) -> Tensor:
    shape = _result_shape(x, taps, up, down, padding)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, taps, up, down, padding, flip, filter_gain, scale, noise, strength, bias, *constants = inputs
    x0, _, y0, _ = padding
    (height, width), (out_height, out_width) = x.shape[2:], output.shape[2:]
    adjoint = [
        taps.shape[1] - x0 - 1,
        width * up - out_width * down + x0 - up + 1,
        taps.shape[0] - y0 - 1,
        height * up - out_height * down + y0 - up + 1,
    ]
    ctx.filter = (down, up, adjoint, not flip, filter_gain)
    ctx.constants = constants
    ctx.activates = constants != [1.0, 1.0, NO_LIMIT]
    ctx.bias_dtype = None if bias is None else bias.dtype
    needed = x if scale is not None and scale.requires_grad else None
    result = output if ctx.activates else None
    ctx.save_for_backward(needed, result, taps, scale, noise, strength)


def _grad(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    x, y, taps, scale, noise, strength = ctx.saved_tensors
    of_x, of_scale = ctx.needs_input_grad[0], ctx.needs_input_grad[7]
    of_noise, of_strength, of_bias = ctx.needs_input_grad[8:11]
    ops = torch.ops.cuda_ops
    channel_sum = pixel_sum = g
    # Through the activation; the sums are the gradients of bias and noise.
    if ctx.activates or of_bias or of_noise or of_strength:
        g, channel_sum, _, pixel_sum = ops.epilogue_backward(
            g, None, y, None, *ctx.constants, of_bias, False, of_noise or of_strength
        )
    # Through the filter and the scale.
    gx = product = None
    if of_x or of_scale:
        gx = ops.fir(g, taps, *ctx.filter, *NO_ENDING)
        if scale is not None:
            # ⟨g, F x⟩ = ⟨Fᵀ g, x⟩: the filtered image need not be kept for the derivative by the scale.
            gx, _, product, _ = ops.epilogue_backward(
                gx, x, None, scale, 1.0, 1.0, NO_LIMIT, False, of_scale, False
            )
    grads = noise_and_bias_grads(
        (of_noise, of_strength, of_bias), noise, strength, ctx.bias_dtype, channel_sum, pixel_sum
    )
    return (gx if of_x else None, *(None,) * 6, product if of_scale else None, *grads, *(None,) * 3)


torch.library.register_autograd("cuda_ops::fir", _grad, setup_context=_setup)
