"""Convolution with resampling before or after it, filtered so that nothing aliases.

The general form of the generator's up-convolutions and the discriminator's down-convolutions.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cuda_ops.upfirdn2d import Pair, down_padding, parse_padding, up_padding, upfirdn2d


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Pair = 0,
    groups: int = 1,
    flip_weight: bool = True,
) -> Tensor:
    """Up-sample by `up`, convolve with `w`, down-sample by `down`, filtering with `f` on the way.

    Equal to upfirdn → convolution → upfirdn, but where a stride or a transposed convolution
    does the same in fewer operations, that is taken.

    Args:
        x: `[batch, in, h, w]`.
        w: `[out, in / groups, k_h, k_w]`.
        f: low-pass filter, see `upfirdn2d`; None means `[[1]]`.
        up: factor before the convolution.
        down: factor after it.
        padding: around the up-sampled image; number, `(x, y)` or `(x0, x1, y0, y1)`.
        groups: as in `torch.nn.functional.conv2d`.
        flip_weight: True correlates with `w` (what torch calls convolution), False convolves.

    Returns:
        `[batch, out, h', w']`.

    Raises:
        ValueError: shapes that do not fit, or factors below 1.

    Source: StyleGAN2-ADA (Karras et al. 2020), fused resampling.
    """
    for name, factor in (("up", up), ("down", down)):
        if not isinstance(factor, int) or isinstance(factor, bool) or factor < 1:
            raise ValueError(f"conv2d_resample: {name} must be a whole number of at least 1, got {factor!r}.")
    if x.ndim != 4 or w.ndim != 4:
        raise ValueError(
            f"conv2d_resample: x and w must have four axes, got x {list(x.shape)} and w {list(w.shape)}."
        )
    if groups < 1 or x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise ValueError(
            f"conv2d_resample: x {list(x.shape)} has {x.shape[1]} channels, but w {list(w.shape)} with "
            f"{groups} groups takes {w.shape[1] * groups} and puts out {w.shape[0]}; fit w or groups to x."
        )
    k_y, k_x = int(w.shape[2]), int(w.shape[3])
    x0, x1, y0, y1 = parse_padding(padding)
    if up > 1:
        a, b, c, d = up_padding(f, (up, up))
        x0, x1, y0, y1 = x0 + a, x1 + b, y0 + c, y1 + d
    if down > 1:
        a, b, c, d = down_padding(f, (down, down))
        x0, x1, y0, y1 = x0 + a, x1 + b, y0 + c, y1 + d
    pads = (x0, x1, y0, y1)
    kernel = w if flip_weight else w.flip((2, 3))
    pointwise = k_x == k_y == 1

    if pointwise and up == 1 and down > 1:
        return F.conv2d(upfirdn2d(x, f, 1, down, pads), kernel, groups=groups)
    if pointwise and down == 1 and up > 1:
        return upfirdn2d(F.conv2d(x, kernel, groups=groups), f, up, 1, pads, gain=up**2)
    if up == 1 and down > 1:
        return F.conv2d(upfirdn2d(x, f, 1, 1, pads), kernel, stride=down, groups=groups)
    if up > 1:
        # A transposed convolution flips its kernel, so the un-flipped w convolves.
        transposed = transpose_weight(w.flip((2, 3)) if flip_weight else w, groups)
        y = F.conv_transpose2d(x, transposed, stride=up, groups=groups)
        inner = (x0 - (k_x - 1), x1 - (k_x - up), y0 - (k_y - 1), y1 - (k_y - up))
        y = upfirdn2d(y, f, 1, 1, inner, gain=up**2)
        return upfirdn2d(y, f, 1, down) if down > 1 else y
    if x0 == x1 >= 0 and y0 == y1 >= 0:
        return F.conv2d(x, kernel, padding=(y0, x0), groups=groups)
    return F.conv2d(F.pad(x, pads), kernel, groups=groups)


def transpose_weight(w: Tensor, groups: int = 1) -> Tensor:
    """Reorder `[out, in/groups, k, k]` to `[in, out/groups, k, k]`, the order `conv_transpose2d` wants."""
    if groups == 1:
        return w.transpose(0, 1)
    out, inner, k_y, k_x = w.shape
    parts = w.reshape(groups, out // groups, inner, k_y, k_x).transpose(1, 2)
    return parts.reshape(groups * inner, out // groups, k_y, k_x)
