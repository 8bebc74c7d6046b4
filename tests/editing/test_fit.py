"""Directions fitted from codes and labels that were made together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylegan_swap.editing import fit_directions
from stylegan_swap.errors import UnsupportedOptionError

N, L, D = 240, 2, 6


def made() -> tuple[torch.Tensor, dict[str, np.ndarray], torch.Tensor]:
    """Codes = smile · a + age · b + noise, smile and age correlated; a ⟂ b."""
    draw = np.random.default_rng(0)
    basis = np.linalg.qr(draw.standard_normal((L * D, 2)))[0].T
    smile = draw.standard_normal(N)
    age = 0.8 * smile + 0.6 * draw.standard_normal(N)
    codes = 2.0 * np.outer(smile, basis[0]) + np.outer(age, basis[1]) + 0.1 * draw.standard_normal((N, L * D))
    return (
        torch.from_numpy(codes).float().view(N, L, D),
        {"smile": 5 + 3 * smile, "age": 40 + 10 * age},
        torch.from_numpy(basis).float().view(2, L, D),
    )


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first * second).sum() / first.norm() / second.norm())


def test_regression_holds_the_other_label_constant():
    codes, labels, basis = made()
    found = fit_directions(codes, labels, network="n", source="s")
    assert cosine(found["smile"].vector, basis[0]) > 0.998
    assert cosine(found["age"].vector, basis[1]) > 0.995
    # One standard deviation of the label is what a strength of 1 moves codes by.
    assert found["smile"].scale == pytest.approx(2.0 * labels["smile"].std() / 3, rel=0.03)
    assert float(found["smile"].vector.norm()) == pytest.approx(1, abs=1e-5)
    assert (found["smile"].network, found["smile"].source, found["smile"].kind) == ("n", "s", "regression")
    assert found["smile"].measured["n"] == N
    assert found["smile"].measured["label_deviation"] == pytest.approx(labels["smile"].std())


def test_alone_a_label_takes_its_companion_along():
    codes, labels, basis = made()
    alone = fit_directions(codes, {"smile": labels["smile"]})["smile"]
    assert cosine(alone.vector, basis[1]) > 0.3
    held = fit_directions(codes, {"smile": labels["smile"]}, confounders=labels["age"][:, None])["smile"]
    assert abs(cosine(held.vector, basis[1])) < 0.05


def test_svm_separates_the_extremes():
    codes, labels, _ = made()
    found = fit_directions(codes, labels, method="svm")["smile"]
    along = (codes * found.vector).sum((1, 2)).numpy()
    assert np.corrcoef(along, labels["smile"])[0, 1] > 0.95
    assert found.scale == pytest.approx(along.std(), rel=1e-3)
    two = fit_directions(codes, {"smiling": (labels["smile"] > 5).astype(float)}, method="svm")["smiling"]
    assert cosine(two.vector, found.vector) > 0.7


def test_unknown_labels_are_left_out_of_their_own_fit_only():
    codes, labels, basis = made()
    labels["age"][100:] = np.nan
    found = fit_directions(codes, labels)
    assert found["age"].measured["n"] == 100
    assert found["smile"].measured["n"] == N
    # Where age is unknown for some it cannot be held for all.
    assert cosine(found["age"].vector, basis[1]) > 0.99


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"x": np.full(N, 3.0)}, "the same for all"),
        ({"x": np.where(np.arange(N) < 10, np.arange(N) * 1.0, np.nan)}, "known for 10"),
    ],
)
def test_what_cannot_be_fitted(labels, words):
    with pytest.raises(UnsupportedOptionError, match=words):
        fit_directions(made()[0], labels)


def test_too_much_held_for_too_few():
    codes, labels, _ = made()
    held = np.random.default_rng(0).standard_normal((N, 100))
    with pytest.raises(UnsupportedOptionError, match="too few to hold 101"):
        fit_directions(codes, labels, confounders=held)
    with pytest.raises(UnsupportedOptionError, match="regression or svm"):
        fit_directions(codes, labels, method="pca")
    with pytest.raises(ValueError, match="labels must be"):
        fit_directions(codes, {"x": np.ones(3)})
