"""Pictures of a run on its way: the clip's frame beside the swapped one, every so many frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stylegan_swap.errors import ImageWriteError
from stylegan_swap.provenance.photo_file import (
    WRITABLE,
    check_writable,
    write_photo,
)
from stylegan_swap.video.swapping import Swapped


class Preview:
    """Writes previews.

    Args:
        path: a picture, which is replaced each time; or a folder, which collects them.
        every: frames from one to the next.
        mark: whether they say that AI was used.

    Raises:
        ImageWriteError: the place cannot be written.
    """

    def __init__(self, path: Path, *, every: int, mark: bool = True) -> None:
        self._path, self._every, self._mark = path, every, mark
        self._single = path.suffix.lower() in WRITABLE and not path.is_dir()
        if self._single:
            check_writable(path, overwrite=True)
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageWriteError(
                f"{path}: the folder cannot be created ({error.strerror}); choose another for previews"
            ) from error

    def __call__(self, swapped: Swapped) -> None:
        """Show a frame if it is its turn."""
        frame = swapped.tracked.frame
        if frame.number % self._every:
            return
        result = frame.pixels if swapped.pixels is None else swapped.pixels
        path = self._path if self._single else self._path / f"frame-{frame.number:06d}.jpg"
        sheet = np.concatenate([frame.pixels, result], axis=1)
        write_photo(path, np.ascontiguousarray(sheet), overwrite=True, mark=self._mark, quality=90)
