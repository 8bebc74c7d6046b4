import pytest
import torch
from covering import pairwise
from references import DTYPES, LAYOUTS, close, laid_out

from cuda_ops.fused_mask_blend import mask_blend


def random(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_plain_torch_without_kernels():
    x, other, mask = random((2, 4, 3, 3)), random((2, 4, 3, 3), 1), random((2, 1, 3, 3), 2).sigmoid()
    expected = x * mask + other * (1 - mask)
    assert torch.equal(mask_blend(x, other, mask), expected)
    assert torch.equal(mask_blend(x, other, torch.ones(1, 1, 3, 3)), x)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_layout_and_shape(dtype):
    shapes = ((2, 16, 5, 4), (1, 3, 7, 9), (2, 40, 19, 23))
    for n, (layout, shape) in enumerate(pairwise(LAYOUTS, shapes)):
        x, other = random(shape, n).to(dtype), laid_out(random(shape, n + 9).to(dtype), layout)
        mask = (
            random((shape[0] if n else 1, 1, *shape[2:]), 2).sigmoid().to(dtype if n % 2 else torch.float32)
        )
        exact = mask.double()
        expected = x.double() * exact + other.double() * (1 - exact)
        close(mask_blend(laid_out(x, layout), other, mask), expected, dtype)
        kept = mask_blend(x, other, torch.ones_like(mask))
        assert torch.equal(kept, x)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("masks", [1, 2])
def test_first_and_second_derivatives(layout, masks):
    shapes = ((2, 6, 3, 4), (2, 6, 3, 4), (masks, 1, 3, 4))
    tensors = [laid_out(random(shape, n), layout).requires_grad_() for n, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(mask_blend, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(mask_blend, tensors, fast_mode=True)
    frozen = tensors[2].detach()
    assert torch.autograd.gradcheck(
        lambda x, other: mask_blend(x, other, frozen), tensors[:2], fast_mode=True
    )


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_gradients_against_float64(dtype):
    shape = (2, 40, 23, 31)
    tensors = [
        random(shape).to(dtype),
        random(shape, 1).to(dtype),
        random((2, 1, 23, 31), 2).sigmoid().float(),
    ]
    tensors = [laid_out(v, "channels_last").requires_grad_() for v in tensors]
    exact = [v.detach().double().requires_grad_() for v in tensors]
    g = random(shape, 3).to(dtype)
    gradients = torch.autograd.grad(mask_blend(*tensors), tensors, g)
    x, other, mask = exact
    expected = torch.autograd.grad(x * mask + other * (1 - mask), exact, g.double())
    for a, b, original in zip(gradients, expected, tensors, strict=True):
        assert a.dtype == original.dtype
        close(a, b, dtype, 4)


@pytest.mark.usefixtures("kernels")
def test_contract_of_a_custom_operation():
    x, other = (torch.randn(2, 8, 4, 4, requires_grad=True) for _ in range(2))
    mask = torch.rand(2, 1, 4, 4, requires_grad=True)
    torch.library.opcheck(torch.ops.cuda_ops.mask_blend, (x, other, mask))
    torch.library.opcheck(torch.ops.cuda_ops.mask_blend_backward, (x.detach(), x, other, mask))
    torch.library.opcheck(torch.ops.cuda_ops.mask_blend_backward, (x, None, None, mask.detach()))


@pytest.mark.usefixtures("kernels")
def test_what_has_no_kernel_is_plain_torch():
    x, other = random((2, 4, 3, 3)), random((1, 4, 3, 3), 1)
    for mask in (random((2, 1, 3, 3), 2), random((2, 4, 3, 3), 2), random((1, 1, 1, 3), 2)):
        torch.testing.assert_close(mask_blend(x, other, mask), x * mask + other * (1 - mask))
    with pytest.raises(RuntimeError, match="must match"):
        mask_blend(x, x[:, :3], torch.ones(2, 1, 3, 3))
