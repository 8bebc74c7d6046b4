"""The photos at the training size, decoded once and kept, where they fit into memory.

Used by ``triplets`` and ``draws``; worker processes that are forked share it.
"""

from __future__ import annotations

import numpy as np

from stylegan_swap.training.data.photos import Photos

# 40,000 photos at 128 px. Beyond it every item decodes its own, which takes about a millisecond each.
MOST_BYTES = 2 * 1024**3


class CropCache:
    """Photos at one size.

    Args:
        photos: the training set.
        size: side in pixels.
    """

    def __init__(self, photos: Photos, size: int) -> None:
        self.photos = photos
        self.size = size
        self._kept: np.ndarray | None = None
        if len(photos) * size * size * 3 <= MOST_BYTES:
            self._kept = np.stack([photos.resized(number, size) for number in range(len(photos))])

    def image(self, number: int) -> np.ndarray:
        """uint8 RGB ``[size, size, 3]``; not to be written into."""
        return self.photos.resized(number, self.size) if self._kept is None else self._kept[number]

    def landmarks(self, number: int) -> np.ndarray:
        """float32 ``[68, 2]`` in pixels of that size."""
        return self.photos.landmarks(number, self.size)
