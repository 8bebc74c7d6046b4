import pytest
import references
import torch
from covering import pairwise
from references import DTYPES, LAYOUTS, close, laid_out

from cuda_ops import setup_filter
from cuda_ops.arguments import memory_format, wide
from cuda_ops.fused_to_rgb import fused_to_rgb

pytestmark = pytest.mark.usefixtures("kernels")
TAPS = setup_filter([1, 3, 3, 1], gain=4, separable=False)


def random(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reference(x, weight, bias=None, skip=None, taps=None, clamp=None):
    y = torch.einsum("noc,nchw->nohw", weight, x)
    y = y if bias is None else y + bias[:, None, None]
    y = y if clamp is None else y.clamp(-clamp, clamp)
    return y if skip is None else y + references.fir(skip, taps, up=2, padding=(2, 1, 2, 1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_layout_and_shape(dtype):
    # Fewer channels than lanes, more than one round of them, several blocks, odd numbers.
    sizes = ((2, 16, 6), (1, 5, 4), (2, 264, 10), (1, 32, 34), (2, 300, 2))
    for n, (layout, (batch, channels, side)) in enumerate(pairwise(LAYOUTS, sizes)):
        x = laid_out(random((batch, channels, side, side), n).to(dtype), layout)
        tensors = {
            "weight": random((batch, 3, channels), 1).to(wide(dtype)),
            "bias": random(3, 2).to(dtype),
            "skip": laid_out(random((batch, 3, side // 2, side // 2), 3).to(wide(dtype)), layout),
            "taps": TAPS,
            "clamp": 20.0,
        }
        result = fused_to_rgb(x, **tensors)
        assert result.dtype == wide(dtype)
        assert result.is_contiguous(memory_format=memory_format(x))
        exact = {k: v.double() if isinstance(v, torch.Tensor) else v for k, v in tensors.items()}
        # The sum is exact but for float32, however coarse x is.
        close(result, reference(x.double(), **exact), wide(dtype), 4)


def test_without_skip_and_bias():
    x, weight = random((2, 8, 3, 5)), random((2, 3, 8), 1)
    close(fused_to_rgb(x, weight), reference(x, weight), torch.float64, 10)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("clamp", [None, 2.0])
def test_first_and_second_derivatives(layout, clamp):
    tensors = [
        laid_out(random((2, 5, 6, 4)), layout),
        random((2, 3, 5), 1),
        random(3, 2),
        random((2, 3, 3, 2), 3),
    ]
    tensors = [v.requires_grad_() for v in tensors]

    def call(x, weight, bias, skip):
        return fused_to_rgb(x, weight, bias, skip=skip, taps=TAPS.double(), clamp=clamp)

    assert torch.autograd.gradcheck(call, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, tensors, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_gradients_against_float64(dtype):
    tensors = [random((2, 16, 8, 8)).to(dtype), random((2, 3, 16), 1).float(), random(3, 2).float()]
    tensors = [v.requires_grad_() for v in (*tensors, random((2, 3, 4, 4), 3).float())]
    exact = [v.detach().double().requires_grad_() for v in tensors]
    g = random((2, 3, 8, 8), 4)
    x, weight, bias, skip = tensors
    gradients = torch.autograd.grad(fused_to_rgb(x, weight, bias, skip=skip, taps=TAPS), tensors, g.float())
    x, weight, bias, skip = exact
    expected = torch.autograd.grad(reference(x, weight, bias, skip, TAPS), exact, g)
    for a, b, original in zip(gradients, expected, tensors, strict=True):
        assert a.dtype == original.dtype
        close(a, b, dtype, 4)


def test_contract_of_a_custom_operation():
    x = laid_out(random((2, 8, 6, 6)).float(), "channels_last").requires_grad_()
    tensors = (x, torch.randn(2, 3, 8, requires_grad=True), torch.randn(3, requires_grad=True))
    torch.library.opcheck(torch.ops.cuda_ops.to_rgb, (*tensors, torch.randn(2, 3, 3, 3), TAPS, 256.0))


def test_operands_that_do_not_fit():
    for change, message in (
        ({"weight": torch.ones(1, 3, 8)}, r"weight \[1, 3, 8\]"),
        ({"bias": torch.ones(4)}, "bias"),
        ({"taps": None}, "go together"),
        ({"skip": torch.ones(2, 3, 4, 4)}, "half as large"),
        ({"taps": torch.ones(6, 6)}, "up to 4x4"),
        ({"clamp": -1.0}, "negative"),
    ):
        tensors = {"weight": torch.ones(2, 3, 8), "skip": torch.ones(2, 3, 3, 3), "taps": TAPS}
        with pytest.raises(ValueError, match=message):
            fused_to_rgb(torch.ones(2, 8, 6, 6), **(tensors | change))
