"""The FFHQ crop: the published rule, an exact inverse, no aliasing, reflection where the photo ends."""

from __future__ import annotations

import cmath

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from stylegan_swap.faces.geometry.align import Alignment, ffhq_alignment, ffhq_side, laid_onto, resample


def drawing(seed: int = 0) -> np.ndarray:
    """68 points of a plausible face: eyes at ±30, mouth corners 60 below, everything jittered a little."""
    points = np.random.default_rng(seed).normal(0, 25, (68, 2)) + np.array([0, 30])
    jitter = np.random.default_rng(seed + 1).normal(0, 2, (68, 2))
    for part, place in (
        (range(36, 42), (-30, 0)),
        (range(42, 48), (30, 0)),
        ([48], (-20, 60)),
        ([54], (20, 60)),
    ):
        points[part] = np.array(place) + jitter[part]
    return points


def psnr(first, second):
    return -10 * np.log10(np.mean(np.square((np.asarray(first, float) - second) / 255)))


def ffhq_corners(points) -> np.ndarray:
    """Corners of the crop by the published rule, in complex numbers, clockwise from the upper left.

    The axis lies between the eye line and the perpendicular of the line to the mouth; half the side is
    twice the distance of the eyes, or 1.8 times that to the mouth; the centre is a tenth of the way down.
    """
    z = points[:, 0] + 1j * points[:, 1]
    left, right, mouth = z[36:42].mean(), z[42:48].mean(), (z[48] + z[54]) / 2
    eyes = (left + right) / 2
    axis = (right - left) - 1j * (mouth - eyes)
    half = max(2 * abs(right - left), 1.8 * abs(mouth - eyes)) * axis / abs(axis)
    centre = eyes + 0.1 * (mouth - eyes)
    return np.array([centre + half * step for step in (-1 - 1j, 1 - 1j, 1 + 1j, -1 + 1j)])


# ---- the rule


def test_a_face_that_can_be_done_by_hand():
    points = np.zeros((68, 2))
    points[36:42], points[42:48], points[48], points[54] = (-30, 0), (30, 0), (-20, 60), (20, 60)
    # Eyes 60 apart: half side max(120, 108) = 120; centre (0, 6): from (-120, -114), one to one.
    assert ffhq_side(points) == pytest.approx(240)
    alignment = ffhq_alignment(points, 240)
    np.testing.assert_allclose(alignment.matrix, [[1, 0, 119.5], [0, 1, 113.5]], atol=1e-12)
    assert alignment.scale == pytest.approx(1)


def test_a_long_face_is_measured_by_its_mouth():
    points = np.zeros((68, 2))
    points[36:42], points[42:48], points[48], points[54] = (-30, 0), (30, 0), (-20, 100), (20, 100)
    assert ffhq_side(points) == pytest.approx(2 * 1.8 * 100)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [64, 256, 1000])
def test_the_published_rule_derived_afresh(seed, size):
    turn = cmath.rect(1 + seed, 0.7 * seed)
    z = drawing(seed) @ [1, 1j] * turn + 300
    points = np.stack([z.real, z.imag], 1)
    corners = ffhq_corners(points)
    carried = ffhq_alignment(points, size).to_crop(np.stack([corners.real, corners.imag], 1))
    ends = (-0.5, size - 0.5)  # pixel edges: centres have integer coordinates
    expected = [(ends[0], ends[0]), (ends[1], ends[0]), (ends[1], ends[1]), (ends[0], ends[1])]
    np.testing.assert_allclose(carried, expected, atol=1e-3)
    assert ffhq_side(points) == pytest.approx(abs(corners[1] - corners[0]))


def test_eyes_and_mouth_come_to_their_known_places_in_the_crop(astronaut_face, hopper_face):
    for face in (astronaut_face, hopper_face):
        points = ffhq_alignment(face.landmarks, 1024).to_crop(face.landmarks)
        left, right = points[36:42].mean(0), points[42:48].mean(0)
        assert abs(left[1] - right[1]) < 60
        assert left[0] == pytest.approx(385, abs=45) and right[0] == pytest.approx(640, abs=45)
        assert (left[1] + right[1]) / 2 == pytest.approx(480, abs=40)


@pytest.mark.parametrize(
    "points",
    [np.zeros((68, 2)), np.full((68, 2), 77.0), np.full((68, 2), np.nan), drawing() * 1e-4],
    ids=["zeros", "one point", "nan", "tiny"],
)
def test_landmarks_without_a_face_are_refused(points):
    with pytest.raises(ValueError, match="span no face"):
        ffhq_alignment(points, 256)


poses = st.tuples(
    st.floats(0.1, 20), st.floats(-np.pi, np.pi), st.floats(-3000, 3000), st.floats(-3000, 3000)
)


@settings(max_examples=80, deadline=None)
@given(pose=poses, seed=st.integers(0, 50), size=st.sampled_from([64, 256, 1024]))
def test_the_crop_is_the_same_wherever_the_face_is(pose, seed, size):
    scale, turn, x, y = pose
    points = drawing(seed)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = points @ linear.T + [x, y]
    still, there = ffhq_alignment(points, size), ffhq_alignment(moved, size)
    np.testing.assert_allclose(there.to_crop(moved), still.to_crop(points), atol=1e-3 * size / 64)
    assert there.scale * scale == pytest.approx(still.scale)
    full = [np.vstack([m, [0, 0, 1]]) for m in (there.matrix, there.inverse)]
    np.testing.assert_allclose(full[0] @ full[1], np.eye(3), atol=1e-9)
    np.testing.assert_allclose(there.to_photo(there.to_crop(moved)), moved, atol=0.01)


# ---- pixels


@pytest.mark.parametrize("size", [128, 256])
def test_matrix_times_inverse_is_the_identity(hopper_face, size):
    alignment = ffhq_alignment(hopper_face.landmarks, size)
    whole, back = (np.vstack([m, [0, 0, 1]]) for m in (alignment.matrix, alignment.inverse))
    np.testing.assert_allclose(whole @ back, np.eye(3), atol=1e-9)


@pytest.mark.parametrize(
    ("x", "y"), [(0, 0), (-10, 4), (25, 30), (-60, -55), (70, 10), (-150, 20)], ids=lambda value: str(value)
)
def test_beyond_the_photo_it_is_reflected(x, y):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    crop = Alignment(np.array([[1.0, 0, -x], [0, 1, -y]]), 40).crop(pixels)
    padded = np.pad(pixels, ((300, 300), (300, 300), (0, 0)), mode="reflect")
    np.testing.assert_allclose(crop, padded[300 + y : 340 + y, 300 + x : 340 + x], atol=1e-3)


def test_a_crop_is_what_opencv_cuts_from_the_whole_photo(hopper, hopper_face):
    """The region that is needed is cut out first; that must not show."""
    alignment = ffhq_alignment(hopper_face.landmarks, 512)
    assert alignment.scale > 1  # cubic, no low-pass
    whole = cv2.warpAffine(
        hopper.astype(np.float32),
        alignment.matrix,
        (512, 512),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    crop = alignment.crop(hopper)
    assert crop.dtype == np.float32 and crop.min() >= 0 and crop.max() <= 255
    assert np.abs(crop - whole.clip(0, 255)).max() < 6 and np.abs(crop - whole.clip(0, 255)).mean() < 0.1


def test_resized_shows_the_same_part(hopper, hopper_face):
    large = ffhq_alignment(hopper_face.landmarks, 512)
    small = large.resized(128)
    assert small.size == 128 and small.scale == pytest.approx(large.scale / 4)
    np.testing.assert_allclose(small.matrix, ffhq_alignment(hopper_face.landmarks, 128).matrix, atol=1e-9)
    np.testing.assert_allclose(small.resized(512).matrix, large.matrix, atol=1e-9)
    reduced = cv2.resize(large.crop(hopper), (128, 128), interpolation=cv2.INTER_AREA)
    assert psnr(small.crop(hopper), reduced) > 30


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_a_checkerboard_shrunk_eight_times_is_flat(channels):
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    board = np.broadcast_to(board.reshape(256, 256, *[1] * len(channels)), (256, 256, *channels))
    # Without a low-pass every sample would fall on a white pixel.
    matrix = np.array([[1 / 8, 0, 0], [0, 1 / 8, 0]])
    small = resample(np.ascontiguousarray(board), matrix, (32, 32))[2:-2, 2:-2]
    assert small.std() < 0.5 and small.mean() == pytest.approx(127.5, abs=0.5)


def test_what_the_smaller_picture_can_show_survives_the_shrinking():
    wave = 127.5 + 100 * np.sin(2 * np.pi * np.arange(256) / 64)
    pixels = np.broadcast_to(wave, (256, 256)).astype(np.float32)
    matrix = np.array([[1 / 8, 0, 0.5 / 8 - 0.5], [0, 1 / 8, 0.5 / 8 - 0.5]])
    small = resample(np.ascontiguousarray(pixels), matrix, (32, 32))
    expected = 127.5 + 100 * np.sin(2 * np.pi * (np.arange(32) * 8 + 3.5) / 64)
    # Eight pixels a period: at least three quarters of its contrast, in its own place.
    gain = (small[16] - 127.5) @ (expected - 127.5) / np.sum((expected - 127.5) ** 2)
    assert 0.75 < gain <= 1.01
    assert np.abs(small[16, 4:-4] - 127.5 - gain * (expected[4:-4] - 127.5)).max() < 5


def test_enlarging_does_not_leave_the_range_of_the_input():
    pixels = np.full((20, 20, 3), 10, np.uint8)
    pixels[:, 10:] = 240
    large = resample(pixels, np.array([[4.0, 0, 1.5], [0, 4.0, 1.5]]), (80, 80), border=cv2.BORDER_REPLICATE)
    assert large.min() == 10 and large.max() == 240


def test_points_are_laid_onto_others():
    rng = np.random.default_rng(0)
    source = rng.uniform(0, 100, (20, 2))
    turn = 1.7 * np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    target = source @ turn.T + [30, -12]
    np.testing.assert_allclose(laid_onto(source, source, target), target, atol=1e-9)
    noisy = target + rng.normal(0, 3, target.shape)
    fit = SimilarityTransform.from_estimate(source, noisy)
    np.testing.assert_allclose(laid_onto(source[:3], source, noisy), fit(source[:3]), atol=1e-9)
    with pytest.raises(ValueError, match="one place"):
        laid_onto(source, np.ones((5, 2)), target[:5])
    with pytest.raises(ValueError, match="one place"):
        laid_onto(source, np.full((5, 2), np.nan), target[:5])
