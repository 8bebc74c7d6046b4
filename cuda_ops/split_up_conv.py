"""An up-convolution as two ordinary convolutions, one for its even rows and one for its odd rows.

For inference in bfloat16 on CPUs with AMX: there oneDNN's transposed convolution of stride 2 runs at a fifth
to a third of the speed of its ordinary ones. A 3×3 kernel has one or two taps that meet a row of the result,
and one or two that meet a column. Even and odd columns are computed as twice the channels, which lie in
memory as the row of the result, so nothing is rearranged; the three zeros that this puts among twelve taps
cost less than is saved. `finish` reads the two images as one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class SplitWeight(NamedTuple):
    """What `split_weight` gives, or a multiple of it by input and output channels.

    Attributes:
        even: `[2 · out, in, 2, 2]`, of the rows 0, 2, 4, ...; first the channels of even columns.
        odd: `[2 · out, in, 1, 2]`, of the rows 1, 3, 5, ...
    """

    even: Tensor
    odd: Tensor


def split_serves(x: Tensor, weight: Tensor) -> bool:
    """Whether `split_conv_transpose2d` is the faster way, where `cpu_kernels_serve`.

    Args:
        x: `[batch, in, h, w]`.
        weight: `[..., out, in, k, k]`.
    """
    if x.device.type != "cpu" or weight.shape[-2:] != (3, 3):
        return False
    mixed = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if mixed else x.dtype
    # Without AMX (AVX-512 alone, AVX2, or another number type) the zeros cost more than they save.
    return dtype == torch.bfloat16 and _has_amx()


def split_weight(weight: Tensor) -> SplitWeight:
    """Sort a weight into those of even and of odd rows.

    Args:
        weight: `[out, in, 3, 3]`, of a convolution that doubles the size.

    Raises:
        ValueError: another shape.
    """
    if weight.ndim != 4 or weight.shape[2:] != (3, 3):
        raise ValueError(f"split_weight: {list(weight.shape)} must be [out, in, 3, 3].")
    tap0, tap1, tap2 = weight.unbind(3)
    # Pixel i - 1 goes into sample 2i through tap 2, pixel i through tap 0, and into 2i + 1 through tap 1.
    columns = torch.cat((torch.stack((tap2, tap0), 3), torch.stack((torch.zeros_like(tap1), tap1), 3)))
    first, second, third = columns.unbind(2)
    even, odd = torch.stack((third, first), 2), second[:, :, None]
    return SplitWeight(
        even.contiguous(memory_format=torch.channels_last), odd.contiguous(memory_format=torch.channels_last)
    )


def split_conv_transpose2d(x: Tensor, weight: SplitWeight) -> tuple[Tensor, Tensor]:
    """Compute the rows of `conv_transpose2d(x, weight, stride=2)` and a column of zeros behind them.

    A number that is not finite spreads one column further than in a transposed convolution.

    Args:
        x: `[batch, in, h, w]`.
        weight: what `split_weight` gives.

    Returns:
        The even rows `[batch, out, h + 1, 2w + 2]` and the odd ones `[batch, out, h, 2w + 2]`, channels last.
    """
    return (
        _columns_in_turn(F.conv2d(x, weight.even, padding=1)),
        _columns_in_turn(F.conv2d(x, weight.odd, padding=(0, 1))),
    )


def _columns_in_turn(y: Tensor) -> Tensor:
    """Turn `[batch, 2 · out, h, w]` into `[batch, out, h, 2w]`: the same memory where channels lie last."""
    batch, channels, height, width = y.shape
    pixels = y.permute(0, 2, 3, 1).reshape(batch, height, 2 * width, channels // 2)
    return pixels.permute(0, 3, 1, 2)


def _has_amx() -> bool:
    """Whether the processor multiplies matrices; torch's question has no public name."""
    ask = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return ask is not None and bool(ask())
