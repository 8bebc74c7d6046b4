"""The spline: hits its points, is exact for affine maps, and similarities are found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from stylegan_swap.faces.geometry.align import similarity, transformed
from stylegan_swap.faces.geometry.thin_plate import ThinPlate, border_points, moved, thin_plate


@pytest.mark.parametrize("size", [64, 128, 256])
def test_affine_displacements_are_exact(size):
    points = np.random.default_rng(0).uniform(0, size - 1, (20, 2))
    matrix = np.array([[0.05, -0.1, 3.0], [0.02, 0.08, -2.0]])
    field = ThinPlate(points, size).displacements(transformed(points, matrix)[None])[0]
    axis = np.arange(size)
    everywhere = transformed(np.stack(np.meshgrid(axis, axis), axis=-1), matrix)
    np.testing.assert_allclose(field, everywhere, atol=0.01)


def test_points_are_hit_by_each_of_several_maps():
    size, rng = 129, np.random.default_rng(1)
    # Nodes of the coarse grid, on whole pixels: nothing is rounded on the way.
    points = rng.permutation(np.stack(np.meshgrid(*[np.arange(0, 129, 4)] * 2), -1).reshape(-1, 2))[:30]
    values = rng.normal(0, 2, (3, 30, 2))
    fields = ThinPlate(points, size).displacements(values)
    assert fields.shape == (3, size, size, 2)
    at = np.rint(points).astype(int)
    np.testing.assert_allclose(fields[:, at[:, 1], at[:, 0]], values, atol=0.02)


def test_moving_by_a_constant_shifts_the_picture():
    image = np.random.default_rng(2).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    field = np.broadcast_to(np.float32([3, -2]), (32, 32, 2))
    np.testing.assert_allclose(moved(image, field)[4:28, 2:26], image[2:26, 5:29], atol=1e-3)
    np.testing.assert_array_equal(moved(image, np.zeros((32, 32, 2), np.float32)), image)


def test_a_similarity_is_found_again():
    points = np.random.default_rng(3).normal(0, 10, (12, 2))
    matrix = np.array([[1.1, -0.4, 5.0], [0.4, 1.1, -7.0]])
    np.testing.assert_allclose(similarity(points, transformed(points, matrix)), matrix, atol=1e-9)


def test_border_points_lie_on_the_edge():
    points = border_points(100, 5)
    assert len(np.unique(points, axis=0)) == 20
    assert np.all(np.isin(points, (0, 99)).any(1))


def test_the_spline_is_that_of_scipy():
    stream = torch.Generator().manual_seed(0)
    points, values, nodes = (
        torch.rand(2, count, width, generator=stream, dtype=torch.float64)
        for count, width in ((30, 2), (30, 3), (50, 2))
    )
    maps = thin_plate(points, values, nodes, 4e-4)
    for face in range(2):
        # There the kernel is r² log r, half of this one, and so is the smoothing.
        reference = RBFInterpolator(points[face], values[face], kernel="thin_plate_spline", smoothing=2e-4)
        np.testing.assert_allclose(maps[face], reference(nodes[face]), atol=1e-6)
    single = thin_plate(points, values, nodes.float(), 4e-4)
    assert single.dtype == torch.float32 and (single - maps).abs().max() < 1e-3
