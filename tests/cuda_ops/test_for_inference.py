"""Weights laid out for inference: the same results, and nothing stale is ever used."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from cuda_ops import ModulatedConv2d, square_sum


def layer(resample=None, demodulate=True):
    torch.manual_seed(0)
    return ModulatedConv2d(6, 5, 3, 8, demodulate=demodulate, resample=resample).requires_grad_(False)


def inputs(batch=1):
    stream = torch.Generator().manual_seed(1)
    return torch.randn(batch, 6, 8, 8, generator=stream), torch.randn(batch, 8, generator=stream)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_the_result_and_the_state_stay(resample, demodulate):
    for batch in (1, 2):
        conv = layer(resample, demodulate)
        state = {key: value.clone() for key, value in conv.state_dict().items()}
        expected = conv(*inputs(batch))
        conv.for_inference()
        assert torch.allclose(conv(*inputs(batch)), expected, atol=1e-6)
        assert {
            key: torch.equal(value, state[key]) for key, value in conv.state_dict().items()
        } == dict.fromkeys(state, True)
        fresh = layer(resample, demodulate)
        fresh.load_state_dict(conv.state_dict())
        assert torch.equal(fresh.weight, conv.weight)


def test_the_layout_is_the_one_the_convolution_reads():
    plain, up = layer(), layer("up")
    for conv in (plain, up):
        conv.for_inference()
    assert plain.weight[0].is_contiguous(memory_format=torch.channels_last)
    assert up.weight[0].transpose(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_the_sums_are_remembered_and_used(monkeypatch):
    conv = layer()
    assert conv.remembered() is None
    conv.for_inference()
    assert torch.allclose(conv.remembered().square_sum, square_sum(conv.weight[0]))
    sums = conv.remembered().square_sum
    conv.remembered().square_sum = sums * 4
    # A sum four times as large halves what the layer puts out: it is what the layer reads.
    doubled = conv(*inputs())
    conv.remembered().square_sum = sums
    assert torch.allclose(doubled * 2, conv(*inputs()), atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda conv: conv.weight.mul_(3.0),
        lambda conv: conv.load_state_dict({**conv.state_dict(), "weight": conv.weight * 3.0}),
        lambda conv: setattr(conv, "weight", torch.nn.Parameter(conv.weight * 3.0, requires_grad=False)),
        lambda conv: setattr(conv.weight, "data", conv.weight.data * 3.0),
        lambda conv: conv.to(torch.bfloat16).to(torch.float32),
        lambda conv: conv.double(),
    ],
    ids=["in place", "loaded", "replaced", "data", "there and back", "converted"],
)
def test_a_changed_weight_forgets_them(change):
    conv = layer()
    conv.for_inference()
    change(conv)
    assert conv.remembered() is None
    x, w = (tensor.to(conv.weight.dtype) for tensor in inputs())
    fresh = copy.deepcopy(conv)
    assert fresh.remembered() is None
    assert torch.equal(conv(x, w), fresh(x, w))


@pytest.mark.parametrize("way", ["data", "assign"])
def test_a_weight_at_the_address_of_another_is_not_taken_for_it(way):
    """Freed memory is given out again: the old weight's must not be, as long as it is remembered."""
    conv = ModulatedConv2d(32, 32, 3, 8).requires_grad_(False)
    conv.for_inference()
    assert conv.remembered().winograd is not None
    for _ in range(6):
        fresh = torch.randn_like(conv.weight)
        if way == "data":
            conv.weight.data = fresh
        else:
            conv.load_state_dict({**conv.state_dict(), "weight": fresh}, assign=True)
        del fresh
        assert conv.remembered() is None
        conv.for_inference()
        assert conv.remembered().winograd is not None


def test_copies_and_files_do_not_carry_them():
    conv = ModulatedConv2d(32, 32, 3, 8).requires_grad_(False)
    plain = len(pickle.dumps(conv))
    conv.for_inference()
    assert conv.remembered().winograd is not None
    assert copy.deepcopy(conv).remembered() is None
    assert len(pickle.dumps(conv)) < 1.05 * plain
    assert conv.remembered().winograd is not None


def test_training_and_copies_ignore_them():
    conv = layer()
    conv.for_inference()
    assert copy.deepcopy(conv).remembered() is None
    conv.weight.requires_grad_()
    assert conv.remembered() is None
    conv(*inputs()).square().sum().backward()
    plain = layer().requires_grad_()
    plain(*inputs()).square().sum().backward()
    assert torch.allclose(conv.weight.grad, plain.weight.grad, atol=1e-5)
    with torch.no_grad():
        assert conv.remembered() is not None


def test_weights_made_in_inference_mode():
    with torch.inference_mode():
        conv = layer()
        conv.for_inference()
        assert conv.remembered() is None
        assert conv(*inputs()).isfinite().all()
