"""Display matrices: the picture is turned as a player would show it."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from stylegan_swap.video.orientation import Orientation

ONE = 1 << 16
PLANE = np.arange(6, dtype=np.uint8).reshape(2, 3)


def matrix(a: float, b: float, c: float, d: float) -> bytes:
    return struct.pack("=9i", *(round(x * ONE) for x in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((1, 0, 0, 1), PLANE),
        # A quarter to the left, as a matrix carries the corner on the right to the top.
        ((0, -1, 1, 0), np.rot90(PLANE)),
        ((-1, 0, 0, -1), np.rot90(PLANE, 2)),
        ((0, 1, -1, 0), np.rot90(PLANE, 3)),
        ((-1, 0, 0, 1), PLANE[:, ::-1]),
        ((1, 0, 0, -1), PLANE[::-1]),
        ((0, 1, 1, 0), PLANE.T),
        ((0, -1, -1, 0), np.rot90(PLANE.T, 2)),
    ],
)
def test_all_eight(numbers, expected):
    orientation, exact = Orientation.of_matrix(matrix(*numbers))
    assert exact
    assert np.array_equal(orientation.upright(PLANE), expected)


def test_other_angles_are_told():
    orientation, exact = Orientation.of_matrix(matrix(0.1, -0.99, 0.99, 0.1))
    assert not exact and orientation == Orientation.of_matrix(matrix(0, -1, 1, 0))[0]
    assert Orientation.of_matrix(b"short") == (Orientation(), False)
