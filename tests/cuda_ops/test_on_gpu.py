"""The kernels on a GPU: the numbers of float64 on the CPU, on any stream, in graphs, by name in a profile."""

import copy

import pytest
import references
import torch
from covering import pairwise
from references import LAYOUTS, close, laid_out

from cuda_ops import CapturedCall, setup_filter
from cuda_ops.arguments import wide
from cuda_ops.fused_epilogue import fused_epilogue
from cuda_ops.fused_fir import fused_fir
from cuda_ops.fused_mask_blend import mask_blend
from cuda_ops.fused_to_rgb import fused_to_rgb
from stylegan_swap.losses.path_length import path_lengths
from stylegan_swap.nn.stylegan2.generator import Generator

pytestmark = pytest.mark.gpu
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BINOMIAL = setup_filter([1, 3, 3, 1], separable=False)
ACTIVATION = {"slope": 0.2, "gain": 1.4, "clamp": 256.0}
SHAPES = ((2, 16, 32, 32), (1, 3, 37, 41), (4, 512, 8, 8), (2, 40, 65, 33), (3, 520, 4, 4))


def random(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def operands(shape, dtype, size=None):
    batch, channels = shape[:2]
    small = wide(dtype)
    return {
        "x": random(shape).to(dtype),
        "scale": (random((batch, channels), 1).abs() + 0.5).to(small),
        "noise": random((batch, 1, *(size or shape[2:])), 2).to(dtype),
        "strength": random(1, 3).to(small),
        "bias": random(channels, 4).to(small),
    }


def compared(function, reference, tensors, device, layout, factor=1.0):
    """Values and all gradients of `function` on the GPU against `reference` in float64 on the CPU."""
    dtype = tensors["x"].dtype
    on_gpu = {k: v.to(device) for k, v in tensors.items()}
    on_gpu["x"] = laid_out(on_gpu["x"], layout)
    on_gpu = {k: v.detach().requires_grad_() for k, v in on_gpu.items()}
    exact = {k: v.double().requires_grad_() for k, v in tensors.items()}
    result, expected = function(**on_gpu), reference(**exact)
    close(result.cpu(), expected, dtype, factor)
    g = random(expected.shape, 9)
    gradients = torch.autograd.grad(result, list(on_gpu.values()), g.to(result))
    exact_gradients = torch.autograd.grad(expected, list(exact.values()), g.to(result.dtype).double())
    for a, b in zip(gradients, exact_gradients, strict=True):
        close(a.cpu(), b, dtype, 8 * factor)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_epilogue(dtype, gpu):
    for layout, shape in pairwise(LAYOUTS, SHAPES):
        compared(
            lambda **given: fused_epilogue(**given, **ACTIVATION),
            lambda **given: references.epilogue(**given, **ACTIVATION),
            operands(shape, dtype),
            gpu,
            layout,
        )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fir(dtype, gpu):
    for layout, shape, (up, down) in pairwise(LAYOUTS, SHAPES, [(1, 1), (2, 1), (1, 2)]):
        options = {"up": up, "down": down, "padding": (2, 1, 2, 1)}
        taps = BINOMIAL * up**2
        size = references.fir(random(shape), taps, **options).shape[2:]

        def reference(x, taps=taps, options=options, **ending):
            return references.epilogue(references.fir(x, taps, **options), **ending, **ACTIVATION)

        def fused(x, taps=taps, options=options, **ending):
            return fused_fir(x, taps.to(gpu), **options, **ending, **ACTIVATION)

        compared(fused, reference, operands(shape, dtype, size), gpu, layout, 2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("last", [False, True])
def test_to_rgb_and_mask_blend(dtype, last, gpu):
    layout = "channels_last" if last else "contiguous"
    for batch, channels, side in ((2, 32, 64), (1, 512, 8), (3, 5, 6)):
        x, weight, bias = (
            random((batch, channels, side, side)).to(dtype),
            random((batch, 3, channels), 1),
            random(3, 2),
        )
        skip = random((batch, 3, side // 2, side // 2), 3)
        taps = BINOMIAL * 4
        on_gpu = [v.float().to(gpu) for v in (weight, bias, skip, taps)]
        result = fused_to_rgb(laid_out(x.to(gpu), layout), *on_gpu[:2], skip=on_gpu[2], taps=on_gpu[3])
        expected = torch.einsum("noc,nchw->nohw", weight, x.double()) + bias[:, None, None]
        close(
            result.cpu(), expected + references.fir(skip, taps, up=2, padding=(2, 1, 2, 1)), torch.float32, 20
        )
        mask = random((batch, 1, side, side), 5).sigmoid()
        other = random(x.shape, 6).to(dtype)
        result = mask_blend(laid_out(x.to(gpu), layout), other.to(gpu), mask.float().to(gpu))
        close(result.cpu(), x.double() * mask + other.double() * (1 - mask), dtype, 2)


def generator():
    torch.manual_seed(0)
    network = Generator(64, style_dim=64, n_mlp=2, channels={4: 64, 8: 64, 16: 64, 32: 32, 64: 16})
    for name, parameter in network.named_parameters():
        if name.endswith("noise.weight"):
            torch.nn.init.constant_(parameter, 0.3)
    return network


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_generator(dtype, gpu):
    network = generator()
    w = torch.randn(3, network.n_latent, 64)
    with torch.no_grad():
        wanted = copy.deepcopy(network).double()(w.double()).image
        found = network.to(gpu, dtype)(w.to(gpu, dtype)).image
    assert found.dtype == torch.float32
    error = float((found.cpu().double() - wanted).abs().max() / wanted.abs().max())
    assert error < {torch.float32: 1e-2, torch.float16: 2e-2, torch.bfloat16: 0.1}[dtype]


def test_second_derivatives(gpu):
    network = generator()
    w, draw = torch.randn(2, network.n_latent, 64), torch.randn(2, 3, 64, 64)

    def grads(network, w, draw):
        w = w.requires_grad_()
        penalty = path_lengths(network(w).image, w, draw).square().sum()
        found = torch.autograd.grad(penalty, list(network.parameters()), allow_unused=True)
        return [g for g in found if g is not None]

    wanted = grads(copy.deepcopy(network).double(), w.double(), draw.double())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    found = grads(network.to(gpu), w.to(gpu), draw.to(gpu))
    for a, b in zip(found, wanted, strict=True):
        assert float((a.cpu().double() - b).norm() / b.norm().clamp_min(1e-6)) < 1e-2


def test_a_stream_of_ones_own(gpu):
    x = torch.randn(4, 64, 256, 256, device=gpu)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        # Ordered after slow work on the same stream: on another one it would read too early.
        for _ in range(50):
            x = x * 1.0 + 0.0
        found = fused_epilogue(x + 1, slope=0.2)
    stream.synchronize()
    torch.testing.assert_close(found, torch.nn.functional.leaky_relu(x + 1, 0.2))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_captured_generator(mode, gpu):
    network = generator().to(gpu)
    call = CapturedCall(lambda w: network(w, return_features=False).image)
    for batch in (1, 2, 1):
        for seed in range(3):
            w = random((batch, network.n_latent, 64), seed).float().to(gpu)
            with mode():
                torch.testing.assert_close(call(w), network(w).image, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.9)
        torch.testing.assert_close(call(w), network(w).image, rtol=1e-4, atol=1e-4)


def test_a_profile_shows_the_kernels_by_name(gpu):
    network = generator().to(gpu)
    w = torch.randn(2, network.n_latent, 64, device=gpu)
    activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    with torch.no_grad():
        network(w)
        with torch.profiler.profile(activities=activities) as profile:
            network(w)
            torch.cuda.synchronize()
    names = " ".join(event.key for event in profile.key_averages())
    for name in ("EpilogueForward", "cuda_ops::Fir", "ToRgb"):
        assert name in names


def test_compiled_by_inductor(gpu):
    network = generator().to(gpu)
    w = torch.randn(2, network.n_latent, 64, device=gpu)
    with torch.no_grad():
        compiled = torch.compile(lambda w: network(w, return_features=False).image)
        torch.testing.assert_close(compiled(w), network(w).image, rtol=1e-3, atol=1e-3)


def test_more_than_two_to_the_thirty_one_numbers(gpu):
    if torch.cuda.mem_get_info()[0] < 20 * 2**30:
        pytest.skip("needs 20 GiB of GPU memory")
    x = torch.zeros(1, 2**15 + 1, 2**8, 2**8, device=gpu, dtype=torch.float16)
    x[0, -1, -1, -1] = 3
    y = fused_epilogue(x, slope=0.2, gain=2.0)
    assert float(y[0, -1, -1, -1]) == 6.0
    assert int(y.count_nonzero()) == 1
