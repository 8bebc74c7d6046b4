"""Regions drawn from landmarks: where they lie on a real face."""

from __future__ import annotations

import numpy as np
import pytest

from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.masks.regions import region_masks


@pytest.fixture(scope="module")
def points(hopper_face):
    return ffhq_alignment(hopper_face.landmarks, 256).to_crop(hopper_face.landmarks)


def test_each_region_lies_on_its_part(points):
    masks = region_masks(points, 256)
    assert masks.shape == (4, 64, 64) and set(np.unique(masks)) == {0, 1}
    lips, nose, brows, eyes = masks
    centre = [np.argwhere(mask).mean(0) for mask in masks]
    assert centre[2][0] < centre[3][0] < centre[1][0] < centre[0][0]
    for mask, part in (
        (lips, slice(48, 60)),
        (nose, slice(27, 36)),
        (brows, slice(17, 27)),
        (eyes, slice(36, 48)),
    ):
        expected = points[part].mean(0)[::-1] / 4
        assert np.linalg.norm(np.argwhere(mask).mean(0) - expected) < 3
        assert 15 < mask.sum() < 400
    assert (masks.sum(0) > 1).sum() <= 6


def test_an_open_mouth_is_no_lip(points):
    opened = points.copy()
    opened[54:60, 1] += 30
    opened[65:68, 1] += 26
    inside = opened[60:68].mean(0)
    lips = region_masks(opened, 256)[0]
    column, row = (inside / 4).astype(int)
    assert lips[row, column] == 0 and lips.sum() > region_masks(points, 256)[0].sum() * 0.5


def test_the_crop_may_have_any_side(points):
    large = region_masks((points + 0.5) * 4 - 0.5, 1024)
    assert np.abs(large - region_masks(points, 256)).mean() < 0.005
    assert region_masks(points, 256, 32).shape == (4, 32, 32)
