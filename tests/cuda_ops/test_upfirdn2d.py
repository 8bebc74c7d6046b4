import golden
import pytest
import torch
import torch.nn.functional as F

from cuda_ops import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

FIR = setup_filter([1, 3, 3, 1])


def by_definition(x, f, up=(1, 1), down=(1, 1), padding=(0, 0, 0, 0), flip_filter=False, gain=1.0):
    """Zero insertion, padding, sliding window: one sample after the other."""
    f = torch.outer(f, f) if f.ndim == 1 else f
    f = f if flip_filter else f.flip((0, 1))
    batch, channels, height, width = x.shape
    u = x.new_zeros(batch, channels, height * up[1], width * up[0])
    u[:, :, :: up[1], :: up[0]] = x
    u = F.pad(u, padding)
    t_y, t_x = f.shape
    rows = range(0, u.shape[2] - t_y + 1, down[1])
    columns = range(0, u.shape[3] - t_x + 1, down[0])
    y = [[(u[:, :, i : i + t_y, j : j + t_x] * f).sum((2, 3)) for j in columns] for i in rows]
    return gain * torch.stack([torch.stack(line, -1) for line in y], -2)


@golden.mark
def test_official_outputs_and_gradients():
    known = golden.case("ops_upfirdn2d")
    filters = {"f1331": FIR, None: None} | {name: known.input(name) for name in ("f44", "f34", "f6")}
    for options in known.config["cases"]:
        options = dict(options)
        name, f = options.pop("name"), filters[options.pop("f")]
        x = known.input("x").requires_grad_()
        y = upfirdn2d(x, f, **options)
        known.check(f"{name}.y", y)
        (dx,) = torch.autograd.grad(y, x, known.input(f"dy_{name}", y.shape))
        known.check(f"{name}.dx", dx)


@pytest.mark.parametrize(
    ("up", "down", "padding"),
    [
        ((1, 1), (1, 1), (1, 2, 0, 3)),
        ((2, 2), (1, 1), (2, 1, 2, 1)),
        ((2, 2), (1, 1), (-3, -3, -3, -3)),
        ((3, 1), (1, 2), (2, 2, 1, 1)),
        ((2, 3), (3, 2), (-2, 3, 1, -1)),
        ((1, 1), (2, 2), (-1, 2, 3, -2)),
    ],
)
def test_definition(up, down, padding):
    for flip_filter in (False, True):
        torch.manual_seed(0)
        x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
        f = torch.randn(3, 4, dtype=torch.float64)
        result = upfirdn2d(x, f, up, down, padding, flip_filter, gain=1.7)
        torch.testing.assert_close(result, by_definition(x, f, up, down, padding, flip_filter, 1.7))


def test_separable_filter_equals_its_outer_product():
    torch.manual_seed(1)
    x = torch.randn(1, 2, 7, 6, dtype=torch.float64)
    f = torch.randn(5, dtype=torch.float64)
    for gain in (0.5, 0.0):
        one = upfirdn2d(x, f, up=2, down=(1, 2), padding=(3, 2, 1, 4), gain=gain)
        two = upfirdn2d(x, torch.outer(f, f), up=2, down=(1, 2), padding=(3, 2, 1, 4), gain=gain)
        torch.testing.assert_close(one, two)


def test_first_and_second_derivatives():
    torch.manual_seed(2)
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    f = torch.randn(3, 4, dtype=torch.float64)
    for options in (
        {"up": 2, "padding": (2, 1)},
        {"down": 2, "padding": (1, 2, -1, 3)},
        {"up": 2, "down": 3},
    ):
        assert torch.autograd.gradcheck(lambda x, o=options: upfirdn2d(x, f, **o), x)
        assert torch.autograd.gradgradcheck(lambda x, o=options: upfirdn2d(x, f, **o), x)


def test_a_filter_held_as_parameter_is_not_trained():
    f = torch.nn.Parameter(FIR.clone())
    x = torch.randn(1, 2, 6, 6, requires_grad=True)
    upfirdn2d(x, f).sum().backward()
    assert f.grad is None
    assert x.grad is not None


def test_memory_format_and_strides_do_not_matter():
    torch.manual_seed(3)
    x = torch.randn(2, 8, 10, 12)
    wide = torch.randn(2, 8, 20, 24)
    for up, down in ((1, 1), (2, 1), (1, 2)):
        last = upfirdn2d(x.contiguous(memory_format=torch.channels_last), FIR, up, down, 2)
        torch.testing.assert_close(last, upfirdn2d(x, FIR, up, down, 2))
        assert last.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(
            upfirdn2d(wide[:, :, ::2, ::2], FIR, up, down, 2),
            upfirdn2d(wide[:, :, ::2, ::2].clone(), FIR, up, down, 2),
        )


def test_bf16_is_close_to_fp32():
    torch.manual_seed(4)
    x = torch.randn(2, 8, 16, 16)
    expected = upsample2d(x, FIR)
    result = upsample2d(x.bfloat16(), FIR)
    assert result.dtype == torch.bfloat16
    assert (result.float() - expected).abs().max() <= 1e-2 * expected.abs().max()


def test_helpers_keep_size_and_brightness():
    x = torch.ones(1, 1, 12, 16)
    assert filter2d(x, FIR).shape == x.shape
    up, down = upsample2d(x, FIR), downsample2d(x, FIR)
    assert up.shape[2:] == (24, 32)
    assert down.shape[2:] == (6, 8)
    for y in (filter2d(x, FIR), up, down):
        torch.testing.assert_close(y[:, :, 3:-3, 3:-3], torch.ones_like(y[:, :, 3:-3, 3:-3]))
    assert upsample2d(x, FIR, up=(3, 1)).shape[2:] == (12, 48)
    assert downsample2d(x, None, down=(1, 2)).shape[2:] == (6, 16)
    torch.testing.assert_close(upsample2d(x, FIR, gain=0.5), up * 0.5)


def test_setup_filter():
    assert torch.equal(setup_filter(None), torch.ones(1, 1))
    torch.testing.assert_close(FIR, torch.outer(*[torch.tensor([1.0, 3, 3, 1])] * 2) / 64)
    assert setup_filter([1.0] * 8).shape == (8,)
    assert setup_filter([1.0] * 8, separable=False).shape == (8, 8)
    long = setup_filter([1.0] * 8, gain=4.0)
    torch.testing.assert_close(torch.outer(long, long).sum(), torch.tensor(4.0))
    assert float(setup_filter([1, 3, 3, 1], normalize=False).sum()) == 64
    for bad in ({"taps": []}, {"taps": [1.0, -1.0]}, {"taps": torch.ones(2, 2), "separable": True}):
        with pytest.raises(ValueError, match=r"filter"):
            setup_filter(**bad)


def test_bad_arguments():
    for change, message in (
        ({"x": torch.zeros(3, 4, 4)}, "batch, channels, h, w"),
        ({"x": torch.zeros(1, 3, 4, 4, dtype=torch.uint8)}, "floating-point"),
        ({"f": torch.zeros(1, 1, 4, 4)}, "filter"),
        ({"f": torch.zeros(0)}, "filter"),
        ({"up": 0}, "up must be"),
        ({"down": (1, 2, 3)}, "down must be"),
        ({"up": 1.5}, "up must be"),
        ({"padding": (1, 2, 3)}, "padding must be"),
        ({"padding": 0.5}, "padding must be"),
        ({"padding": -2}, "smaller than the 4x4 filter"),
    ):
        arguments = {"x": torch.zeros(1, 3, 4, 4), "f": FIR} | change
        with pytest.raises(ValueError, match=message):
            upfirdn2d(**arguments)
