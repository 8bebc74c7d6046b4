import math
import threading

import pytest
import torch
import torch.nn.functional as F

from cuda_ops import (
    BiasedLeakyReLU,
    Blur,
    ConvLayer,
    EqualizedConv2d,
    EqualizedLinear,
    ModulatedConv2d,
    PixelNorm,
    Upsample,
)


def names(module):
    return {key: list(value.shape) for key, value in module.state_dict().items()}


def test_parameter_names_of_the_exchange_layout():
    assert names(EqualizedLinear(3, 4)) == {"weight": [4, 3], "bias": [4]}
    assert names(EqualizedLinear(3, 4, bias=False)) == {"weight": [4, 3]}
    assert names(EqualizedConv2d(3, 4, 1)) == {"weight": [4, 3, 1, 1], "bias": [4]}
    modulation = {"modulation.weight": [3, 7], "modulation.bias": [3]}
    assert names(ModulatedConv2d(3, 4, 3, 7)) == {"weight": [1, 4, 3, 3, 3]} | modulation
    for resample in ("up", "down"):
        found = names(ModulatedConv2d(3, 4, 3, 7, resample=resample))
        assert found == {"weight": [1, 4, 3, 3, 3], "blur.kernel": [4, 4]} | modulation
    assert names(ConvLayer(3, 4, 3)) == {"0.weight": [4, 3, 3, 3], "1.bias": [4]}
    assert names(ConvLayer(3, 4, 3, down=True)) == {
        "0.kernel": [4, 4],
        "1.weight": [4, 3, 3, 3],
        "2.bias": [4],
    }
    assert names(ConvLayer(3, 4, 1, down=True, activate=False)) == {
        "0.kernel": [4, 4],
        "1.weight": [4, 3, 1, 1],
    }


def test_pixel_norm():
    x = torch.randn(3, 16, dtype=torch.float64)
    torch.testing.assert_close(PixelNorm()(x).square().mean(1), torch.ones(3, dtype=torch.float64))
    assert torch.isfinite(PixelNorm()(torch.zeros(2, 4))).all()


@pytest.mark.parametrize("activation", [None, "lrelu"])
def test_equalized_linear_formula(activation):
    for lr_mul in (1.0, 0.01):
        torch.manual_seed(0)
        layer = EqualizedLinear(16, 8, lr_mul=lr_mul, bias_init=0.7, activation=activation)
        torch.testing.assert_close(layer.bias * lr_mul, torch.full((8,), 0.7))
        x = torch.randn(5, 3, 16)
        expected = x @ (layer.weight.t() * lr_mul / 4) + 0.7
        expected = F.leaky_relu(expected, 0.2) * math.sqrt(2) if activation else expected
        torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("lr_mul", [1.0, 0.01])
def test_equalized_layers_start_at_unit_variance(lr_mul):
    torch.manual_seed(1)
    y = EqualizedLinear(256, 256, lr_mul=lr_mul)(torch.randn(256, 256)).detach()
    assert 0.9 < float(y.std()) < 1.1
    y = EqualizedConv2d(64, 64, 3, padding=1)(torch.randn(4, 64, 16, 16)).detach()
    assert 0.85 < float(y.std()) < 1.1


def test_equalized_conv_formula():
    torch.manual_seed(2)
    layer = EqualizedConv2d(4, 6, 3, stride=2, padding=1)
    with torch.no_grad():
        layer.bias.normal_()
    x, extra = torch.randn(2, 4, 9, 9), torch.randn(6)
    expected = F.conv2d(x, layer.weight / 6, layer.bias, 2, 1)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(
        layer(x, gain=3.0, extra_bias=extra), 3 * (expected + extra[:, None, None]), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(("kernel", "down"), [(1, False), (3, False), (1, True), (3, True)])
def test_conv_layer_equals_its_parts_in_turn(kernel, down):
    for activate in (True, False):
        torch.manual_seed(3)
        layer = ConvLayer(4, 6, kernel, down=down, activate=activate).double()
        if activate:
            torch.nn.init.normal_(layer[-1].bias)
        x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
        expected = x
        for part in layer:
            expected = part(expected)
        assert expected.shape[2:] == ((4, 4) if down else (8, 8))
        torch.testing.assert_close(layer(x), expected)
        torch.testing.assert_close(layer(x, gain=0.5), expected * 0.5)


def test_blur_and_upsample_kernels():
    taps = torch.tensor([1.0, 3, 3, 1]) / 8
    torch.testing.assert_close(Blur().kernel, torch.outer(taps, taps))
    torch.testing.assert_close(Blur(factor=2).kernel, 4 * torch.outer(taps, taps))
    torch.testing.assert_close(Upsample().kernel, 4 * torch.outer(taps, taps))
    x = torch.randn(1, 3, 8, 8)
    assert Upsample()(x).shape == (1, 3, 16, 16)
    bilinear = F.interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(Upsample()(x)[..., 1:-1, 1:-1], bilinear[..., 1:-1, 1:-1])


def test_inputs_are_never_written_to():
    x, w = torch.randn(1, 4, 8, 8), torch.randn(1, 7)
    kept = x.clone(), w.clone()
    ModulatedConv2d(4, 4, 3, 7)(x, w)
    ConvLayer(4, 4, 1)(x)
    BiasedLeakyReLU(4)(x)
    EqualizedLinear(7, 7, activation="lrelu")(w)
    assert torch.equal(x, kept[0])
    assert torch.equal(w, kept[1])


def edits():
    def optimiser(layer, x, w):
        step = torch.optim.Adam(layer.parameters(), lr=0.3)
        layer(x, w).square().sum().backward()
        step.step()

    def in_place(layer, x, w):
        with torch.no_grad():
            layer.weight.mul_(torch.rand_like(layer.weight))

    def behind_autograd(layer, x, w):
        layer.weight.data.mul_(torch.rand_like(layer.weight))

    def load(layer, x, w):
        layer.load_state_dict({k: v + torch.randn_like(v) for k, v in layer.state_dict().items()})

    def replace(layer, x, w):
        layer.weight = torch.nn.Parameter(torch.randn_like(layer.weight))

    def convert(layer, x, w):
        in_place(layer.half().float(), x, w)

    return [optimiser, in_place, behind_autograd, load, replace, convert]


@pytest.mark.parametrize("edit", edits(), ids=lambda f: f.__name__)
def test_no_edit_of_the_weights_leaves_a_stale_value(edit):
    for batch in (1, 2):
        torch.manual_seed(4)
        layer = ModulatedConv2d(4, 5, 3, 7)
        x, w = torch.randn(batch, 4, 6, 6), torch.randn(batch, 7)
        with torch.inference_mode():
            before = layer(x, w)
        edit(layer, x, w)
        with torch.inference_mode():
            after = layer(x, w)
        fresh = ModulatedConv2d(4, 5, 3, 7)
        fresh.load_state_dict(layer.state_dict())
        torch.testing.assert_close(after, fresh(x, w))
        assert not torch.allclose(after, before, atol=1e-3)


def test_threads_may_share_a_layer():
    torch.manual_seed(5)
    layer = ModulatedConv2d(8, 8, 3, 7, resample="up").eval()
    jobs = [(torch.randn(1 + n % 3, 8, 8, 8), torch.randn(1 + n % 3, 7)) for n in range(8)]
    with torch.inference_mode():
        expected = [layer(*job) for job in jobs]
    result = [None] * len(jobs)

    def work(n):
        with torch.inference_mode():
            for _ in range(5):
                result[n] = layer(*jobs[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(result, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_bad_arguments():
    for build, message in (
        (lambda: EqualizedLinear(0, 4), "in_features"),
        (lambda: EqualizedLinear(4, 4, lr_mul=0), "lr_mul"),
        (lambda: EqualizedLinear(4, 4, activation="relu"), "activation"),
        (lambda: EqualizedConv2d(4, 0, 3), "out_channels"),
        (lambda: EqualizedConv2d(4, 4, 3, padding=-1), "padding"),
        (lambda: ModulatedConv2d(4, 4, 2, 7), "odd"),
        (lambda: ModulatedConv2d(4, 4, 3, 0), "style_dim"),
        (lambda: ModulatedConv2d(4, 4, 3, 7, resample="both"), "resample"),
    ):
        with pytest.raises(ValueError, match=message):
            build()
