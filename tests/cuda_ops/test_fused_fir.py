import pytest
import references
import torch
from covering import pairwise
from references import DTYPES, LAYOUTS, close, laid_out

from cuda_ops import setup_filter, upfirdn2d
from cuda_ops.arguments import memory_format, wide
from cuda_ops.fused_fir import fir_serves, fused_fir

FACTORS = ((1, 1), (2, 1), (1, 2))
PADDINGS = ((0, 0, 0, 0), (2, 1, 2, 1), (1, 1, 1, 1), (3, 2, 0, 4), (-1, 2, 3, -2), (-2, -1, 0, 1))
BINOMIAL = setup_filter([1, 3, 3, 1], separable=False)


def random(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filters():
    """An outer product, one that is none, small ones, and one whose pivot is 0."""
    uneven = random((4, 4), 1)
    hole = uneven.clone()
    hole[1:3] = 0
    hole[:, 0] = 0
    return {
        "binomial": BINOMIAL.double(),
        "asymmetric": torch.outer(random(4, 2), random(4, 3)),
        "uneven": uneven,
        "wide": random((2, 3), 4),
        "tall": random((4, 1), 5),
        "identity": torch.ones(1, 1, dtype=torch.float64),
        "hole": hole,
    }


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("name", filters())
def test_the_definition(name):
    taps = filters()[name]
    for n, ((up, down), padding, flip) in enumerate(pairwise(FACTORS, PADDINGS, (False, True))):
        x = laid_out(random((2, 4, 6, 7), n), LAYOUTS[n % len(LAYOUTS)])
        options = {"up": up, "down": down, "padding": padding, "flip": flip, "filter_gain": 1.5}
        close(fused_fir(x, taps, **options), references.fir(x, taps, **options), torch.float64, 10)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_and_layout(dtype):
    shapes = ((2, 16, 9, 6), (1, 3, 5, 13), (1, 24, 1, 3), (3, 8, 4, 1))
    for n, (layout, shape, (up, down)) in enumerate(pairwise(LAYOUTS, shapes, FACTORS)):
        x = laid_out(random(shape, n).to(dtype), layout)
        options = {"up": up, "down": down, "padding": (2, 1, 2, 1)}
        result = fused_fir(x, BINOMIAL * up**2, **options)
        assert result.dtype == dtype
        assert result.is_contiguous(memory_format=memory_format(x))
        close(result, references.fir(x.double(), BINOMIAL * up**2, **options), dtype)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_follows_in_the_same_pass(dtype):
    for last in (False, True):
        x = laid_out(random((2, 8, 9, 11)).to(dtype), "channels_last" if last else "contiguous")
        ending = {
            "scale": (random((2, 8), 1).abs() + 0.5).to(wide(dtype)),
            "noise": random((1, 1, 8, 10), 2).to(dtype),
            "strength": random(1, 3).to(dtype),
            "bias": random(8, 4).to(dtype),
        }
        activation = {"slope": 0.2, "gain": 1.4, "clamp": 1.5}
        result = fused_fir(x, BINOMIAL, padding=(1, 1, 1, 1), **ending, **activation)
        exact = {k: v.double() for k, v in ending.items()}
        filtered = references.fir(x.double(), BINOMIAL, padding=(1, 1, 1, 1))
        close(result, references.epilogue(filtered, **exact, **activation), dtype)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(("up", "down"), FACTORS)
@pytest.mark.parametrize("last", [False, True])
def test_first_and_second_derivatives(up, down, last):
    x = laid_out(random((2, 4, 6, 5)), "channels_last" if last else "contiguous")
    taps = filters()["uneven"]
    padding = (2, -1, 1, 3)
    size = references.fir(x, taps, up, down, padding).shape[2:]
    operands = (x, random((2, 4), 1).abs(), random((2, 1, *size), 2), random(1, 3), random(4, 4))
    operands = [v.requires_grad_() for v in operands]

    def call(x, scale, noise, strength, bias):
        ending = {"scale": scale, "noise": noise, "strength": strength, "bias": bias}
        activation = {"slope": 0.2, "gain": 1.4, "clamp": 2.5}
        return fused_fir(x, taps, up=up, down=down, padding=padding, **ending, **activation)

    assert torch.autograd.gradcheck(call, operands, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, operands, fast_mode=True)


@pytest.mark.usefixtures("kernels")
def test_plain_filter_and_bias_alone_have_derivatives():
    x, bias = random((1, 4, 5, 5)).requires_grad_(), random(4, 1).requires_grad_()
    taps = BINOMIAL.double()
    assert torch.autograd.gradcheck(lambda x: fused_fir(x, taps, down=2), x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: fused_fir(x, taps, up=2), x, fast_mode=True)
    assert torch.autograd.gradcheck(lambda b: fused_fir(x.detach(), taps, bias=b), bias, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1, 2, 1], [1, 4, 6, 4, 1]])
def test_upfirdn2d_gives_the_same_with_and_without_kernels(taps, dtype, kernels):
    from cuda_ops import dispatch

    x = random((2, 8, 8, 6)).to(dtype)
    for separable in (False, True):
        f = setup_filter(taps, separable=separable)
        for up, down, gain in ((1, 1, 1.0), (2, 1, 4.0), (1, 2, 0.5), (2, 2, 1.0), ((2, 1), 1, 1.0)):
            result = upfirdn2d(x, f, up, down, (2, 1, 1, 2), gain=gain)
            dispatch.ON_CPU[0] = False
            expected = upfirdn2d(x.double(), f.double(), up, down, (2, 1, 1, 2), gain=gain)
            dispatch.ON_CPU[0] = True
            close(result, expected, dtype, 4)


@pytest.mark.usefixtures("kernels")
def test_an_image_of_more_rows_than_a_strip_of_threads_covers():
    x = random((1, 8, 67, 5)).float()
    options = {"up": 2, "padding": (2, 1, 2, 1)}
    close(fused_fir(x, BINOMIAL, **options), references.fir(x.double(), BINOMIAL, **options), torch.float32)


@pytest.mark.usefixtures("kernels")
def test_contract_of_a_custom_operation():
    x = laid_out(random((2, 8, 6, 6)).float(), "sliced_last").requires_grad_()
    scale, noise = torch.rand(2, 8, requires_grad=True), torch.randn(2, 1, 6, 6)
    rest = (noise, torch.ones(1, requires_grad=True), torch.ones(8, requires_grad=True), 0.2, 1.4, 256.0)
    given = (x, BINOMIAL, 1, 1, [2, 1, 2, 1], False, 1.0, scale, *rest)
    torch.library.opcheck(torch.ops.cuda_ops.fir, given)


def test_what_there_are_kernels_for():
    for factors in (((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 1), (2, 2))):
        assert fir_serves(BINOMIAL, *factors)
        assert not fir_serves(torch.ones(5, 4), *factors)
    for factors in (((2, 2), (2, 2)), ((2, 1), (1, 1)), ((4, 4), (1, 1)), ((1, 1), (1, 2))):
        assert not fir_serves(BINOMIAL, *factors)


@pytest.mark.usefixtures("kernels")
def test_bad_arguments():
    x = torch.ones(1, 4, 3, 3)
    with pytest.raises(ValueError, match="no kernel for taps"):
        fused_fir(x, torch.ones(5, 5))
    with pytest.raises(ValueError, match="no kernel for taps"):
        fused_fir(x, BINOMIAL, up=2, down=2)
    with pytest.raises(ValueError, match="smaller than the 4x4 filter"):
        upfirdn2d(x, BINOMIAL)
    with pytest.raises(ValueError, match=r"noise .* must be \[batch or 1, 1, 4, 4\]"):
        padding = (2, 2, 2, 2)
        fused_fir(x, BINOMIAL, padding=padding, noise=torch.ones(1, 1, 3, 3), strength=torch.ones(1))
