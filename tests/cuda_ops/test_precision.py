"""Inside autocast the coefficients of a layer and the RGB sum keep their 24 bits."""

from __future__ import annotations

import torch

from cuda_ops import ModulatedConv2d
from cuda_ops.layers import ToRGB
from cuda_ops.modulated_conv2d import as_given


def test_operations_keep_their_dtypes():
    x = torch.randn(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with as_given(x):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16
    with as_given(torch.empty(2, device="meta")), as_given(x):
        assert (x @ x).dtype == torch.float32


def test_styles_and_demodulation_are_not_rounded(monkeypatch):
    torch.manual_seed(0)
    conv = ModulatedConv2d(6, 5, 3, 8)
    seen = []
    original = torch.rsqrt
    monkeypatch.setattr(torch, "rsqrt", lambda x: (seen.append(x), original(x))[1])
    x, w = torch.randn(1, 6, 8, 8), torch.randn(1, 8)
    conv(x, w)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = conv(x, w)
        conv(x, w.bfloat16())
    assert result.dtype == torch.bfloat16
    assert torch.equal(seen[0], seen[1])
    assert seen[2].dtype == torch.float32


def test_the_rgb_sum_is_not_rounded():
    torch.manual_seed(0)
    layer, x, w = ToRGB(6, 8), torch.zeros(1, 6, 8, 8), torch.randn(1, 8)
    skip = torch.randn(1, 3, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        summed = layer(x, w, skip)
    assert torch.equal(summed, layer(x, w, skip))
