"""KID on dlib's features: closed forms of the kernel, size rules, and graded faults of faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.metrics.kid import dlib_features, kid_dlib
from stylegan_swap.metrics.sample import look
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity


def normal(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)) + shift


def test_unbiased_kernel_distance_by_hand():
    """Four against four in one dimension, both halves' subsets written out by a second implementation."""
    photos = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
    swaps = photos + 1
    found = kid_dlib(swaps, photos, allow_few=True, subsets=400)
    deviation = float(photos.std())
    x, y = (swaps / deviation).double().numpy()[:, 0], (photos / deviation).double().numpy()[:, 0]

    def kernel(a, b):
        return (np.outer(a, b) + 1) ** 3

    def mean_off_diagonal(k):
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    exact = mean_off_diagonal(kernel(x, x)) + mean_off_diagonal(kernel(y, y)) - 2 * kernel(x, y).mean()
    # Unbiased: subsets of two have the same expectation as all four.
    assert found.value == pytest.approx(exact, abs=3 * found.deviation / 20)
    assert found.count == 4


def test_same_distribution_is_zero_and_a_shift_is_graded():
    photos = normal(1500, 0)
    same = kid_dlib(normal(1500, 1), photos, subsets=10)
    assert same.name == "kid_dlib"
    assert abs(same.value) < 0.02
    shifted = [kid_dlib(normal(1500, 1, shift), photos, subsets=5).value for shift in (0.2, 0.4, 0.8)]
    assert shifted == sorted(shifted)
    assert shifted[0] > abs(same.value)


def test_scale_of_the_features_does_not_matter():
    a, b = normal(60, 2, 0.3), normal(60, 3)
    one = kid_dlib(a, b, allow_few=True)
    assert kid_dlib(a * 1e-3 + 7, b * 1e-3 + 7, allow_few=True).value == pytest.approx(one.value, rel=0.01)


def test_few_faces_are_refused_or_named():
    with pytest.raises(ValueError, match="give 1000 swaps"):
        kid_dlib(normal(999, 0), normal(2000, 1))
    found = kid_dlib(normal(40, 0), normal(50, 1), allow_few=True)
    assert found.name == "kid_dlib (only 40 faces)"
    assert found == kid_dlib(normal(40, 0), normal(50, 1), allow_few=True)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="features"):
        kid_dlib(normal(4, 0), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="at least 2"):
        kid_dlib(normal(1, 0), normal(1, 1), allow_few=True)


def test_spoiled_faces_are_further_away(astronaut, hopper):
    """Views of two faces, shifted by a few pixels, stand for a set of photos."""
    crops = []
    for photo in (astronaut, hopper):
        view = look(photo)
        for step in range(8):
            moved = view.alignment(160).crop(np.roll(photo, (step % 4, step // 4), (0, 1)))
            crops.append(from_pixels(moved))
    faces = torch.cat(crops)
    network = DlibIdentity()
    photos = dlib_features(faces[::2].split(4), network)
    assert photos.shape == (8, 480)

    def distance(swaps):
        return kid_dlib(dlib_features(swaps.split(4), network), photos, allow_few=True, subsets=20).value

    noise = torch.randn(faces[1::2].shape, generator=torch.Generator().manual_seed(0))
    values = [distance((faces[1::2] + grade * noise).clamp(-1, 1)) for grade in (0.0, 0.1, 0.3)]
    assert values == sorted(values)
    assert dlib_features([], network).shape == (0, 480)
