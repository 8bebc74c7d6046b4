"""Path length against a generator whose slope is known, and its running mean by hand."""

import math

import pytest
import torch

from stylegan_swap.losses.path_length import PathLength, path_lengths
from stylegan_swap.nn.stylegan2.generator import Generator


def linear_images(wplus, factors):
    """Every pixel of sample i is factor_i times the sum of the first row's entries."""
    sums = wplus[:, 0].sum(1) * factors
    return sums.view(-1, 1, 1, 1).expand(-1, 3, 4, 4)


def known_lengths(noise, factors, rows, width):
    """Gradient of Σ image·noise/4 by row 0: factor·Σ noise/4 in every entry; 0 in the other rows."""
    sums = noise.sum((1, 2, 3)) / 4
    return (factors * sums).abs() * math.sqrt(width / rows)


def test_lengths_of_a_linear_generator():
    torch.manual_seed(0)
    wplus = torch.randn(3, 5, 7, requires_grad=True)
    factors, noise = torch.tensor([1.0, 2.0, -3.0]), torch.randn(3, 3, 4, 4)
    lengths = path_lengths(linear_images(wplus, factors), wplus, noise)
    torch.testing.assert_close(lengths, known_lengths(noise, factors, 5, 7))


def test_the_running_mean_and_the_penalty_by_hand():
    torch.manual_seed(1)
    loss = PathLength(decay=0.01, weight=2.0)
    mean = 0.0
    for _ in range(3):
        wplus = torch.randn(2, 4, 6, requires_grad=True)
        factors, noise = torch.tensor([1.0, 0.5]), torch.randn(2, 3, 4, 4)
        lengths = known_lengths(noise, factors, 4, 6)
        mean = mean + 0.01 * (float(lengths.mean()) - mean)
        penalty = loss(linear_images(wplus, factors), wplus, every=4, noise=noise)
        assert float(loss.mean) == pytest.approx(mean, rel=1e-5)
        torch.testing.assert_close(penalty, 2 * 4 * (lengths - mean).square(), rtol=1e-4, atol=1e-6)
    assert set(loss.state_dict()) == {"mean"}
    assert not loss.mean.requires_grad


def test_the_gradient_passes_through_the_new_mean():
    """By the factor f of one sample: d/df of w·(l − (1−d)·a − d·l)² = 2w·(1−d)·(l − mean)·dl/df."""
    factor = torch.tensor([2.0], requires_grad=True)
    wplus = torch.randn(1, 1, 3, requires_grad=True)
    noise = torch.ones(1, 3, 4, 4)
    loss = PathLength(decay=0.25, weight=1.0)
    loss.mean.fill_(5.0)
    loss(linear_images(wplus, factor), wplus, noise=noise).sum().backward()
    slope = 12 * math.sqrt(3)
    length = 2 * slope
    mean = 0.75 * 5 + 0.25 * length
    assert float(factor.grad) == pytest.approx(2 * 0.75 * (length - mean) * slope, rel=1e-5)


def test_it_reaches_the_generator_and_evens_it_out():
    torch.manual_seed(2)
    network = Generator(8, style_dim=8, n_mlp=1, channels={4: 8, 8: 8}).double()
    loss = PathLength(decay=1.0).double()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    codes, noise = torch.randn(8, network.n_latent, 8, dtype=torch.float64), torch.randn(8, 3, 8, 8)
    values = []
    for _ in range(10):
        wplus = codes.clone().requires_grad_()
        penalty = loss(network(wplus).image, wplus, noise=noise).mean()
        values.append(float(penalty.detach()))
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
    assert network.input.input.grad.abs().sum() > 0
    assert values[-1] < 0.7 * values[0]


def test_codes_without_gradient_are_refused():
    with pytest.raises(ValueError, match="require a gradient"):
        PathLength()(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 3))
