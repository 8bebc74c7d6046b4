"""The soft face mask: nothing outside the hull, all of the inside, an edge of the stated width."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.masks.mask import (
    eye_masks,
    feathered,
    fill_polygon,
    hull_mask,
    hull_points,
    inner_mouth_mask,
    raised_brows,
    soft_mask,
)


@pytest.fixture(scope="module", params=["astronaut_face", "hopper_face"])
def points(request):
    face = request.getfixturevalue(request.param)
    return ffhq_alignment(face.landmarks, 256).to_crop(face.landmarks)


# The filled outline reaches a pixel too far: half of it is OpenCV's anti-aliasing, half the distance of a
# pixel inside to the next one outside.
OUTLINE = 1.0


def depth(points, size, forehead=0.9):
    """Signed distance of each pixel to the hull's outline, positive inside."""
    hull = cv2.convexHull(hull_points(points, forehead))
    return np.array([[cv2.pointPolygonTest(hull, (x, y), True) for x in range(size)] for y in range(size)])


def test_0_outside_the_hull_1_inside_and_a_smooth_rise_of_the_stated_width(points):
    mask, inside = soft_mask(points, 256, feather=0.06), depth(points, 256)
    width = 0.06 * 256
    assert mask.dtype == np.float32 and mask.shape == (256, 256)
    assert (mask[inside < -OUTLINE - 0.5] == 0).all()
    assert (mask[inside > width] == 1).all() and (inside > width).sum() > 5000
    assert ((mask > 0) & (mask < 1))[(inside > 0) & (inside < width - 2)].all()
    ramp = np.clip((inside + OUTLINE) / width, 0, 1)
    assert np.abs(mask - ramp**2 * (3 - 2 * ramp)).max() < 0.08
    assert max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) < 1.8 / width


@pytest.mark.parametrize("feather", [0.02, 0.1])
def test_the_feather_is_a_share_of_the_side(points, feather):
    inside = depth(points, 256)
    mask = soft_mask(points, 256, feather=feather)
    middle = inside[(mask > 0.3) & (mask < 0.7)]
    assert middle.mean() == pytest.approx(feather * 256 / 2 - OUTLINE, abs=0.4)
    coarse = soft_mask((points + 0.5) / 2 - 0.5, 128, feather=feather)
    assert coarse.mean() == pytest.approx(mask.mean(), rel=0.05)


def test_more_forehead_is_more_face_and_nothing_is_lost(points):
    masks = [hull_mask(points, 256, forehead) for forehead in (0.0, 0.5, 0.9, 1.5)]
    areas = [mask.sum() for mask in masks]
    assert areas == sorted(areas) and areas[-1] > 1.15 * areas[0]
    for smaller, larger in itertools.pairwise(masks):
        assert (larger > 0.5)[smaller > 0.99].all()


def test_brows_are_raised_along_the_faces_own_vertical(points):
    moved = raised_brows(points, 1.0) - points[17:27]
    eyes = (points[36:42].mean(0) + points[42:48].mean(0)) / 2
    np.testing.assert_allclose(moved, np.tile(points[17:27].mean(0) - eyes, (10, 1)), atol=1e-4)
    assert (moved[:, 1] < -10).all()
    upside_down = 255 - points
    assert (raised_brows(upside_down, 1.0) - upside_down[17:27])[:, 1].min() > 10


def test_a_hull_that_leaves_the_crop_ends_smoothly_at_its_border(points):
    mask = soft_mask(points + np.array([100, 0]), 256, feather=0.06)
    assert mask[:, -1].max() < 0.02 and mask.max() == 1
    assert np.abs(np.diff(mask, axis=1)).max() < 0.12


def test_feathering_nothing_and_a_single_pixel():
    assert not feathered(np.zeros((8, 8), np.float32), 3).any()
    dot = np.zeros((9, 9), np.float32)
    dot[4, 4] = 1
    assert feathered(dot, 0.0)[4, 4] == 1 and feathered(dot, 0.0).sum() == 1
    assert 0 < feathered(dot, 10)[4, 4] < 0.05


def test_fill_polygon_has_the_polygons_area_and_less_than_a_pixel_round_it():
    square = np.array([[10.25, 10.25], [30.75, 10.25], [30.75, 40.5], [10.25, 40.5]])
    area, outline = 20.5 * 30.25, 2 * (20.5 + 30.25)
    assert area < fill_polygon(square, 64).sum() < area + outline
    assert fill_polygon(square, 64)[20, 20] == 1 and fill_polygon(square, 64)[:8].sum() == 0
    assert fill_polygon(square + 200, 64).sum() == 0


@pytest.mark.parametrize(("make", "part"), [(eye_masks, slice(36, 48)), (inner_mouth_mask, slice(60, 68))])
def test_features_lie_on_their_landmarks_and_grow(points, make, part):
    small, grown = make(points, 256), make(points, 256, 0.02)
    low, high = points[part].min(0) - 1, points[part].max(0) + 1
    rows, columns = np.nonzero(small > 0.5)
    assert (columns >= low[0]).all() and (columns <= high[0]).all()
    assert (rows >= low[1]).all() and (rows <= high[1]).all()
    assert grown.sum() > small.sum() + 100 and grown.max() <= 1
    if make is eye_masks:
        centres = points[36:48].reshape(2, 6, 2).mean(1).round().astype(int)
        assert [small[y, x] for x, y in centres] == [1, 1]
