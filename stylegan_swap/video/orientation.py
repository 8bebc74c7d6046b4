"""Turn frames upright: clips of phones store the sensor's picture and a matrix that says how to show it.

Follows decoding. Source: ISO/IEC 14496-12, section 6.2.2 (the transformation matrix of a track).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Orientation:
    """A turn by right angles and a mirror.

    Attributes:
        transposed: rows and columns change places, first.
        flip_columns: then left and right.
        flip_rows: then top and bottom.
    """

    transposed: bool = False
    flip_columns: bool = False
    flip_rows: bool = False

    @classmethod
    def of_matrix(cls, matrix: bytes) -> tuple[Orientation, bool]:
        """From the nine 32-bit numbers of a display matrix in the machine's byte order.

        Returns the nearest orientation by right angles, and whether the matrix is exactly that.
        """
        if len(matrix) != 36:
            return cls(), False
        a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
        transposed = abs(b) + abs(c) > abs(a) + abs(d)
        exact = (a, d) == (0, 0) if transposed else (b, c) == (0, 0)
        # Row vectors: x' = a·x + c·y, y' = b·x + d·y.
        across, down = (c, b) if transposed else (a, d)
        return cls(transposed, across < 0, down < 0), exact and abs(across) == abs(down) != 0

    def upright(self, plane: np.ndarray) -> np.ndarray:
        """Apply it to rows and columns of ``[H, W, …]``."""
        if self.transposed:
            plane = plane.swapaxes(0, 1)
        if self.flip_columns:
            plane = plane[:, ::-1]
        if self.flip_rows:
            plane = plane[::-1]
        return np.ascontiguousarray(plane)
