"""Directions found from codes and labels: which way codes differ where an attribute differs.

Beside the road: photographs → encoder → codes, with labels of the photographs → **directions**. Two ways:
the regression of codes on labels, which holds the other labels constant, and InterFaceGAN's linear SVM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from stylegan_swap.editing.direction import Direction
from stylegan_swap.errors import UnsupportedOptionError

FitMethod = Literal["regression", "svm"]
FEWEST = 20
# Photographs per number fitted, below which a regression follows chance.
_PER_REGRESSOR = 3
# InterFaceGAN takes the 2 % with the highest and lowest scores of half a million faces; few photos need more.
_TAIL = 0.3


def fit_directions(
    codes: Tensor,
    labels: Mapping[str, np.ndarray],
    *,
    confounders: np.ndarray | None = None,
    method: FitMethod = "regression",
    network: str = "",
    source: str = "",
) -> dict[str, Direction]:
    """Find one direction per label.

    ``regression``: codes are regressed on all labels at once; the coefficients of a label are how codes
    change with it while the other labels stay. Along the normal of a plane that tells the label apart best,
    which is what an SVM finds, codes leave the region that the generator has seen, and little happens.

    Args:
        codes: ``[n, L, D]``.
        labels: by name, ``[n]`` numbers, NaN where unknown.
        confounders: ``[n, k]``, what else is to stay constant, without NaN.
        method: "regression" or "svm" (InterFaceGAN).
        network: fingerprint of the generator, see ``generator_fingerprint``.
        source: where codes and labels come from, for people.

    Returns:
        Directions of length 1. ``scale`` is how far codes go for one standard deviation of the label; what
        the generator then shows is often less, see ``calibrated``. ``measured`` has ``n``, the number of
        codes, and ``label_deviation``.

    Raises:
        UnsupportedOptionError: too few codes with a label, or a label that is the same for all.
        ValueError: shapes do not fit.
    """
    if codes.ndim != 3 or not len(codes):
        raise ValueError(f"codes must be [n, L, D], got {list(codes.shape)}")
    if method not in ("regression", "svm"):
        raise UnsupportedOptionError(f"unknown way to fit {method!r}: choose regression or svm")
    covariates = np.zeros((len(codes), 0)) if confounders is None else np.asarray(confounders, np.float64)
    values = {name: np.asarray(label, np.float64) for name, label in labels.items()}
    if any(label.shape != (len(codes),) for label in values.values()) or len(covariates) != len(codes):
        raise ValueError(f"labels must be [{len(codes)}] and held [{len(codes)}, k]")
    flat = codes.detach().double().cpu().flatten(1).numpy()
    directions = {}
    for name, label in values.items():
        labelled = np.isfinite(label)
        target = _standardised(label[labelled], name)
        if method == "svm":
            vector, scale = _svm(flat[labelled], target, name)
        else:
            complete = [
                other_label[labelled]
                for key, other_label in values.items()
                if key != name and np.isfinite(other_label[labelled]).all()
            ]
            vector, scale = _regression(
                flat[labelled], target, np.column_stack([*complete, covariates[labelled]]), name
            )
        directions[name] = Direction(
            name,
            torch.from_numpy(vector).float().view(codes.shape[1:]),
            scale,
            "σ",
            kind=method,
            source=source,
            network=network,
            measured={"n": float(labelled.sum()), "label_deviation": float(label[labelled].std())},
        )
    return directions


def _standardised(label: np.ndarray, name: str) -> np.ndarray:
    if len(label) < FEWEST:
        raise UnsupportedOptionError(
            f"{name}: known for {len(label)} photographs; a direction needs at least {FEWEST}"
        )
    deviation = label.std()
    if not deviation > 1e-9 * max(1.0, float(np.abs(label).max())):
        raise UnsupportedOptionError(f"{name}: the same for all photographs; there is nothing to find")
    return (label - label.mean()) / deviation


def _regression(
    codes: np.ndarray, target: np.ndarray, covariates: np.ndarray, name: str
) -> tuple[np.ndarray, float]:
    """Coefficients of codes on the target, the others held: a unit vector and its length before."""
    from sklearn.linear_model import LinearRegression

    covariates = covariates - covariates.mean(0)
    deviations = covariates.std(0)
    covariates = covariates[:, deviations > 1e-9] / deviations[deviations > 1e-9]
    if len(target) < _PER_REGRESSOR * (1 + covariates.shape[1]):
        raise UnsupportedOptionError(
            f"{name}: {len(target)} photographs are too few to hold {covariates.shape[1]} others constant"
        )
    slopes = LinearRegression().fit(np.column_stack([target, covariates]), codes).coef_[:, 0]
    length = float(np.linalg.norm(slopes))
    if length == 0 or not np.isfinite(length):
        raise UnsupportedOptionError(f"{name}: codes do not depend on it; there is nothing to find")
    return slopes / length, length


def _svm(codes: np.ndarray, target: np.ndarray, name: str) -> tuple[np.ndarray, float]:
    """Normal of the plane between the upper and the lower part, and the spread of codes along it."""
    from sklearn.svm import LinearSVC

    low, high = np.quantile(target, [_TAIL, 1 - _TAIL])
    # A label of two values has no middle.
    chosen = (target <= low) | (target >= high) if low < high else np.ones(len(target), bool)
    upper = target[chosen] > (low + high) / 2 if low < high else target[chosen] > 0
    if upper.all() or not upper.any():
        raise UnsupportedOptionError(f"{name}: all photographs lie on one side; there is nothing to find")
    centred = codes[chosen] - codes.mean(0)
    spread = float(centred.std())
    normal = LinearSVC(C=0.01, random_state=0, max_iter=20_000).fit(centred / spread, upper).coef_[0]
    normal = normal / np.linalg.norm(normal)
    return normal, float((codes @ normal).std())
