"""The seam measure: a step of known height, graded seams, and what must not move it."""

from __future__ import annotations

import numpy as np
import pytest
from corrupted import corrupted, noisy, swapped

from stylegan_swap.metrics.boundary import (
    BoundaryGradient,
    edge_band,
    gradient_magnitude,
)
from stylegan_swap.metrics.sample import Sample, View, look


def seam(sample: Sample) -> float:
    return BoundaryGradient()(sample)["seam"]


def test_gradient_of_a_ramp_is_its_slope():
    ramp = np.repeat((3.0 * np.arange(40))[None, :, None], 40, 0).repeat(3, 2)
    assert gradient_magnitude(ramp)[10:-10, 10:-10] == pytest.approx(3.0, abs=1e-3)


def test_band_lies_on_both_sides_of_the_edge():
    mask = np.zeros((30, 30), np.float32)
    mask[:, 15:] = 1
    columns = np.flatnonzero(edge_band(mask, half_width=4.0)[10])
    # Pixel centres 14 and 15 are half a pixel from the edge: four columns on either side.
    assert columns.tolist() == [11, 12, 13, 14, 15, 16, 17, 18]
    assert not edge_band(np.ones((8, 8))).any()
    assert not edge_band(np.zeros((8, 8))).any()


def test_step_on_a_flat_picture_is_its_height(hopper, hopper_face):
    """A flat photo has gradient 0, so what is left is step / band width over the floor of 0.5."""
    flat = View(np.full_like(hopper, 100), hopper_face.landmarks)
    mask = np.zeros(hopper.shape[:2], np.float32)
    centre = hopper_face.landmarks.mean(0)
    mask[: int(centre[1])] = 1
    stepped = View((flat.pixels + 10 * mask[..., None]).astype(np.uint8), hopper_face.landmarks)
    # 10 grey levels are climbed within the band of 8 px.
    assert seam(Sample(flat, flat, stepped, mask)) == pytest.approx((10 / 8 + 0.5) / 0.5, rel=0.05)


def test_an_untouched_photo_has_no_seam(astronaut):
    view = look(astronaut)
    assert seam(Sample(view, view, view)) == 1.0
    assert seam(Sample(view, view, view, np.zeros(astronaut.shape[:2], np.float32))) == 1.0


def test_warp_leaves_hardly_a_seam(astronaut_swap, hopper_swap):
    assert seam(astronaut_swap) == pytest.approx(1.0, abs=0.1)
    assert seam(hopper_swap) == pytest.approx(1.0, abs=0.1)


def test_seams_are_graded(either_swap):
    def with_step(height):
        return seam(corrupted(either_swap, lambda p, m: p + height * (m > 0.5)))

    values = [with_step(height) for height in (0, 5, 10, 20, 40)]
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.2


def test_other_faults_hardly_move_it(either_swap):
    clean = seam(either_swap)
    assert seam(corrupted(either_swap, noisy(6))) == pytest.approx(clean, abs=0.02)
    cast = corrupted(either_swap, lambda p, m: p + m * np.array([10, 0, -10]))
    assert seam(cast) == pytest.approx(clean, abs=0.03)
    assert seam(swapped(either_swap, either_swap.attribute.pixels)) == 1.0
