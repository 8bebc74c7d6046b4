"""Up-convolutions by even and odd rows against transposed ones, and that the generator takes them."""

from __future__ import annotations

import importlib

import pytest
import torch
import torch.nn.functional as F

from cuda_ops import ModulatedConv2d, split_up_conv
from cuda_ops.cpu_passes import finish
from cuda_ops.modulated_conv2d import fused_styled_conv2d
from cuda_ops.split_up_conv import split_conv_transpose2d, split_serves, split_weight
from cuda_ops.upfirdn2d import setup_filter
from stylegan_swap.nn.stylegan2.generator import Generator

LAST = torch.channels_last
TAPS = [0.25, 0.75, 0.75, 0.25]


def operands(batch=2, inner=16, out=32, height=5, width=7, dtype=torch.float64):
    stream = torch.Generator().manual_seed(inner + height)
    x = torch.randn(batch, inner, height, width, generator=stream).to(dtype).contiguous(memory_format=LAST)
    weight = torch.randn(out, inner, 3, 3, generator=stream).to(dtype) / (9 * inner) ** 0.5
    return x, weight


@pytest.mark.parametrize(
    "shape", [(1, 16, 32, 4, 4), (2, 3, 5, 1, 6), (3, 8, 1, 5, 1), (1, 4, 4, 1, 1)], ids=str
)
def test_the_rows_are_those_of_the_transposed_convolution(shape):
    for layout in (LAST, torch.contiguous_format):
        x, weight = operands(*shape)
        whole = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        even, odd = split_conv_transpose2d(x.contiguous(memory_format=layout), split_weight(weight))
        assert torch.allclose(even[..., :-1], whole[:, :, ::2])
        assert torch.allclose(odd[..., :-1], whole[:, :, 1::2])
        assert not even[..., -1].any()
        assert not odd[..., -1].any()


def test_nothing_is_copied():
    x, weight = operands(dtype=torch.float32)
    for rows in split_conv_transpose2d(x, split_weight(weight)):
        assert rows.is_contiguous(memory_format=LAST)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("height", [8, 9])
def test_finish_reads_two_images_as_one(compiled, height, dtype):
    for channels in (16, 21):
        whole = torch.randn(2, channels, height, 10).to(dtype).contiguous(memory_format=LAST)
        ending = {"bias": torch.randn(channels), "slope": 0.2, "gain": 2**0.5}
        taps, padding = (TAPS, [0.1, 0.2, 0.3, 0.4]), (1, 0, 1, 2)
        expected = finish(whole, taps=taps, padding=padding, **ending)
        even, odd = whole[:, :, ::2], whole[:, :, 1::2]
        assert torch.equal(finish(even, odd=odd, taps=taps, padding=padding, **ending), expected)


def test_odd_rows_that_do_not_fit_are_refused(compiled):
    x = torch.randn(1, 16, 4, 4).contiguous(memory_format=LAST)
    for odd in (x[:, :, :2], x[:, :8], x[..., :3], x.bfloat16()):
        with pytest.raises(ValueError, match="odd rows"):
            finish(x, odd=odd, taps=(TAPS, TAPS))
    with pytest.raises(ValueError, match="go with taps"):
        finish(x, odd=x)
    with pytest.raises(ValueError, match=r"\[out, in, 3, 3\]"):
        split_weight(torch.ones(2, 2, 5, 5))


@pytest.mark.parametrize("side", [4, 24])
@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1, 2, 1], [1, 1]], ids=str)
def test_a_layer_gives_the_same_either_way(compiled, taps, side):
    """Few pixels: the image is scaled; many: the weight is. A short filter goes the old way."""
    for batch in (1, 2):
        x, weight = operands(batch, 16, 32, side, side, torch.float32)
        given = {
            "bias": torch.randn(32),
            "noise": torch.randn(1, 1, 2 * side, 2 * side),
            "strength": torch.tensor([0.3]),
            "up": 2,
            "resample_filter": setup_filter(taps, gain=4, separable=False),
            "slope": 0.2,
        }
        style = torch.rand(batch, 16) + 0.5
        with torch.no_grad():
            expected = fused_styled_conv2d(x, weight, style, **given)
            result = fused_styled_conv2d(x, weight, style, split_weight=split_weight(weight), **given)
        assert torch.allclose(result, expected, atol=1e-5)


def test_a_filter_that_is_no_outer_product_goes_the_old_way(compiled):
    x, weight = operands(1, 16, 32, 8, 8, torch.float32)
    given = {"up": 2, "resample_filter": torch.eye(4)}
    with torch.no_grad():
        expected = fused_styled_conv2d(x, weight, torch.ones(1, 16), **given)
        result = fused_styled_conv2d(x, weight, torch.ones(1, 16), split_weight=split_weight(weight), **given)
    assert torch.equal(result, expected)


def test_when_they_serve(monkeypatch):
    x, weight = operands(dtype=torch.bfloat16)
    monkeypatch.setattr(split_up_conv, "_has_amx", lambda: True)
    assert split_serves(x, weight)
    assert split_serves(x, weight[None])
    assert not split_serves(x.float(), weight)
    assert not split_serves(x, weight[..., :1, :1])
    assert not split_serves(x.to("meta"), weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert split_serves(x.float(), weight)
    monkeypatch.setattr(split_up_conv, "_has_amx", lambda: False)
    assert not split_serves(x, weight)


def test_the_weight_is_remembered_and_forgotten():
    conv = ModulatedConv2d(8, 6, 3, 8, resample="up").requires_grad_(False)
    assert conv.remembered() is None
    conv.for_inference()
    kept = conv.remembered().split
    assert conv.remembered().split is kept
    conv.weight.mul_(2.0)
    assert conv.remembered() is None
    conv.for_inference()
    assert torch.equal(conv.remembered().split.even, kept.even * 2)
    conv.double()
    assert conv.remembered() is None


@pytest.mark.parametrize("mixed", [False, True])
def test_the_generator_takes_them(compiled, monkeypatch, mixed):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Generator(128, channels={4: 32, 8: 32, 16: 32, 32: 32, 64: 40, 128: 32}, n_mlp=1)
        wplus = torch.randn(1, network.n_latent, 512)
    network.eval().requires_grad_(False)
    images, calls = [], []
    real = split_up_conv.split_conv_transpose2d
    # The package has a function of the module's name.
    module = importlib.import_module("cuda_ops.modulated_conv2d")
    monkeypatch.setattr(module, "split_conv_transpose2d", lambda *given: calls.append(1) or real(*given))
    with torch.inference_mode():
        images.append(network(wplus).image)
    with torch.no_grad():
        if not mixed:
            network.bfloat16()
        network.for_inference()
        for has_amx in (False, True):
            monkeypatch.setattr(split_up_conv, "_has_amx", lambda has_amx=has_amx: has_amx)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
                images.append(network(wplus).image)
            assert bool(calls) == has_amx
    errors = [(image - images[0]).square().mean().sqrt() for image in images[1:]]
    assert errors[1] < 1.1 * errors[0]
