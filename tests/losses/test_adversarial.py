"""The logistic pair: values, derivatives, and what is reported."""

import math

import torch

from stylegan_swap.losses.adversarial import discriminator_adversarial, generator_adversarial, mean_sign


def test_values():
    logits = torch.tensor([[0.0], [2.0], [-2.0]])
    want = torch.tensor([math.log(2), math.log1p(math.exp(-2)), math.log1p(math.exp(2))])
    torch.testing.assert_close(generator_adversarial(logits), want)
    real, fake = discriminator_adversarial(logits, logits)
    torch.testing.assert_close(real, want)
    torch.testing.assert_close(fake, want[[0, 2, 1]])


def test_the_generator_learns_most_where_it_fails():
    """Non-saturating: the slope is −1 at results that are seen through, 0 at those that pass."""
    logits = torch.tensor([-30.0, 0.0, 30.0], requires_grad=True)
    generator_adversarial(logits).sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([-1.0, -0.5, 0.0]), atol=1e-6, rtol=0)


def test_patches_count_as_their_mean():
    logits = torch.randn(2, 1, 3, 3)
    want = torch.stack([generator_adversarial(one.flatten()).mean() for one in logits])
    torch.testing.assert_close(generator_adversarial(logits), want)


def test_half_precision_does_not_overflow():
    logits = torch.tensor([-6e4, 6e4], dtype=torch.float16)
    assert torch.equal(generator_adversarial(logits), torch.tensor([6e4, 0.0]).half().float())


def test_mean_sign():
    assert mean_sign(torch.tensor([[0.1], [5.0], [-3.0], [0.0]])) == 0.25
