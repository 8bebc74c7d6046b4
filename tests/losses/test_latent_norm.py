"""Norms of codes: recorded values and by hand."""

import golden
import pytest
import torch

from stylegan_swap.losses.latent_norm import delta_norm, w_norm


@golden.mark
def test_official_w_norm():
    known = golden.case("inversion_terms")
    latent, average = known.input("latent"), known.input("latent_avg")
    known.check("w_norm", w_norm(latent, average).mean().reshape(1))
    known.check("w_norm_noavg", w_norm(latent).mean().reshape(1))


def test_w_norm_by_hand():
    wplus = torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])
    assert w_norm(wplus).tolist() == [5.0]
    assert w_norm(wplus, torch.tensor([3.0, 0.0])).tolist() == [5.0]
    assert w_norm(wplus, torch.tensor([[3.0, 0.0], [0.0, 0.0]])).tolist() == [4.0]


def test_delta_norm_by_hand():
    wplus = torch.tensor([[[1.0, 1.0], [4.0, 5.0], [1.0, 1.0], [1.0, 14.0]]])
    assert delta_norm(wplus).tolist() == [18.0]
    assert delta_norm(wplus, 1).tolist() == [5.0]
    assert delta_norm(wplus, 0).tolist() == [0.0]
    assert delta_norm(wplus, 99).tolist() == [18.0]


def test_the_gradient_is_a_number_where_rows_are_equal():
    """At the start of progressive training every row is row 0."""
    wplus = torch.zeros(2, 4, 3, requires_grad=True)
    (delta_norm(wplus) + w_norm(wplus)).sum().backward()
    assert torch.equal(wplus.grad, torch.zeros_like(wplus))


def test_batches_come_out_per_image():
    wplus = torch.randn(3, 4, 5)
    assert delta_norm(wplus).shape == w_norm(wplus).shape == (3,)
    assert delta_norm(wplus)[1] == pytest.approx(float(delta_norm(wplus[1:2])))
