"""What the kernels must compute, in plain torch and float64; and tensors of every layout to try them on."""

from __future__ import annotations

import torch
import torch.nn.functional as F

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
LAYOUTS = ("contiguous", "channels_last", "misaligned", "sliced", "sliced_last")
# Rounding of the result, plus that of the sums of float32.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float64: 1e-13}


def laid_out(x: torch.Tensor, layout: str) -> torch.Tensor:
    """A copy of `x` with other strides or another address."""
    last = torch.channels_last
    if layout == "contiguous":
        return x.contiguous()
    if layout == "channels_last":
        return x.contiguous(memory_format=last)
    if layout == "misaligned":
        # One element past a 16-byte boundary, dense in channels_last order.
        room = x.new_empty(x.numel() + 1)[1:]
        batch, channels, height, width = x.shape
        return room.view(batch, height, width, channels).permute(0, 3, 1, 2).copy_(x)
    wider = F.pad(x, (1, 2, 0, 3))
    if layout == "sliced_last":
        wider = wider.contiguous(memory_format=last)
    return wider[:, :, : x.shape[2], 1 : 1 + x.shape[3]]


def epilogue(x, scale=None, noise=None, strength=None, bias=None, slope=1.0, gain=1.0, clamp=None):
    """The formula of `fused_epilogue`."""
    z = x if scale is None else x * scale[:, :, None, None]
    if noise is not None:
        z = z + noise * strength
    if bias is not None:
        z = z + bias[:, None, None]
    y = torch.where(z > 0, z, z * slope) * gain
    return y if clamp is None else y.clamp(-clamp, clamp)


def fir(x, taps, up=1, down=1, padding=(0, 0, 0, 0), flip=False, filter_gain=1.0):
    """`upfirdn2d` by its definition: zeros in between, padding, correlation, every down-th sample."""
    batch, channels, height, width = x.shape
    wide = x.new_zeros(batch, channels, height, up, width, up)
    wide[:, :, :, 0, :, 0] = x
    wide = F.pad(wide.reshape(batch, channels, height * up, width * up), padding)
    kernel = (taps if flip else taps.flip((0, 1))).to(x) * filter_gain
    y = F.conv2d(wide, kernel[None, None].expand(channels, 1, -1, -1), groups=channels)
    return y[:, :, ::down, ::down]


def close(result: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype, factor: float = 1.0) -> None:
    """Equal up to the rounding of `dtype`, measured by the largest number in `want`."""
    size = float(expected.abs().max()) if expected.numel() else 1.0
    tolerance = TOLERANCE[dtype] * factor
    torch.testing.assert_close(
        result.double(), expected.double(), rtol=tolerance, atol=tolerance * max(size, 1e-3)
    )
