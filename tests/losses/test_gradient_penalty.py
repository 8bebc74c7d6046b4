"""R1 against cases with a known slope, and the correction of Adam."""

import pytest
import torch
from torch import nn

from stylegan_swap.losses.gradient_penalty import lazy_adam, r1_penalty
from stylegan_swap.nn.stylegan2.discriminator import Discriminator


def test_a_linear_discriminator():
    """The slope of ⟨a, x⟩ is a everywhere: γ/2·‖a‖², and the derivative by a is γ·a."""
    a = torch.randn(3, 4, 4, dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty((x * a).sum((1, 2, 3)), x, gamma=10.0)
    torch.testing.assert_close(penalty.detach(), (5 * a.square().sum()).float().expand(5).detach())
    penalty.mean().backward()
    torch.testing.assert_close(a.grad, 10 * a.detach(), rtol=1e-6, atol=1e-6)


def test_a_quadratic_discriminator_per_sample():
    x = torch.tensor([[1.0, 2.0], [0.0, 3.0]], requires_grad=True)
    penalty = r1_penalty(x.square().sum(1), x, gamma=2.0, every=16)
    assert torch.equal(penalty, torch.tensor([20.0, 36.0]) * 16)


def test_the_network_gets_flatter():
    torch.manual_seed(0)
    network = Discriminator(8, channels={4: 4, 8: 4}).double()
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    values = []
    optimizer = torch.optim.SGD(network.parameters(), 0.3)
    for _ in range(5):
        real = x.clone().requires_grad_()
        penalty = r1_penalty(network(real), real, 1.0).mean()
        values.append(float(penalty.detach()))
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
    assert values[-1] < 0.9 * values[0]


def test_an_input_without_gradient_is_refused():
    x = torch.randn(2, 3)
    with pytest.raises(ValueError, match="requires_grad_"):
        r1_penalty(nn.Linear(3, 1)(x), x, 1.0)


def test_lazy_adam():
    lr, betas = lazy_adam(0.0025, (0.0, 0.99), 16)
    assert lr == pytest.approx(0.0025 * 16 / 17)
    assert betas == (0.0, pytest.approx(0.99 ** (16 / 17)))
    # 16 main steps and one for the regulariser move as far and remember as long as 16 plain ones.
    assert 17 * lr == pytest.approx(16 * 0.0025)
    assert betas[1] ** 17 == pytest.approx(0.99**16)
    assert lazy_adam(0.1, (0.5, 0.9), 0) == (0.1, (0.5, 0.9))
