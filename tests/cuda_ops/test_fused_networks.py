"""The networks give the same with kernels under them as without: values, gradients, penalties on these."""

import copy

import pytest
import torch
from covering import pairwise
from torch.utils._python_dispatch import TorchDispatchMode

from cuda_ops import BiasedLeakyReLU, ConvLayer, bias_act, dispatch, modulated_conv2d, setup_filter
from cuda_ops.layers import StyledConv, ToRGB
from cuda_ops.modulated_conv2d import fused_styled_conv2d
from stylegan_swap.losses.gradient_penalty import r1_penalty
from stylegan_swap.losses.path_length import path_lengths
from stylegan_swap.nn.blocks.modulation import OutsideEntry
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.nn.stylegan2.generator import Generator

CHANNELS = {4: 16, 8: 16, 16: 8}


class Seen(TorchDispatchMode):
    """Counts the kernels' operations that run."""

    def __init__(self):
        super().__init__()
        self.calls = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == "cuda_ops":
            name = function._opname
            self.calls[name] = self.calls.get(name, 0) + 1
        return function(*args, **(kwargs or {}))


def generator(dtype=torch.float64, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Generator(16, style_dim=12, n_mlp=2, channels=CHANNELS, **options)
        for name, parameter in network.named_parameters():
            if name.endswith(("noise.weight", "bias")) and "modulation" not in name:
                torch.nn.init.normal_(parameter)
    return network.to(dtype)


def code(batch=2, dtype=torch.float64):
    return torch.randn(batch, 6, 12, generator=torch.Generator().manual_seed(1)).to(dtype)


def both(function, library):
    """The result without kernels and with them."""
    plain = function()
    with dispatch.host_kernels(library):
        return plain, function()


@pytest.mark.parametrize(("batch", "clamp", "noise"), pairwise([1, 2], [None, 1.0], ["buffer", "none"]))
def test_generator(batch, clamp, noise, host_library):
    network = generator(conv_clamp=clamp)
    with torch.no_grad():
        plain, fused = both(lambda: network(code(batch), noise=noise), host_library)
    torch.testing.assert_close(fused.image, plain.image, rtol=1e-10, atol=1e-10)
    for r, hidden in plain.features.items():
        torch.testing.assert_close(fused.features[r], hidden, rtol=1e-10, atol=1e-10)
        assert fused.features[r].is_contiguous(memory_format=torch.channels_last)


def test_which_kernels_run(host_library):
    network = generator(torch.float32)
    with torch.no_grad(), Seen() as seen:
        network(code(2, torch.float32))
        assert seen.calls == {}
        with dispatch.host_kernels(host_library):
            network(code(2, torch.float32))
    # At 4 px one convolution, at 8 and 16 px one that doubles the size and one that does not.
    assert seen.calls == {"epilogue": 3, "fir": 2, "to_rgb": 3}


@pytest.mark.parametrize("batch", [1, 2])
def test_gradients_of_the_generator(batch, host_library):
    network = generator()
    target = torch.randn(batch, 3, 16, 16, generator=torch.Generator().manual_seed(2)).double()

    def grads():
        w = code(batch).requires_grad_()
        loss = (network(w).image - target).square().sum()
        return torch.autograd.grad(loss, [w, *network.parameters()], allow_unused=True)

    plain, fused = both(grads, host_library)
    for a, b in zip(fused, plain, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_path_length_of_the_generator(host_library):
    network = generator()
    draw = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3)).double()

    def grads():
        w = code().requires_grad_()
        penalty = path_lengths(network(w).image, w, draw).square().sum()
        return torch.autograd.grad(penalty, list(network.parameters()), allow_unused=True)

    plain, fused = both(grads, host_library)
    assert sum(g is not None for g in plain) > 20
    for a, b in zip(fused, plain, strict=True):
        if b is not None:
            found = torch.zeros_like(b) if a is None else a
            torch.testing.assert_close(found, b, rtol=1e-7, atol=1e-7)


def test_r1_of_the_discriminator(host_library):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Discriminator(16, channels=CHANNELS).double()

    def grads():
        x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(4)).double().requires_grad_()
        logits = network(x)
        penalty = r1_penalty(logits, x, 1.0).sum()
        return [logits, penalty, *torch.autograd.grad(penalty, list(network.parameters()), allow_unused=True)]

    plain, fused = both(grads, host_library)
    for a, b in zip(fused, plain, strict=True):
        if b is not None:
            found = torch.zeros_like(b) if a is None else a
            torch.testing.assert_close(found, b, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_sixteen_bits_stay_near_float32_and_the_image_is_float32(dtype, host_library):
    exact = generator(torch.float64)
    with torch.no_grad(), dispatch.host_kernels(host_library):
        image = copy.deepcopy(exact).to(dtype)(code(2, dtype)).image
        expected = exact(code(2, dtype).double()).image
    assert image.dtype == torch.float32
    error = float((image.double() - expected).abs().max() / expected.abs().max())
    assert error < (0.01 if dtype == torch.float16 else 0.06)


def test_half_does_not_overflow_where_styles_and_images_are_large(host_library):
    torch.manual_seed(0)
    x, style = 256 * torch.randn(2, 64, 6, 6).sign(), torch.full((2, 64), 30.0)
    weight = torch.randn(8, 64, 3, 3).abs()
    options = {"weight_gain": 1 / 24, "slope": 0.2, "gain": 1.4}
    with dispatch.host_kernels(host_library):
        expected = fused_styled_conv2d(x.double(), weight.double(), style.double(), **options)
        found = fused_styled_conv2d(x.half(), weight.half(), style.half(), **options)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.double(), expected, rtol=0.01, atol=0.01 * float(expected.abs().max()))


@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1, 2, 1], [1, 5, 10, 10, 5, 1], [1, 1]])
def test_every_filter_and_kernel_of_a_styled_convolution(taps, host_library):
    for side in (1, 3, 5):
        torch.manual_seed(0)
        x, style = torch.randn(2, 8, 6, 6).double(), torch.rand(2, 8).double()
        weight = torch.randn(4, 8, side, side).double()
        f = setup_filter(taps, gain=4, separable=False).double()
        options = {"up": 2, "resample_filter": f, "weight_gain": 0.3, "demodulate": side != 1}
        expected = modulated_conv2d(x, weight, style, **options)
        with dispatch.host_kernels(host_library):
            torch.testing.assert_close(fused_styled_conv2d(x, weight, style, **options), expected)


def test_up_and_filter_go_together():
    x = torch.ones(1, 4, 4, 4)
    with pytest.raises(ValueError, match="up must be 1, or 2 with a resample_filter"):
        fused_styled_conv2d(x, torch.ones(4, 4, 3, 3), torch.ones(1, 4), up=2)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("down", [False, True])
def test_layers(kernel, down, host_library):
    torch.manual_seed(0)
    layer, act = ConvLayer(8, 6, kernel, down=down).double(), BiasedLeakyReLU(8).double()
    torch.nn.init.normal_(layer[-1].bias)
    torch.nn.init.normal_(act.bias)
    x = torch.randn(2, 8, 8, 8).double()
    for function in (lambda: layer(x, gain=0.7), lambda: act(x)):
        plain, fused = both(function, host_library)
        torch.testing.assert_close(fused, plain)


@pytest.mark.parametrize("act", ["linear", "relu", "lrelu", "swish", "elu"])
def test_bias_act(act, host_library):
    torch.manual_seed(0)
    x, b = torch.randn(2, 8, 8, 5).double(), torch.randn(8).double()

    def run():
        endings = [(dim, clamp) for dim in (1, -3, 2) for clamp in ((None, None), (0.5, 0.3))]
        biased = [bias_act(x, b, dim, act, alpha, clamp=clamp) for dim, (clamp, alpha) in endings]
        return [bias_act(x, None, 1, act), *biased]

    for plain, fused in zip(*both(run, host_library), strict=True):
        torch.testing.assert_close(fused, plain)


def test_what_is_outside_the_face(host_library):
    torch.manual_seed(0)
    layer = OutsideEntry(8, 4).double()
    hidden, entry = torch.randn(2, 8, 6, 6).double(), torch.randn(2, 4, 6, 6).double()
    mask = torch.rand(2, 1, 6, 6)
    plain, fused = both(lambda: layer(hidden, entry, mask), host_library)
    torch.testing.assert_close(fused, plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast(dtype, host_library):
    """Convolutions in 16 bits, parameters and image in 32, and a gradient for every parameter."""
    network = generator(torch.float32)
    w = code(2, torch.float32)
    with dispatch.host_kernels(host_library):
        expected = network(w).image.detach()
        with torch.autocast("cpu", dtype):
            out = network(w)
        out.image.square().mean().backward()
    assert out.image.dtype == torch.float32
    assert out.features[16].dtype == dtype
    assert float((out.image.detach() - expected).abs().max() / expected.abs().max()) < 0.08
    for name, parameter in network.named_parameters():
        if not name.startswith("style."):
            assert parameter.grad is not None, name
            assert parameter.grad.dtype == torch.float32
            assert torch.isfinite(parameter.grad).all()


def test_compiled_without_a_break_in_the_graph(host_library):
    from torch._dynamo.backends.debugging import aot_eager

    torch.manual_seed(0)
    up, rgb = StyledConv(8, 8, 12, up=True), ToRGB(8, 12)
    x, w, noise, skip = (
        torch.randn(2, 8, 4, 4),
        torch.randn(2, 12),
        torch.randn(1, 1, 8, 8),
        torch.randn(2, 3, 4, 4),
    )

    def call(x):
        hidden = up(x, w, noise)
        return rgb(hidden, w, skip)

    targets = []

    def backend(graph, examples):
        targets.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return aot_eager(graph, examples)

    with dispatch.host_kernels(host_library):
        compiled = torch.compile(call, fullgraph=True, backend=backend)
        x.requires_grad_()
        torch.testing.assert_close(compiled(x), call(x))
        [a], [b] = (torch.autograd.grad(f(x).square().sum(), x) for f in (compiled, call))
        torch.testing.assert_close(a, b)
    assert [name for name in targets if name.startswith("cuda_ops.")] == ["cuda_ops.fir", "cuda_ops.to_rgb"]
