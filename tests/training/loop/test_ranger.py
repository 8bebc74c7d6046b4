"""Ranger against recorded steps of the official optimiser, and its parts by hand."""

import copy

import golden
import pytest
import torch

from stylegan_swap.training.loop.ranger import Ranger


@golden.mark
def test_official_steps():
    known = golden.case("inversion_terms")
    weights = known.input("p1").requires_grad_(), known.input("p2").requires_grad_()
    settings = known.config["ranger"]
    optimizer = Ranger(weights, lr=settings["lr"])
    recorded = 0
    for step in range(settings["steps"]):
        for number, p in enumerate(weights, 1):
            p.grad = known.input(f"g{number}_{step}", p.shape)
        optimizer.step()
        for number, p in enumerate(weights, 1):
            if (name := f"ranger_p{number}_step{step + 1}") in known.outputs:
                recorded += 1
                known.check(name, p, tol=1e-5)
    assert recorded == 12


def quadratic_steps(optimizer, p, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        (p - 3).square().sum().backward()
        optimizer.step()


def test_gradients_of_matrices_are_centred():
    matrix = torch.zeros(2, 3, requires_grad=True)
    vector = torch.zeros(3, requires_grad=True)
    matrix.grad, vector.grad = torch.ones(2, 3), torch.ones(3)
    Ranger([matrix, vector], lr=0.1).step()
    assert torch.equal(matrix, torch.zeros(2, 3))
    torch.testing.assert_close(vector, torch.full((3,), -0.1))


def test_every_k_steps_the_weights_meet_the_slow_ones():
    fast, p = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    plain = Ranger([fast], lr=0.1, k=100)
    ranger = Ranger([p], lr=0.1, k=5, alpha=0.25)
    quadratic_steps(plain, fast, 5)
    quadratic_steps(ranger, p, 5)
    torch.testing.assert_close(p, 0.25 * fast)
    assert torch.equal(ranger.state[p]["slow"], p)


def test_it_minimises_and_resumes_exactly():
    p = torch.zeros(4, requires_grad=True)
    ranger = Ranger([p], lr=0.3)
    quadratic_steps(ranger, p, 8)
    q = p.detach().clone().requires_grad_()
    resumed = Ranger([q], lr=0.3)
    resumed.load_state_dict(copy.deepcopy(ranger.state_dict()))
    quadratic_steps(ranger, p, 9)
    quadratic_steps(resumed, q, 9)
    assert torch.equal(p, q)
    quadratic_steps(ranger, p, 200)
    torch.testing.assert_close(p, torch.full((4,), 3.0), atol=0.05, rtol=0)


def test_closures_and_missing_gradients():
    p, unused = torch.zeros(2, requires_grad=True), torch.ones(2, requires_grad=True)
    ranger = Ranger([p, unused], lr=0.1)

    def closure():
        ranger.zero_grad()
        loss = (p - 1).square().sum()
        loss.backward()
        return loss

    assert float(ranger.step(closure).detach()) == 2.0
    assert torch.equal(unused, torch.ones(2)) and not ranger.state[unused]
    assert (p > 0).all()


def test_bad_settings():
    p = torch.zeros(2, requires_grad=True)
    for settings in ({"k": 0}, {"alpha": 1.5}):
        with pytest.raises(ValueError, match="Ranger"):
            Ranger([p], **settings)
