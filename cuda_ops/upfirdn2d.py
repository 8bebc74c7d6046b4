"""Up-sample, FIR filter, down-sample: the resampling under every up and down layer.

One depth-wise convolution does the filtering: on the CPU in channels_last that is close to the speed of a
copy, while one single-channel convolution per channel is 20 times slower.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops.dispatch import use_kernels
from cuda_ops.fused_fir import fir_serves, fused_fir

Pair = int | Sequence[int]


def setup_filter(
    taps: Tensor | Sequence[float] | Sequence[Sequence[float]] | None,
    *,
    normalize: bool = True,
    gain: float = 1.0,
    separable: bool | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Make a float32 FIR filter for `upfirdn2d` from its taps.

    Args:
        taps: `[t]`, `[h, w]`, or None for the identity `[[1]]`.
        normalize: scale the taps so that their sum is 1.
        gain: amplitude of the filter as a 2-D filter; a separable filter stores its square root.
        separable: keep a 1-D filter 1-D (two passes) instead of its outer product. None keeps
            1-D only from 8 taps on, where two passes are cheaper than one.
        device: where the filter shall lie.

    Returns:
        `[t]` or `[h, w]`, float32.

    Raises:
        ValueError: taps that are empty, of more than two dimensions, or whose sum is 0 while
            `normalize` is set; `separable=True` for 2-D taps.

    Source: StyleGAN2 (Karras et al. 2020), section on resampling; taps [1, 3, 3, 1].
    """
    f = torch.ones(1, 1) if taps is None else torch.as_tensor(taps, dtype=torch.float32)
    if f.ndim == 0:
        f = f.reshape(1)
    _check_filter(f)
    if separable is None:
        separable = f.ndim == 1 and f.numel() >= 8
    if separable and f.ndim != 1:
        raise ValueError(
            f"setup_filter: separable=True needs 1-D taps, got shape {list(f.shape)}; "
            "pass the taps of one axis or separable=False."
        )
    if f.ndim == 1 and not separable:
        f = torch.outer(f, f)
    if normalize:
        total = f.sum()
        if not total.is_meta and float(total) == 0.0:
            raise ValueError(
                "setup_filter: the taps sum to 0 and cannot be normalised; pass normalize=False."
            )
        f = f / total
    return (f * gain ** (f.ndim / 2)).to(device=device)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: Pair = 1,
    down: Pair = 1,
    padding: Pair = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad, filter, and keep every `down`-th sample, for each channel alone.

    After every sample `up - 1` zeros are inserted, the image is padded (negative: cropped),
    convolved with `f` ("valid") and decimated from sample 0. An output side is
    `(in·up + p0 + p1 − taps + down) // down`. Linear in `x`, so both derivatives are right
    by autograd; `f` gets no gradient.

    Args:
        x: `[batch, channels, h, w]`, floating point, any memory format (kept).
        f: `[h, w]`, or `[t]` for a separable filter (x axis, then y), or None for `[[1]]`.
        up: factor, or `(x, y)`.
        down: factor, or `(x, y)`.
        padding: zeros around the up-sampled image: one number, `(x, y)` or
            `(x0, x1, y0, y1)`; negative numbers crop.
        flip_filter: True correlates with `f`, False convolves (flips it first).
        gain: factor on the result, applied once also to a separable filter.

    Returns:
        `[batch, channels, h', w']` with the dtype and device of `x`.

    Raises:
        ValueError: wrong ranks, factors below 1, a padding of another length, or nothing
            left to put out.

    Source: StyleGAN2 (Karras et al. 2020), resampling by zero insertion and [1, 3, 3, 1].
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"upfirdn2d: x must be a floating-point [batch, channels, h, w] tensor, got {x.dtype} "
            f"{list(x.shape)}; add the missing axes or convert it."
        )
    up_x, up_y = parse_factor("up", up)
    down_x, down_y = parse_factor("down", down)
    x0, x1, y0, y1 = parse_padding(padding)
    if f is None:
        f = x.new_ones(1, 1)
    _check_filter(f)
    if use_kernels(x) and fir_serves(f, (up_x, up_y), (down_x, down_y)):
        taps = f.detach().to(x.device)
        taps = torch.outer(taps, taps) if f.ndim == 1 else taps
        pads = (x0, x1, y0, y1)
        return fused_fir(x, taps, up=up_x, down=down_x, padding=pads, flip=flip_filter, filter_gain=gain)
    # The filter is a constant of the network: without detach a filter held as a parameter
    # would silently be trained.
    f = f.detach().to(x)
    scaled = f * gain if gain != 1.0 else f
    if f.ndim == 1:
        x = _filter(x, scaled[None, :], (up_x, 1), (down_x, 1), (x0, x1, 0, 0), flip_filter)
        return _filter(x, f[:, None], (1, up_y), (1, down_y), (0, 0, y0, y1), flip_filter)
    return _filter(x, scaled, (up_x, up_y), (down_x, down_y), (x0, x1, y0, y1), flip_filter)


def filter2d(
    x: Tensor, f: Tensor | None, padding: Pair = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Filter without changing the size.

    As `upfirdn2d`, but `padding` comes on top of what keeps `[batch, channels, h, w]`.
    """
    t_x, t_y = filter_size(f)
    extra = parse_padding(padding)
    pads = (t_x // 2, (t_x - 1) // 2, t_y // 2, (t_y - 1) // 2)
    return upfirdn2d(x, f, 1, 1, _sum(extra, pads), flip_filter, gain)


def upsample2d(
    x: Tensor,
    f: Tensor | None,
    up: Pair = 2,
    padding: Pair = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Enlarge by `up` and filter; the brightness is kept (gain `up_x · up_y`).

    As `upfirdn2d`, but `padding` comes on top of what gives exactly `[batch, channels, h·up, w·up]`, and
    `gain` is a further factor.
    """
    factors = parse_factor("up", up)
    pads = _sum(parse_padding(padding), up_padding(f, factors))
    return upfirdn2d(x, f, factors, 1, pads, flip_filter, gain * factors[0] * factors[1])


def downsample2d(
    x: Tensor,
    f: Tensor | None,
    down: Pair = 2,
    padding: Pair = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Filter and shrink by `down`.

    As `upfirdn2d`, but `padding` comes on top of what gives exactly `[batch, channels, h/down, w/down]`.
    """
    factors = parse_factor("down", down)
    pads = _sum(parse_padding(padding), down_padding(f, factors))
    return upfirdn2d(x, f, 1, factors, pads, flip_filter, gain)


def filter_size(f: Tensor | None) -> tuple[int, int]:
    """Taps along x and y, `(1, 1)` for None; raises ValueError for what is no filter."""
    if f is None:
        return 1, 1
    _check_filter(f)
    return int(f.shape[-1]), int(f.shape[0])


def up_padding(f: Tensor | None, up: tuple[int, int]) -> tuple[int, int, int, int]:
    """Padding `(x0, x1, y0, y1)` with which up-sampling by `up` puts out exactly `up` times the size."""
    (t_x, t_y), (u_x, u_y) = filter_size(f), up
    return (t_x + u_x - 1) // 2, (t_x - u_x) // 2, (t_y + u_y - 1) // 2, (t_y - u_y) // 2


def down_padding(f: Tensor | None, down: tuple[int, int]) -> tuple[int, int, int, int]:
    """Padding `(x0, x1, y0, y1)` with which down-sampling puts out exactly the size over `down`."""
    (t_x, t_y), (d_x, d_y) = filter_size(f), down
    return (t_x - d_x + 1) // 2, (t_x - d_x) // 2, (t_y - d_y + 1) // 2, (t_y - d_y) // 2


def parse_factor(name: str, value: Pair) -> tuple[int, int]:
    """Read a resampling factor given as a number or `(x, y)`; raises ValueError below 1."""
    pair = _numbers(value)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(
            f"{name} must be a whole number of at least 1, or a pair (x, y) of them; got {value!r}."
        )
    return pair[0], pair[1]


def parse_padding(value: Pair) -> tuple[int, int, int, int]:
    """Read a padding given as a number, `(x, y)` or `(x0, x1, y0, y1)`; raises ValueError otherwise."""
    parts = _numbers(value)
    if len(parts) not in (2, 4):
        raise ValueError(
            f"padding must be a whole number, a pair (x, y) or four numbers (x0, x1, y0, y1); got {value!r}."
        )
    if len(parts) == 2:
        return parts[0], parts[0], parts[1], parts[1]
    return parts[0], parts[1], parts[2], parts[3]


def fir(x: Tensor, f: Tensor, padding: tuple[int, int, int, int], bias: Tensor | None = None) -> Tensor:
    """Convolve every channel with the 2-D filter `f` and add a bias: the unchecked inner loop.

    Args:
        x: `[batch, channels, h, w]`.
        f: `[t_y, t_x]`.
        padding: `(x0, x1, y0, y1)`.
        bias: `[channels]`, added in the same pass.

    Returns:
        `[batch, channels, h + y0 + y1 − t_y + 1, w + x0 + x1 − t_x + 1]`.
    """
    if use_kernels(x) and fir_serves(f, (1, 1), (1, 1)):
        return fused_fir(x, f, padding=padding, bias=bias)
    kernel = f.detach().to(x).flip((0, 1))
    return _depthwise(x, kernel, (1, 1), padding, bias)


def _depthwise(
    x: Tensor,
    kernel: Tensor,
    down: tuple[int, int],
    padding: tuple[int, int, int, int],
    bias: Tensor | None = None,
) -> Tensor:
    """Correlate every channel of `x` with `kernel` at stride `down`."""
    x0, x1, y0, y1 = padding
    channels = x.shape[1]
    symmetric = (0, 0)
    if x0 == x1 >= 0 and y0 == y1 >= 0:
        symmetric = (y0, x0)  # the convolution pads by itself, without a copy
    else:
        x = F.pad(x, (x0, x1, y0, y1))
    weight = kernel[None, None].expand(channels, 1, -1, -1)
    if down != (1, 1) and x.requires_grad and x.device.type == "cpu":
        # oneDNN's gradient of a depthwise convolution with a stride takes three to six times as long as
        # without one, the samples thrown away included.
        return F.conv2d(x, weight, bias, padding=symmetric, groups=channels)[:, :, :: down[1], :: down[0]]
    return F.conv2d(x, weight, bias, stride=(down[1], down[0]), padding=symmetric, groups=channels)


def _filter(
    x: Tensor,
    f: Tensor,
    up: tuple[int, int],
    down: tuple[int, int],
    padding: tuple[int, int, int, int],
    flip_filter: bool,
) -> Tensor:
    """`upfirdn2d` with a 2-D filter and parsed arguments (pairs are (x, y))."""
    x0, x1, y0, y1 = padding
    height, width = x.shape[2:]
    t_y, t_x = f.shape
    if width * up[0] + x0 + x1 < t_x or height * up[1] + y0 + y1 < t_y:
        raise ValueError(
            f"upfirdn2d: a {width}x{height} image, up {up}, padding {padding} is smaller than the "
            f"{t_x}x{t_y} filter; pad more or use a shorter filter."
        )
    if up == (1, 1):
        return _depthwise(x, f if flip_filter else f.flip((0, 1)), down, padding)
    # Zero insertion followed by a convolution is a transposed convolution. It starts taps - 1
    # samples earlier than "valid" does and ends at the last sample, not at the zeros after it.
    crop = (t_x - 1 - x0, t_x - up[0] - x1, t_y - 1 - y0, t_y - up[1] - y1)
    symmetric = (0, 0)
    # Both ends alike, as in every up-sampling by 2: the convolution crops without a copy.
    if crop[0] == crop[1] >= 0 and crop[2] == crop[3] >= 0:
        symmetric = (crop[2], crop[0])
    weight = (f.flip((0, 1)) if flip_filter else f)[None, None].expand(x.shape[1], 1, -1, -1)
    y = F.conv_transpose2d(x, weight, stride=(up[1], up[0]), padding=symmetric, groups=x.shape[1])
    if symmetric == (0, 0) and any(crop):
        y = F.pad(y, (-crop[0], -crop[1], -crop[2], -crop[3]))
    return y[:, :, :: down[1], :: down[0]] if down != (1, 1) else y


def _numbers(value: Pair) -> tuple[int, ...]:
    """A whole number twice, or a sequence of them; empty for anything else."""
    parts = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else ()
    for part in parts:
        if not isinstance(part, int) or isinstance(part, bool):
            return ()
    return parts


def _sum(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _check_filter(f: Tensor) -> None:
    if f.ndim not in (1, 2) or f.numel() == 0 or not f.is_floating_point():
        raise ValueError(
            f"a filter must be a non-empty floating-point [t] or [h, w] tensor, got {f.dtype} "
            f"{list(f.shape)}; build it with setup_filter."
        )
