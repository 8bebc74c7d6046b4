import math

import golden
import pytest
import torch
import torch.nn.functional as F

from cuda_ops import ModulatedConv2d, modulated_conv2d, setup_filter, square_sum, upfirdn2d

KINDS = {
    "plain": {},
    "up": {"up": 2, "resample_filter": setup_filter([1, 3, 3, 1], gain=4)},
    "down": {"down": 2, "resample_filter": setup_filter([1, 3, 3, 1])},
    "up without filter": {"up": 2},
    "down without filter": {"down": 2},
}


def tensors(batch, dtype=torch.float64, kernel=3, inner=4, out=3, side=4):
    torch.manual_seed(0)
    x = torch.randn(batch, inner, side, side, dtype=dtype)
    weight = torch.randn(out, inner, kernel, kernel, dtype=dtype)
    style = 1 + 0.3 * torch.randn(batch, inner, dtype=dtype)
    bias = torch.randn(out, dtype=dtype)
    return x, weight, style, bias


def by_definition(x, weight, style, bias, demodulate, up, down, resample_filter, weight_gain, gain):
    """Weights per sample, one sample at a time: the paper's formula."""
    results = []
    half = weight.shape[2] // 2
    for one, s in zip(x, style, strict=True):
        w = weight_gain * weight * s[None, :, None, None]
        if demodulate:
            w = w * torch.rsqrt(w.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        u = one[None]
        if up > 1:
            u = upfirdn2d(u, None, up=up)
            # a transposed convolution is a convolution proper of the zero-filled image
            u = F.conv2d(F.pad(u, (2 * half, 1, 2 * half, 1)), w.flip((2, 3)))
            t = resample_filter.shape[0]
            p0, p1 = (t + up - 1) // 2 - half, (t - up) // 2 + half - 1
            p1 += 2 * half + 1 - 2 * half - (up - 1) - (2 * half + 1 - up) + (up - 1) * 0
            u = upfirdn2d(u, resample_filter, padding=(p0, p1, p0, p1))
        elif down > 1:
            t = resample_filter.shape[0]
            p0, p1 = (t - down + 1) // 2 + half, (t - down) // 2 + half
            u = upfirdn2d(u, resample_filter, padding=(p0, p1, p0, p1))
            u = F.conv2d(u, w, stride=down)
        else:
            u = F.conv2d(u, w, padding=half)
        results.append(gain * (u + bias[None, :, None, None]))
    return torch.cat(results)
