"""3×3 convolutions by F(4×4, 3×3) against float64, when they serve, and that the generator takes them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cuda_ops import ModulatedConv2d, cpu_passes, layers
from cuda_ops.cpu_passes import finish, winograd_conv2d, winograd_serves, winograd_weight
from stylegan_swap.nn.stylegan2.generator import Generator

LAST = torch.channels_last


def operands(batch, inner, out, height, width):
    stream = torch.Generator().manual_seed(inner + height)
    x = torch.randn(batch, inner, height, width, generator=stream).contiguous(memory_format=LAST)
    weight = torch.randn(out, inner, 3, 3, generator=stream) / (9 * inner) ** 0.5
    ending = {
        "style": torch.rand(batch, inner, generator=stream) + 0.5,
        "scale": torch.rand(batch, out, generator=stream) + 0.5,
        "noise": torch.randn(1 if height % 2 else batch, 1, height, width, generator=stream),
        "strength": torch.tensor([0.3]),
        "bias": torch.randn(out, generator=stream) * 0.2,
    }
    return x, weight, ending


def expected(x, weight, style, scale, noise, strength, bias, slope, gain, clamp):
    y = F.conv2d(x.double() * style.double()[:, :, None, None], weight.double(), padding=1)
    y = y * scale.double()[:, :, None, None] + strength.double() * noise.double()
    y = F.leaky_relu(y + bias.double()[:, None, None], slope) * gain
    return y if clamp is None else y.clamp(-clamp, clamp)


@pytest.mark.parametrize(
    "shape",
    [(1, 16, 32, 4, 4), (2, 48, 64, 9, 7), (3, 32, 32, 1, 5), (1, 16, 96, 40, 44), (1, 272, 32, 20, 33)],
    ids=str,
)
def test_parity_with_float64(compiled, shape):
    for clamp in (None, 0.5):
        x, weight, ending = operands(*shape)
        last = {"slope": 0.2, "gain": 2**0.5, "clamp": clamp}
        y = winograd_conv2d(x, winograd_weight(weight), **ending, **last)
        exact = expected(x, weight, *ending.values(), **last)
        assert y.shape == exact.shape
        assert y.is_contiguous(memory_format=LAST)
        assert (y - exact).abs().max() < 1e-4
        assert (y - exact).square().mean().sqrt() < 5e-6


def test_bare_and_of_channels_first(compiled):
    x, weight, _ = operands(2, 16, 32, 6, 11)
    y = winograd_conv2d(x.contiguous(), winograd_weight(weight))
    assert (y - F.conv2d(x.double(), weight.double(), padding=1)).abs().max() < 3e-5


def test_any_number_of_threads_gives_the_same_bits(compiled):
    before, results = torch.get_num_threads(), []
    # Tiles for some threads alone: the others share out the channels.
    for shape in ((1, 32, 128, 7, 9), (2, 32, 32, 61, 50)):
        x, weight, ending = operands(*shape)
        turned = winograd_weight(weight)
        try:
            for threads in (1, 2, 5, 16):
                torch.set_num_threads(threads)
                results.append(winograd_conv2d(x, turned, **ending, slope=0.2))
        finally:
            torch.set_num_threads(before)
        assert all(torch.equal(results[0], result) for result in results)
        results.clear()


def test_a_batch_gives_the_bits_of_its_images(compiled):
    x, weight, ending = operands(3, 32, 64, 14, 18)
    turned = winograd_weight(weight)
    whole = winograd_conv2d(x, turned, **ending)
    for n in range(3):
        one = {
            name: value[n : n + 1] for name, value in ending.items() if name in ("style", "scale", "noise")
        }
        alone = winograd_conv2d(x[n : n + 1], turned, **{**ending, **one})
        assert torch.equal(alone[0], whole[n])


def test_nan_stays_within_its_tiles(compiled):
    x, weight, _ = operands(1, 16, 32, 12, 12)
    x[0, 3, 0, 0] = torch.nan
    y = winograd_conv2d(x, winograd_weight(weight))
    assert y[0, :, :2, :2].isnan().all()
    assert y[0, :, 4:, 4:].isfinite().all()


def test_operands_that_do_not_fit_are_refused(compiled):
    x, weight, ending = operands(1, 16, 32, 8, 8)
    turned = winograd_weight(weight)
    for bad in (weight[:31], weight[:, :15], weight[:, :, :2]):
        with pytest.raises(ValueError, match="multiple"):
            winograd_weight(bad)
    with pytest.raises(ValueError, match="style"):
        winograd_conv2d(x, turned, style=torch.ones(1, 15))
    with pytest.raises(ValueError, match="36"):
        winograd_conv2d(x, turned[:, :35])
    with pytest.raises(ValueError, match="noise"):
        winograd_conv2d(x, turned, noise=torch.ones(1, 1, 8, 7), strength=ending["strength"])
    with pytest.raises(ValueError, match="bfloat16"):
        winograd_conv2d(x.bfloat16(), turned)
    with pytest.raises(ValueError, match="no gradients"):
        winograd_conv2d(x.clone().requires_grad_(), turned)


def test_operands_that_would_be_misread_are_refused(compiled):
    x, weight, ending = operands(1, 16, 32, 8, 8)
    turned = winograd_weight(weight)
    with pytest.raises(ValueError, match="float64"):
        winograd_conv2d(x, turned.double())
    with pytest.raises(ValueError, match="meta"):
        winograd_conv2d(x.to("meta"), turned)
    for name in ending:
        with pytest.raises(ValueError, match="no gradients"):
            winograd_conv2d(x, turned, **{**ending, name: ending[name].clone().requires_grad_()})


def test_empty_images_give_empty_results(compiled):
    x, weight, _ = operands(2, 16, 32, 8, 8)
    turned = winograd_weight(weight)
    assert winograd_conv2d(x[:0], turned).shape == (0, 32, 8, 8)
    assert winograd_conv2d(x[:, :, :0], turned).shape == (2, 32, 0, 8)


@pytest.mark.parametrize("default", [torch.bfloat16, torch.float64])
def test_the_program_s_default_type_does_not_matter(compiled, monkeypatch, default):
    x, weight, _ = operands(1, 16, 32, 8, 8)
    turned, before = winograd_weight(weight), torch.get_default_dtype()
    expected = winograd_conv2d(x, turned), finish(x.clone(memory_format=torch.preserve_format))
    # The library's trial run as well.
    monkeypatch.setattr(cpu_passes, "_loaded", [])
    try:
        torch.set_default_dtype(default)
        with torch.device("meta"):
            results = winograd_conv2d(x, turned), finish(x.clone(memory_format=torch.preserve_format))
    finally:
        torch.set_default_dtype(before)
    assert all(torch.equal(*both) for both in zip(results, expected, strict=True))


def test_when_it_serves(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    x, weight = torch.zeros(1, 32, 32, 32), torch.zeros(1, 64, 32, 3, 3)
    assert winograd_serves(x, weight)
    assert not winograd_serves(x[:, :, :16, :16], weight)
    assert winograd_serves(x[:, :, :16, :16].expand(4, -1, -1, -1), weight)
    assert not winograd_serves(x, weight[..., :1, :1])
    assert not winograd_serves(x, weight[:, :40])
    assert not winograd_serves(x[:, :24], weight[:, :, :24])
    assert not winograd_serves(x.bfloat16(), weight)
    assert not winograd_serves(x, weight.bfloat16())
    assert not winograd_serves(x.to("meta"), weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not winograd_serves(x, weight)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert not winograd_serves(x, weight)


def test_the_transformed_weight_is_remembered_and_forgotten():
    torch.manual_seed(0)
    conv = ModulatedConv2d(16, 32, 3, 8).requires_grad_(False)
    assert conv.remembered() is None
    conv.for_inference()
    kept = conv.remembered().winograd
    assert torch.equal(kept, winograd_weight(conv.weight[0]))
    assert conv.remembered().winograd is kept
    conv.weight.mul_(2.0)
    assert conv.remembered() is None
    conv.for_inference()
    assert torch.allclose(conv.remembered().winograd, 2 * kept)
    conv.weight.data = conv.weight.data * 3.0
    assert conv.remembered() is None


def test_the_generator_takes_it_and_its_images_stay(compiled, monkeypatch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Generator(64, channels=dict.fromkeys((4, 8, 16, 32, 64), 32), n_mlp=1)
    network = network.eval().requires_grad_(False).for_inference()
    wplus = torch.randn(1, network.n_latent, 512, generator=torch.Generator().manual_seed(1))
    served = []

    def serves(x, weight, original=winograd_serves):
        served.append((x.shape[2], original(x, weight)))
        return served[-1][1]

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(layers, "winograd_serves", serves)
    with torch.inference_mode():
        image = network(wplus).image
        assert (64, True) in served
        monkeypatch.setattr(layers, "winograd_serves", lambda x, weight: False)
        ordinary = network(wplus).image
    assert 0 < (image - ordinary).abs().max() < 5e-5 * ordinary.abs().max()
