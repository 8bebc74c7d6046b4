"""Masks as options: kinds, kept regions, edge and padding, on the crop and in a photo."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from stylegan_swap import MaskOptions, Swapper
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.faces.detection.landmarks import LEFT_EYE, NOSE, OUTER_LIPS, RIGHT_EYE
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.masks.mask import fill_polygon, hull_mask, hull_points
from stylegan_swap.faces.masks.mask_options import REGIONS, kept_mask, paste_mask

SIZE = 256


@pytest.fixture(scope="module", params=["astronaut_face", "hopper_face"])
def points(request) -> np.ndarray:
    face = request.getfixturevalue(request.param)
    return ffhq_alignment(face.landmarks, SIZE).to_crop(face.landmarks)


@pytest.fixture
def predicted() -> np.ndarray:
    """A method's mask: a rectangle left of the middle, with a soft edge of 20 pixels."""
    across = np.clip(np.minimum(np.arange(SIZE) - 20, 0.75 * SIZE - np.arange(SIZE)) / 20, 0, 1)
    down = np.clip(np.minimum(np.arange(SIZE) - 20, SIZE - 20 - np.arange(SIZE)) / 20, 0, 1)
    return np.minimum.outer(down, across).astype(np.float32)


def made(options: MaskOptions | str, predicted: np.ndarray, points: np.ndarray) -> np.ndarray:
    mask = paste_mask(MaskOptions.of(options), predicted, points)
    assert mask.dtype == np.float32 and mask.shape == predicted.shape
    assert mask.min() >= 0 and mask.max() <= 1
    return mask


def test_without_options_the_methods_mask_is_taken_as_it_is(predicted, points):
    assert made("predicted", predicted, points) is predicted
    assert np.array_equal(made(MaskOptions("predicted"), predicted, points), predicted)


def test_areas_of_the_kinds(predicted, points):
    """The box holds the hull, the hull the inner face; their areas are those of the shapes."""
    box, hull, inner = (
        made(MaskOptions(kind, blur=0), predicted, points) for kind in ("box", "hull", "inner")
    )
    extent = np.ptp(hull_points(points), axis=0)
    assert box.sum() == pytest.approx(extent[0] * extent[1], rel=0.03)
    assert hull.sum() == pytest.approx(cv2.contourArea(cv2.convexHull(hull_points(points))), rel=0.03)
    assert inner.sum() == pytest.approx(cv2.contourArea(cv2.convexHull(points[17:])), rel=0.05)
    assert (box >= hull - 1e-3)[2:-2, 2:-2].mean() > 0.995
    assert (inner > 0.5)[hull < 0.5].sum() < 0.01 * (inner > 0.5).sum()
    assert 0.2 < inner.sum() / hull.sum() < 0.7
    assert 0.6 < hull.sum() / box.sum() < 0.95


def test_joined_kinds_are_the_smallest_of_each_pixel(predicted, points):
    hull = made("hull", predicted, points)
    assert np.array_equal(made("hull+predicted", predicted, points), np.minimum(hull, predicted))
    assert np.array_equal(made("predicted + hull", predicted, points), np.minimum(hull, predicted))


def test_blur_reaches_inwards_only_and_as_far_as_asked(predicted, points):
    for kind in ("hull", "box", "inner", "predicted"):
        hard, soft, softer = (made(MaskOptions(kind, blur=b), predicted, points) for b in (0.0, 0.05, 0.12))
        assert (soft <= hard + 1e-6).all() and (softer <= soft + 1e-6).all()
        assert softer.sum() < soft.sum() < hard.sum()
        # From the hard edge inwards the mask takes so many pixels to reach 1.
        depth = cv2.distanceTransform((hard > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
        for mask, blur in ((soft, 0.05), (softer, 0.12)):
            inside = (depth > blur * SIZE + 1) & (hard == 1)
            assert (mask[inside] == 1).all()
            # Half way up at half the width; the predicted mask's own ramp of 20 px is wider than 0.05.
            middle = depth[(mask > 0.45) & (mask < 0.55)]
            if kind != "predicted":
                assert np.median(middle) == pytest.approx(blur * SIZE / 2, abs=1.5)


def test_padding_cuts_off_shares_of_the_box(predicted, points):
    whole = made(MaskOptions("box", blur=0), predicted, points)
    width, height = np.ptp(hull_points(points), axis=0)
    for side, padding in enumerate(np.eye(4) * 0.25):
        cut = made(MaskOptions("box", blur=0, padding=tuple(padding)), predicted, points)
        assert cut.sum() == pytest.approx(0.75 * whole.sum(), rel=0.04)
        rows, columns = np.nonzero((whole > 0.5) & (cut < 0.5))
        low, high = hull_points(points).min(0), hull_points(points).max(0)
        # Top, right, bottom, left.
        assert [
            rows.max() < low[1] + 0.25 * height + 2,
            columns.min() > high[0] - 0.25 * width - 2,
            rows.min() > high[1] - 0.25 * height - 2,
            columns.max() < low[0] + 0.25 * width + 2,
        ][side]
    hull = made(MaskOptions("hull", padding=(0, 0, 0.4, 0)), predicted, points)
    assert (hull[points[OUTER_LIPS][:, 1].astype(int), points[OUTER_LIPS][:, 0].astype(int)] == 0).all()
    assert hull.sum() < 0.8 * made("hull", predicted, points).sum()


def test_a_kept_region_is_0_inside_and_little_beyond(points):
    for region, inside in (
        ("mouth", OUTER_LIPS),
        ("eyes", LEFT_EYE),
        ("eyes", RIGHT_EYE),
        ("nose", NOSE),
        ("brows", slice(17, 27)),
    ):
        everything = np.ones((SIZE, SIZE), np.float32)
        mask = made(MaskOptions(keep=(region,)), everything, points)
        for x, y in points[inside]:
            assert mask[round(float(y)), round(float(x))] == 0
        if region in ("mouth", "nose"):
            core = fill_polygon(cv2.convexHull(points[inside]).reshape(-1, 2), SIZE) > 0
            assert core.sum() > 300 and (mask[core] == 0).all()
        kept = (mask < 1).sum() / SIZE**2
        assert 0.01 < kept < 0.2, "a region is a small part of the crop"
        # Elsewhere all of the swap: the face's centre of mass is no part of any of these but the nose.
        cheek = (points[2] + points[31]) / 2
        assert mask[round(float(cheek[1])), round(float(cheek[0]))] == 1


def test_regions_add_up(points):
    each = [kept_mask(points, SIZE, (name,), 5) for name in REGIONS]
    assert np.array_equal(kept_mask(points, SIZE, REGIONS, 5), np.max(each, axis=0))
    assert all(mask.max() == 1 for mask in each)
    forehead = each[REGIONS.index("forehead")]
    assert (hull_mask(points, SIZE)[forehead == 1] > 0).mean() > 0.85
    assert np.argwhere(forehead == 1)[:, 0].max() < points[27:].min(0)[1] + 15


def test_a_region_outside_the_crop_keeps_nothing():
    points = np.full((68, 2), -500, np.float32) + np.random.default_rng(0).uniform(0, 60, (68, 2)).astype("f")
    assert kept_mask(points, SIZE, REGIONS, 5).max() == 0


def test_a_bystander_in_the_crop_is_left_out(predicted, points):
    other = points * 0.5 + [110, 20]
    mask = paste_mask(MaskOptions(), predicted, points, [other, points + 1000])
    face = hull_mask(other.astype(np.float32), SIZE) > 0
    assert (predicted[face] > 0).sum() > 500
    assert (mask[face] == 0).all()
    beyond = cv2.dilate(face.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
    assert np.array_equal(mask[beyond], predicted[beyond])


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
@pytest.mark.parametrize("method", ["warp", "tiny"])
def test_in_a_photo_the_kept_regions_keep_every_bit(name, method, request, tiny_checkpoint):
    photo = request.getfixturevalue(name)
    identity = request.getfixturevalue("hopper" if name == "astronaut" else "astronaut")
    face = request.getfixturevalue(f"{name}_face")
    swapper = Swapper.from_pretrained("warp" if method == "warp" else tiny_checkpoint, device="cpu")
    person = swapper.prepare(identity)
    keep = MaskOptions("hull", keep=("mouth", "eyes", "nose"))
    kept, whole = (np.asarray(swapper(person, photo, mask=mask).image) for mask in (keep, "hull"))
    side = photo.shape[0]
    for part in (OUTER_LIPS, LEFT_EYE, RIGHT_EYE, NOSE):
        polygon = cv2.convexHull(face.landmarks[part].astype(np.float32)).reshape(-1, 2)
        core = fill_polygon(polygon, side)[:, : photo.shape[1]] > 0.5
        assert core.sum() > 20
        assert np.array_equal(kept[core], photo[core])
        assert (whole[core] != photo[core]).any(axis=-1).mean() > 0.9
    changed = (kept != photo).any(axis=-1)
    assert 0.3 < changed.sum() / (whole != photo).any(axis=-1).sum() < 0.95


def test_the_result_tells_the_mask_that_was_used(astronaut, hopper):
    swapper = Swapper.from_pretrained("warp", device="cpu")
    result = swapper(astronaut, hopper, mask=MaskOptions("box", padding=(0, 0, 0.5, 0)))
    aligned = result.faces[0].mask[0].numpy()
    assert np.array_equal(
        aligned,
        paste_mask(
            MaskOptions("box", padding=(0, 0, 0.5, 0)),
            aligned,
            result.faces[0].alignment.to_crop(result.faces[0].landmarks),
        ),
    )
    assert np.array_equal(np.asarray(result.image)[result.mask == 0], hopper[result.mask == 0])
    chin = result.faces[0].landmarks[8].round().astype(int)
    assert result.mask[chin[1] - 5, chin[0]] == 0


def test_wrong_options_are_told():
    for options, text in (
        ({"kind": "hul"}, "unknown mask 'hul': choose from predicted, hull, inner, box"),
        ({"kind": "hull+"}, "unknown mask ''"),
        (
            {"keep": ("ears",)},
            "unknown region to keep 'ears': choose from mouth, eyes, brows, nose, forehead",
        ),
        ({"blur": 0.6}, "mask blur is a share from 0 to 0.5, got 0.6"),
        ({"blur": float("nan")}, "mask blur"),
        ({"padding": (0, 0, 1.2, 0)}, "four shares"),
        ({"padding": (0.1, 0.1)}, "four shares"),
        ({"padding": (0.5, 0, 0.5, 0)}, "leaves nothing of the face"),
    ):
        with pytest.raises(UnsupportedOptionError, match=re.escape(text)):
            MaskOptions(**options)


def test_words_become_regions():
    assert MaskOptions(keep="mouth, eyes").keep == ("mouth", "eyes")
    assert MaskOptions(keep=["mouth", "mouth"]).keep == ("mouth",)
    assert hash(MaskOptions("hull", keep=["eyes"])) == hash(MaskOptions("hull", keep=("eyes",)))
