"""Noise and activation in one sweep: the same numbers, in any layout, and gradients where they are wanted."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from covering import pairwise

from cuda_ops import finish
from cuda_ops.finish import add_noise_and_activate


def draw(batch, dtype=torch.float32, layout=torch.channels_last):
    stream = torch.Generator().manual_seed(3)
    y = torch.randn(batch, 16, 37, 24, generator=stream).to(dtype).contiguous(memory_format=layout)
    return y, torch.randn(1, 1, 37, 24, generator=stream).to(dtype)


@pytest.mark.parametrize(
    ("dtype", "clamp", "batch", "layout"),
    pairwise(
        [torch.float32, torch.bfloat16],
        [None, 0.5],
        [1, 2],
        [torch.channels_last, torch.contiguous_format],
    ),
    ids=str,
)
def test_sweeping_changes_no_number(monkeypatch, dtype, clamp, batch, layout):
    y, noise = draw(batch, dtype, layout)
    expected = F.leaky_relu(y + noise, 0.2)
    expected = expected if clamp is None else expected.clamp(-clamp, clamp)
    whole = add_noise_and_activate(y.clone(memory_format=torch.preserve_format), noise, 0.2, clamp)
    monkeypatch.setattr(finish, "_PIECE_BYTES", 4096)
    monkeypatch.setattr(finish, "_WORTH_BYTES", 0)
    swept = finish._sweeps(y, noise)
    assert swept == (batch == 1 and layout == torch.channels_last)
    pieces = add_noise_and_activate(y.clone(memory_format=torch.preserve_format), noise, 0.2, clamp)
    assert torch.equal(whole, expected)
    if dtype == torch.float32 or not swept:
        assert torch.equal(pieces, expected)
        return
    # Rounded once instead of twice: nearer to the exact value.
    exact = F.leaky_relu(y.float() + noise.float(), 0.2)
    exact = exact if clamp is None else exact.clamp(-clamp, clamp)
    assert torch.equal(pieces, exact.to(dtype))
    assert (pieces - exact).abs().sum() < (expected - exact).abs().sum()


def test_pieces_are_of_a_core_s_cache(monkeypatch):
    y, noise = draw(1)
    monkeypatch.setattr(finish, "_PIECE_BYTES", 5 * 24 * 16 * 4)
    monkeypatch.setattr(finish, "_WORTH_BYTES", 0)
    heights = []
    original = F.leaky_relu_
    monkeypatch.setattr(
        finish.F, "leaky_relu_", lambda part, slope: (heights.append(part.shape[2]), original(part, slope))[1]
    )
    add_noise_and_activate(y, noise)
    assert heights == [5] * 7 + [2]


def test_small_tensors_and_gradients_take_the_plain_way(monkeypatch):
    y, noise = draw(1)
    assert not finish._sweeps(y, noise)
    monkeypatch.setattr(finish, "_WORTH_BYTES", 0)
    assert finish._sweeps(y, noise)
    assert not finish._sweeps(y.requires_grad_(), noise)
    weight = torch.ones((), requires_grad=True)
    result = add_noise_and_activate(y * 1.0, noise * weight, 0.2, None)
    result.sum().backward()
    slopes = torch.where(y.detach() + noise > 0, 1.0, 0.2)
    assert torch.allclose(y.grad, slopes)
    assert torch.allclose(weight.grad, (slopes * noise).sum(), rtol=1e-4)


def test_without_noise():
    y, _ = draw(1)
    assert torch.equal(add_noise_and_activate(y.clone(), None, 0.2, 1.0), F.leaky_relu(y, 0.2).clamp(-1, 1))
