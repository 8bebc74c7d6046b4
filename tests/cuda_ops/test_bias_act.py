import math

import golden
import pytest
import torch

from cuda_ops import ACTIVATIONS, bias_act


@golden.mark
def test_official_outputs_first_and_second_order():
    known = golden.case("ops_bias_act")
    for name, row in known.config["table"].items():
        assert (ACTIVATIONS[name].alpha, ACTIVATIONS[name].gain) == (row["def_alpha"], row["def_gain"])
    for options in known.config["cases"]:
        options = dict(options)
        name = options.pop("name")
        x = (2 * known.input("x")).requires_grad_()
        b = known.input("b").requires_grad_()
        dy = known.input("dy").requires_grad_()
        y = bias_act(x, b, **options)
        dx, db = torch.autograd.grad(y, (x, b), dy, create_graph=True)
        second = (dx * known.input("v")).sum() + (db * known.input("vb")).sum()
        grads = torch.autograd.grad(second, (dy, x, b), allow_unused=True, materialize_grads=True)
        parts = {"y": y, "dx": dx, "db": db} | dict(zip(("d_dy", "d_x", "d_b"), grads, strict=True))
        for part, tensor in parts.items():
            known.check(f"{name}.{part}", tensor)


@golden.mark
def test_official_outputs_along_other_axes():
    known = golden.case("ops_bias_act")
    x = known.input("x2")
    known.check("lrelu.2d.y", bias_act(x, known.input("b2"), act="lrelu"))
    known.check("lrelu.dim0.y", bias_act(x, known.input("b0"), dim=0, act="lrelu"))
    known.check("linear.nobias_gain.y", bias_act(x, gain=1.3))


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_first_and_second_derivatives(act):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64).mul_(2).requires_grad_()
    b = torch.randn(3, dtype=torch.float64, requires_grad=True)
    for options in ({}, {"alpha": 0.3, "gain": -0.8, "clamp": 1.3}):
        assert torch.autograd.gradcheck(lambda x, b, o=options: bias_act(x, b, act=act, **o), (x, b))
        assert torch.autograd.gradgradcheck(lambda x, b, o=options: bias_act(x, b, act=act, **o), (x, b))


def test_input_is_never_written_to():
    for act in ACTIVATIONS:
        x = torch.randn(2, 3, 4)
        b = torch.randn(3)
        kept = x.clone()
        for bias in (None, b):
            for gain in (None, 1.0, 2.0):
                bias_act(x, bias, act=act, gain=gain)
                assert torch.equal(x, kept)


def test_slopes_at_zero_and_below():
    x = torch.tensor([[0.0, -1.0, 2.0]], requires_grad=True)
    y = bias_act(x, act="lrelu")
    torch.testing.assert_close(y, math.sqrt(2) * torch.tensor([[0.0, -0.2, 2.0]]))
    y.sum().backward()
    torch.testing.assert_close(x.grad, math.sqrt(2) * torch.tensor([[0.2, 0.2, 1.0]]))
    torch.testing.assert_close(bias_act(x, act="lrelu", alpha=-0.5, gain=1.0)[0, 1], torch.tensor(0.5))


def test_axis_of_the_bias_and_memory_format():
    torch.manual_seed(1)
    x = torch.randn(2, 6, 4, 5)
    b = torch.randn(6)
    torch.testing.assert_close(
        bias_act(x, b, act="tanh"), bias_act(x.movedim(1, 3), b, dim=-1, act="tanh").movedim(3, 1)
    )
    last = bias_act(x.contiguous(memory_format=torch.channels_last), b, act="lrelu")
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, bias_act(x, b, act="lrelu"))


def test_bf16_is_close_to_fp32():
    for act in ACTIVATIONS:
        torch.manual_seed(2)
        x, b = torch.randn(4, 5, 8), torch.randn(5)
        expected = bias_act(x, b, act=act)
        result = bias_act(x.bfloat16(), b, act=act)
        assert result.dtype == torch.bfloat16
        assert (result.float() - expected).abs().max() <= 1e-2 * expected.abs().max()


def test_bad_arguments():
    for change, message in (
        ({"act": "gelu"}, "unknown activation 'gelu'.*swish"),
        ({"b": torch.zeros(4)}, "each of the 3"),
        ({"b": torch.zeros(3, 1)}, "each of the 3"),
        ({"dim": 2, "b": torch.zeros(2)}, "dim 2"),
        ({"clamp": -1.0}, "clamp"),
    ):
        with pytest.raises(ValueError, match=message):
            bias_act(**({"x": torch.zeros(2, 3)} | change))
