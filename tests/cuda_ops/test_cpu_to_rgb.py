"""The step to RGB of the CPU kernels against float64, and that the layer takes it where it serves."""

from __future__ import annotations

import pytest
import references
import torch
from covering import pairwise

from cuda_ops import cpu_library, cpu_passes, layers, setup_filter
from cuda_ops.cpu_passes import cpu_to_rgb, separable
from cuda_ops.layers import ToRGB
from cuda_ops.toolchain import BuildError

LAST = torch.channels_last
FILTER = setup_filter([1, 3, 3, 1], gain=4, separable=False)
SHAPES = [(2, 16, 6, 6), (1, 5, 4, 8), (2, 264, 10, 2), (1, 32, 34, 30), (3, 300, 2, 14), (1, 1, 2, 2)]


def operands(batch, channels, height, width, dtype=torch.float32):
    stream = torch.Generator().manual_seed(channels)
    x = torch.randn(batch, channels, height, width, generator=stream)
    weight = torch.randn(batch, 3, channels, generator=stream) / channels**0.5
    skip = torch.randn(batch, 3, height // 2, width // 2, generator=stream)
    return x.to(dtype).contiguous(memory_format=LAST), weight, torch.randn(3, generator=stream), skip


def expected(x, weight, bias=None, skip=None, f=None, clamp=None):
    y = torch.einsum("noc,nchw->nohw", weight.double(), x.double())
    y = y if bias is None else y + bias.double()[:, None, None]
    y = y if clamp is None else y.clamp(-clamp, clamp)
    if skip is None:
        return y
    pads = [(t + 1) // 2 if before else (t - 2) // 2 for t in (f.shape[1], f.shape[0]) for before in (1, 0)]
    return y + references.fir(skip.double(), f.double(), up=2, padding=tuple(pads))


@pytest.mark.parametrize(
    ("clamp", "shape", "dtype"), pairwise([None, 0.8], SHAPES, [torch.float32, torch.bfloat16]), ids=str
)
def test_parity_with_float64(compiled, clamp, shape, dtype):
    x, weight, bias, skip = operands(*shape, dtype)
    y = cpu_to_rgb(x, weight, bias, skip=skip, taps=separable(FILTER), clamp=clamp)
    assert y.dtype == torch.float32
    assert y.is_contiguous(memory_format=LAST)
    # The sum is exact but for float32, however coarse x is.
    assert (y - expected(x, weight, bias, skip, FILTER, clamp)).abs().max() < 1e-5


def test_without_skip_and_bias_any_size_will_do(compiled):
    for sides in ((3, 5), (1, 1), (7, 2), (1, 17)):
        for channels in (7, 32):
            x, weight, _, _ = operands(2, channels, *sides)
            assert (cpu_to_rgb(x, weight) - expected(x, weight)).abs().max() < 1e-5


def test_other_filters(compiled):
    for taps in (([1, 2, 3, 4], [2, 5, 1, 3]), ([1, 2, 1], [3, 1, 2]), ([1, 1], [1, 2])):
        f = torch.outer(*(torch.tensor(one).float() for one in taps)) / 10
        x, weight, bias, skip = operands(2, 16, 8, 6)
        y = cpu_to_rgb(x, weight, bias, skip=skip, taps=separable(f))
        assert (y - expected(x, weight, bias, skip, f)).abs().max() < 1e-5


def test_other_layouts_and_number_types_of_the_operands(compiled):
    x, weight, bias, skip = operands(2, 32, 8, 8, torch.bfloat16)
    options = {"taps": separable(FILTER)}
    y = cpu_to_rgb(x, weight, bias, skip=skip.contiguous(memory_format=LAST), **options)
    wide = torch.zeros(2, 3, 4, 9)
    wide[..., ::2][..., :4] = skip
    strided = weight.transpose(1, 2).contiguous().transpose(1, 2)
    other = cpu_to_rgb(
        x.contiguous(), strided.double(), bias.double(), skip=wide[..., ::2][..., :4], **options
    )
    assert torch.equal(y, other)


def test_any_number_of_threads_and_any_batch_give_the_same_bits(compiled):
    x, weight, bias, skip = operands(3, 32, 42, 38)
    before, results = torch.get_num_threads(), []
    options = {"taps": separable(FILTER)}
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(cpu_to_rgb(x, weight, bias, skip=skip, **options))
    finally:
        torch.set_num_threads(before)
    alone = [cpu_to_rgb(x[n, None], weight[n, None], bias, skip=skip[n, None], **options) for n in range(3)]
    assert all(torch.equal(result, torch.cat(alone)) for result in results)


def test_nan_and_infinity_stay_where_they_are(compiled):
    x = torch.zeros(1, 17, 1, 6).contiguous(memory_format=LAST)
    x[..., 1], x[..., 2] = float("nan"), float("inf")
    y = cpu_to_rgb(x, torch.ones(1, 3, 17))
    assert y[..., 1].isnan().all()
    assert (y[..., 2] == float("inf")).all()
    assert not y[..., [0, 3, 4, 5]].any()


def test_operands_that_do_not_fit_are_refused(compiled):
    x, weight, bias, skip = operands(2, 16, 8, 8)
    taps = separable(FILTER)
    for match, change in (
        ("weight", {"weight": weight[:1]}),
        ("bias", {"bias": bias[:2]}),
        ("half as large", {"skip": skip[..., :3], "taps": taps}),
        ("together", {"skip": skip}),
        ("together", {"taps": taps}),
        ("negative", {"clamp": -1.0}),
        ("float16", {"x": x.half()}),
        ("no gradients", {"x": x.clone().requires_grad_()}),
        ("even sides", {"x": x[:, :, :7], "skip": skip[:, :, :3], "taps": taps}),
    ):
        with pytest.raises(ValueError, match=match):
            cpu_to_rgb(**{"x": x, "weight": weight, "bias": bias, **change})


def layer(channels=32, upsample=True, clamp=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        to_rgb = ToRGB(channels, 8, upsample, clamp).eval().requires_grad_(False)
        torch.nn.init.normal_(to_rgb.bias)
    return to_rgb


@pytest.fixture
def calls(monkeypatch):
    """How often the layer took the kernel."""
    count = []
    monkeypatch.setattr(layers, "cpu_to_rgb", lambda *a, **k: count.append(1) or cpu_to_rgb(*a, **k))
    return count


@pytest.mark.parametrize(
    ("clamp", "upsample", "batch", "dtype"),
    pairwise([None, 1.0], [True, False], [1, 2], [torch.float32, torch.bfloat16]),
    ids=str,
)
def test_the_layer_gives_what_torch_gives(compiled, calls, monkeypatch, clamp, upsample, batch, dtype):
    to_rgb = layer(upsample=upsample, clamp=clamp).to(dtype)
    x = torch.randn(batch, 32, 64, 66).to(dtype).contiguous(memory_format=LAST)
    w = torch.randn(batch, 8).to(dtype)
    skip = torch.randn(batch, 3, 32, 33) if upsample else None
    with torch.inference_mode():
        y = to_rgb(x, w, skip)
        assert calls == [1]
        monkeypatch.setenv("STYLEGAN_SWAP_OPS", "torch")
        plain = to_rgb(x, w, skip)
    assert calls == [1]
    assert y.dtype == plain.dtype == torch.float32
    assert y.stride() == plain.stride()
    assert (y - plain).abs().max() < (1e-5 if dtype == torch.float32 else 0.05)


def test_when_the_layer_leaves_it_to_torch(compiled, calls, monkeypatch):
    to_rgb, w = layer(), torch.randn(1, 8)
    x, skip = torch.randn(1, 32, 64, 64).contiguous(memory_format=LAST), torch.randn(1, 3, 32, 32)
    expected = to_rgb(x, w, skip)
    with torch.no_grad():
        others = [to_rgb(x.contiguous(), w, skip), to_rgb(x, w, skip.double())]
        usual = to_rgb.upsample.kernel.clone()
        to_rgb.upsample.kernel.copy_(torch.eye(4))
        to_rgb(x, w, skip)
        to_rgb.upsample.kernel.copy_(usual)

        def missing():
            raise BuildError("no C++ compiler was found; install g++")

        monkeypatch.setattr(cpu_passes, "_loaded", [])
        monkeypatch.setattr(cpu_library, "cpu_recipe", missing)
        others.append(to_rgb(x, w, skip))
    assert not calls
    assert all(torch.allclose(other.float(), expected, atol=1e-5) for other in others)
    x.requires_grad_()
    to_rgb(x, w, skip).sum().backward()
    assert x.grad is not None
