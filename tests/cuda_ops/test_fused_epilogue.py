import itertools

import pytest
import references
import torch
from covering import pairwise
from references import DTYPES, LAYOUTS, close, laid_out

from cuda_ops.arguments import memory_format, wide
from cuda_ops.fused_epilogue import fused_epilogue

pytestmark = pytest.mark.usefixtures("kernels")

# One pack and less, several tiles, channels that do not divide into packs, one pixel, one channel.
SHAPES = ((2, 16, 5, 4), (1, 3, 7, 9), (3, 40, 19, 23), (1, 1, 6, 6), (2, 8, 1, 1), (1, 520, 3, 2))
ACTIVATION = {"slope": 0.2, "gain": 1.5, "clamp": 2.0}


def operands(shape, dtype, seed=0, shared_noise=False):
    """x, scale, noise, strength, bias as the networks hand them over."""
    g = torch.Generator().manual_seed(seed)
    batch, channels, height, width = shape
    maps = (1 if shared_noise else batch, 1, height, width)
    return {
        "x": torch.randn(shape, generator=g, dtype=torch.float64).to(dtype),
        "scale": (torch.rand(batch, channels, generator=g, dtype=torch.float64) + 0.5).to(wide(dtype)),
        "noise": torch.randn(maps, generator=g, dtype=torch.float64).to(dtype),
        "strength": torch.randn(1, generator=g, dtype=torch.float64).to(wide(dtype)),
        "bias": torch.randn(channels, generator=g, dtype=torch.float64).to(dtype),
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_layout_and_shape(dtype):
    for n, (layout, shape) in enumerate(pairwise(LAYOUTS, SHAPES)):
        tensors = operands(shape, dtype, n, shared_noise=n % 2 == 0)
        tensors["x"] = laid_out(tensors["x"], layout)
        result = fused_epilogue(**tensors, **ACTIVATION)
        assert result.dtype == dtype
        assert result.is_contiguous(memory_format=memory_format(tensors["x"]))
        close(result, references.epilogue(**{k: v.double() for k, v in tensors.items()}, **ACTIVATION), dtype)


def test_every_operand_may_be_absent():
    tensors = operands((2, 6, 4, 4), torch.float32)
    for scale, noise, bias, clamp in itertools.product((0, 1), repeat=4):
        names = {"x"} | ({"scale"} if scale else set()) | ({"noise", "strength"} if noise else set())
        some = {k: v for k, v in tensors.items() if k in names | ({"bias"} if bias else set())}
        options = {"slope": 0.1, "clamp": 0.5 if clamp else None}
        expected = references.epilogue(**{k: v.double() for k, v in some.items()}, **options)
        close(fused_epilogue(**some, **options), expected, torch.float32)


def test_float32_operands_beside_sixteen_bits_are_not_rounded():
    tensors = operands((1, 8, 4, 4), torch.bfloat16)
    tensors |= {"bias": torch.full((8,), 1.001), "x": torch.full((1, 8, 4, 4), -1.0).bfloat16()}
    result = fused_epilogue(tensors["x"], bias=tensors["bias"])
    assert torch.equal(result, torch.full((1, 8, 4, 4), 0.001).bfloat16())


def test_sums_do_not_overflow_before_the_limit():
    x = torch.full((1, 8, 2, 2), 60000.0).half()
    result = fused_epilogue(x, scale=torch.full((1, 8), 4.0), clamp=256.0)
    assert torch.equal(result, torch.full_like(x, 256.0))
    assert torch.isinf(fused_epilogue(x, scale=torch.full((1, 8), 4.0))).all()


def test_not_a_number_stays_one():
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0]).reshape(1, 1, 2, 2)
    result = fused_epilogue(x, slope=0.2, clamp=3.0).flatten()
    assert torch.isnan(result[0])
    assert result[1:].tolist() == [3.0, -3.0, 0.0]


@pytest.mark.parametrize(
    ("dtype", "shape", "layout"),
    pairwise(
        [torch.float32, torch.bfloat16, torch.float16],
        [(2, 16, 9, 8), (1, 3, 6, 5), (2, 40, 37, 29)],
        ["contiguous", "channels_last"],
    ),
    ids=str,
)
def test_gradients_against_float64(dtype, shape, layout):
    tensors = operands(shape, dtype, 5)
    tensors["x"] = laid_out(tensors["x"], layout)
    tensors = {k: v.requires_grad_() for k, v in tensors.items()}
    exact = {k: v.detach().double().requires_grad_() for k, v in tensors.items()}
    activation = ACTIVATION | {"clamp": 256.0}
    result = fused_epilogue(**tensors, **activation)
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(6)).to(dtype)
    names = list(tensors)
    gradients = torch.autograd.grad(result, tensors.values(), weight)
    expected = torch.autograd.grad(
        references.epilogue(**exact, **activation), exact.values(), weight.double()
    )
    for name, a, b in zip(names, gradients, expected, strict=True):
        assert a.dtype == tensors[name].dtype, name
        assert a.shape == tensors[name].shape, name
        close(a, b, dtype, 4)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shared_noise", [False, True])
def test_first_and_second_derivatives(layout, shared_noise):
    tensors = operands((2, 6, 3, 4), torch.float64, 1, shared_noise)
    tensors["x"] = laid_out(tensors["x"], layout)
    inputs = [v.requires_grad_() for v in tensors.values()]

    def call(x, scale, noise, strength, bias):
        named = dict(zip(tensors, (x, scale, noise, strength, bias), strict=True))
        return fused_epilogue(**named, **ACTIVATION)

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)


def test_one_gradient_alone_is_the_same():
    for only in ("x", "scale", "noise", "strength", "bias"):
        tensors = operands((2, 8, 4, 4), torch.float64, 2)
        for value in tensors.values():
            value.requires_grad_()
        everything = torch.autograd.grad(fused_epilogue(**tensors, **ACTIVATION).sum(), tensors.values())
        alone = {k: v.detach().requires_grad_(k == only) for k, v in tensors.items()}
        [gradient] = torch.autograd.grad(fused_epilogue(**alone, **ACTIVATION).sum(), alone[only])
        torch.testing.assert_close(gradient, everything[list(tensors).index(only)])


def test_second_derivative_of_a_penalty_on_gradients():
    """As in R1: a function of the first gradient, differentiated by everything."""
    tensors = {k: v.requires_grad_() for k, v in operands((2, 8, 5, 5), torch.float64, 3).items()}

    def penalties(function):
        y = function(**tensors, **ACTIVATION)
        grads = torch.autograd.grad((y**3).sum(), tensors.values(), create_graph=True)
        penalty = sum(g.square().sum() for g in grads)
        return torch.autograd.grad(penalty, tensors.values())

    for a, b in zip(penalties(fused_epilogue), penalties(references.epilogue), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-9)


def test_a_third_derivative_is_refused_and_not_wrong():
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    scale = torch.rand(1, 4, dtype=torch.float64, requires_grad=True)
    [g] = torch.autograd.grad(fused_epilogue(x, scale=scale).pow(2).sum(), x, create_graph=True)
    [gg] = torch.autograd.grad(g.pow(3).sum(), scale, create_graph=True)
    with pytest.raises(RuntimeError, match="a third was asked for"):
        torch.autograd.grad(gg.pow(2).sum(), scale)


def test_derivative_where_the_limit_holds_and_at_zero():
    x = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0, 5.0]).reshape(1, 1, 2, 3).requires_grad_()
    fused_epilogue(x, slope=0.5, gain=2.0, clamp=4.0).sum().backward()
    assert x.grad.flatten().tolist() == [1.0, 1.0, 1.0, 2.0, 0.0, 0.0]


def test_a_limit_that_bfloat16_cannot_hold():
    x = torch.full((1, 8, 2, 2), 300.0).bfloat16().requires_grad_()
    y = fused_epilogue(x, clamp=257.0)
    y.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_no_samples():
    x = torch.empty(0, 8, 4, 4, requires_grad=True)
    bias = torch.zeros(8, requires_grad=True)
    y = fused_epilogue(x, bias=bias, slope=0.2)
    y.sum().backward()
    assert y.shape == x.grad.shape == x.shape
    assert torch.equal(bias.grad, torch.zeros(8))


def test_contract_of_a_custom_operation():
    tensors = operands((2, 8, 4, 4), torch.float32)
    tensors["x"] = laid_out(tensors["x"], "sliced_last")
    inputs = [v.requires_grad_() for v in tensors.values()]
    torch.library.opcheck(torch.ops.cuda_ops.epilogue, (*inputs, 0.2, 1.4, 256.0))
    x, scale = inputs[:2]
    g = torch.randn_like(x)
    operation = torch.ops.cuda_ops.epilogue_backward
    torch.library.opcheck(operation, (g, x, x, scale, 0.2, 1.4, 256.0, True, True, True))
    torch.library.opcheck(operation, (g, None, None, scale, 1.0, 1.0, -1.0, False, False, False))
    sums = (torch.randn(2, 8), torch.randn(2, 8), torch.randn(2, 1, 4, 4))
    with torch.no_grad():
        tensors = (g, *sums, g, x, x, scale, 0.2, 1.4, 256.0, True, True)
        tensors = [v.detach() if isinstance(v, torch.Tensor) else v for v in tensors]
        torch.library.opcheck(torch.ops.cuda_ops.epilogue_double, tensors)


def test_operands_that_do_not_fit():
    for change, message in (
        ({"scale": torch.ones(2, 7)}, r"scale \[2, 7\] must be \[2, 8\]"),
        ({"bias": torch.ones(7)}, r"bias \[7\] must be \[8\]"),
        ({"strength": None}, "go together"),
        ({"strength": torch.ones(2)}, "one number"),
        ({"noise": torch.ones(2, 1, 4, 5)}, r"\[batch or 1, 1, 4, 4\]"),
        ({"noise": torch.ones(3, 1, 4, 4)}, "3 maps"),
        ({"gain": 0.0}, "above 0"),
        ({"clamp": -1.0}, "negative"),
    ):
        with pytest.raises(ValueError, match=message):
            fused_epilogue(**(operands((2, 8, 4, 4), torch.float32) | change))
