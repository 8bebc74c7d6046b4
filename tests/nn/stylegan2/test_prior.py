"""The distribution of codes: mean, directions, truncation, seeds."""

from __future__ import annotations

import pytest
import torch

from stylegan_swap.nn.stylegan2.prior import CodePrior


def codes(n: int = 500) -> torch.Tensor:
    """Codes that vary in two directions only, with deviations 3 and 1 about a mean of 5."""
    stream = torch.Generator().manual_seed(0)
    z = torch.randn(n, 2, generator=stream) * torch.tensor([3.0, 1.0])
    directions = torch.linalg.qr(torch.randn(12, 2, generator=stream))[0].t()
    return 5 + (z @ directions).unflatten(1, (3, 4))


def test_fit_finds_mean_and_covariance():
    prior = CodePrior(3, 4, 2)
    prior.fit(codes())
    assert torch.allclose(prior.mean, codes().mean(0), atol=1e-5)
    flat = prior.factor.flatten(1)
    assert torch.allclose(flat.t() @ flat, torch.cov(codes().flatten(1).t()), atol=1e-3)


def test_samples_have_the_spread_of_the_codes():
    prior = CodePrior(3, 4, 2)
    prior.fit(codes())
    drawn = prior.sample(4000, 1.0, seed=1)
    assert torch.allclose(drawn.mean(0), prior.mean, atol=0.2)
    assert torch.cov(drawn.flatten(1).t()).trace() == pytest.approx(10, rel=0.15)
    half = prior.sample(4000, 0.5, seed=1)
    assert torch.allclose(half - prior.mean, 0.5 * (drawn - prior.mean), atol=1e-5)
    assert torch.equal(prior.sample(3, 0.0, seed=2), prior.mean.expand(3, -1, -1))


def test_a_seed_is_a_person_and_few_photos_leave_directions_empty():
    prior = CodePrior(3, 4, 8)
    prior.fit(codes(4))
    assert torch.equal(prior.sample(2, seed=3), prior.sample(2, seed=3))
    assert not torch.equal(prior.sample(2, seed=3), prior.sample(2, seed=4))
    assert not prior.factor[3:].any() and prior.factor[:2].any()


def test_other_codes_are_refused():
    for wrong in (torch.zeros(1, 3, 4), torch.zeros(5, 3, 5), torch.zeros(5, 12)):
        with pytest.raises(ValueError, match="at least two codes"):
            CodePrior(3, 4, 2).fit(wrong)
