import math

import golden
import pytest
import torch

from cuda_ops import ModulatedConv2d, conv2d_resample, modulated_conv2d, setup_filter, square_sum

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


def by_definition(x, weight, style, bias, demodulate=True, weight_gain=1.0, gain=1.0, **kind):
    """The paper's formula: weights per sample, one sample at a time."""
    up, down, f = kind.get("up", 1), kind.get("down", 1), kind.get("resample_filter")
    f = f if f is None else f.to(x) / up**2
    results = []
    for one, s in zip(x, style, strict=True):
        w = weight_gain * weight * s[None, :, None, None]
        if demodulate:
            w = w * torch.rsqrt(w.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        y = conv2d_resample(one[None], w, f, up, down, weight.shape[2] // 2, flip_weight=up == 1)
        results.append(gain * (y + bias[None, :, None, None]))
    return torch.cat(results)


@golden.mark
def test_official_outputs():
    known = golden.case("ops_modulated_conv2d")
    config = known.config
    sizes = (config["in_channel"], config["out_channel"])
    for variant in config["variants"]:
        name, kernel = variant.split(" k")
        layer = ModulatedConv2d(
            *sizes,
            int(kernel),
            config["style_dim"],
            demodulate=not name.startswith("nodemod"),
            resample=name if name in ("up", "down") else None,
        )
        shapes = {key: list(value.shape) for key, value in layer.state_dict().items()}
        assert shapes == known.manifest["state"][name]
        layer.load_state_dict(layer.state_dict() | known.state(name))
        x, w = known.input("x"), known.input("w")
        known.check(name, layer(x, w))
        known.check(name, layer(x.contiguous(memory_format=torch.channels_last), w))
        alone = [layer(x[i : i + 1], w[i : i + 1]) for i in range(len(x))]
        known.check(name, torch.cat(alone))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_paper_formula_and_both_ways(kind, kernel):
    for demodulate in (True, False):
        options = KINDS[kind] | {"demodulate": demodulate, "weight_gain": 0.3, "gain": math.sqrt(2)}
        x, weight, style, bias = tensors(3, kernel=kernel)
        expected = by_definition(x, weight, style, bias, **options)
        torch.testing.assert_close(modulated_conv2d(x, weight, style, bias=bias, **options), expected)
        for fold in (True, False):
            one = modulated_conv2d(x[:1], weight, style[:1], bias=bias, fold=fold, **options)
            torch.testing.assert_close(one, expected[:1])


def test_many_outputs_without_demodulation_take_the_general_way():
    x, weight, style, bias = tensors(2, kernel=1, out=9)
    expected = by_definition(x, weight, style, bias, demodulate=False)
    torch.testing.assert_close(modulated_conv2d(x, weight, style, bias=bias, demodulate=False), expected)
    few = modulated_conv2d(x, weight[:3], style, demodulate=False)
    torch.testing.assert_close(few, expected[:, :3] - bias[None, :3, None, None])


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kind", ["plain", "up", "down"])
def test_first_and_second_derivatives(kind, batch):
    leaves = [t.requires_grad_() for t in tensors(batch, inner=2, out=2, side=2 if kind != "down" else 4)]

    def run(x, weight, style, bias, fold=None):
        return modulated_conv2d(x, weight, style, bias=bias, fold=fold, **KINDS[kind])

    for fold in (True, False) if batch == 1 else (None,):
        assert torch.autograd.gradcheck(lambda *t, fold=fold: run(*t, fold=fold), leaves)
        assert torch.autograd.gradgradcheck(lambda *t, fold=fold: run(*t, fold=fold), leaves)


@pytest.mark.parametrize("batch", [1, 2])
def test_first_and_second_derivatives_to_rgb(batch):
    leaves = [t.requires_grad_() for t in tensors(batch, kernel=1, inner=3, out=3, side=2)]

    def run(x, weight, style, bias):
        return modulated_conv2d(x, weight, style, bias=bias, demodulate=False)

    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_is_close_to_fp32(kind):
    for batch in (1, 3):
        x, weight, style, bias = tensors(batch, torch.float32, inner=32, out=16, side=8)
        expected = modulated_conv2d(x, weight, style, bias=bias, **KINDS[kind])
        low = [t.bfloat16() for t in (x, weight, style, bias)]
        result = modulated_conv2d(*low[:3], bias=low[3], **KINDS[kind])
        assert result.dtype == torch.bfloat16
        assert (result.float() - expected).abs().max() <= 1e-2 * expected.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_memory_format_is_kept_and_strides_do_not_matter(kind):
    for batch in (1, 3):
        x, weight, style, bias = tensors(batch, torch.float32, inner=8, out=8, side=8)
        expected = modulated_conv2d(x, weight, style, bias=bias, **KINDS[kind])
        last = x.contiguous(memory_format=torch.channels_last)
        result = modulated_conv2d(last, weight, style, bias=bias, **KINDS[kind])
        assert result.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            modulated_conv2d(
                x.transpose(2, 3).contiguous().transpose(2, 3), weight, style, bias=bias, **KINDS[kind]
            ),
            expected,
            atol=1e-5,
            rtol=1e-5,
        )


def test_given_square_sum_is_used():
    x, weight, style, _ = tensors(2)
    expected = modulated_conv2d(x, weight, style)
    torch.testing.assert_close(
        modulated_conv2d(x, weight, style, weight_square_sum=square_sum(weight)), expected
    )
    quadruple = modulated_conv2d(x, weight, style, weight_square_sum=4 * square_sum(weight))
    torch.testing.assert_close(quadruple, expected / 2, rtol=1e-6, atol=1e-8)


def test_bad_arguments():
    for change, message in (
        ({"x": torch.zeros(2, 5, 4, 4)}, "same number of input channels"),
        ({"weight": torch.zeros(3, 4, 2, 2)}, "odd side"),
        ({"weight": torch.zeros(3, 4, 3, 1)}, "odd side"),
        ({"style": torch.zeros(1, 4)}, r"style \[1, 4\] must be .* \[2, 4\]"),
        ({"up": 0}, "up must be"),
        ({"down": True}, "down must be"),
        ({"up": 2, "down": 2}, "cannot both"),
        ({"bias": torch.zeros(4)}, "bias"),
        ({"weight_square_sum": torch.zeros(4, 3)}, "weight_square_sum"),
        ({"fold": True}, "fold=True"),
    ):
        arguments = {
            "x": torch.zeros(2, 4, 4, 4),
            "weight": torch.zeros(3, 4, 3, 3),
            "style": torch.ones(2, 4),
        }
        with pytest.raises(ValueError, match=message):
            modulated_conv2d(**(arguments | change))
