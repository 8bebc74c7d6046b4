"""Reading many photographs: damaged ones are left out and listed, they do not end the work.

Called by whatever reads a folder: training, packing, fitting directions, the gallery of an evaluation.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from stylegan_swap.errors import ImageReadError, StyleganSwapWarning
from stylegan_swap.images.photo import Photo, read_photo

_MOST_LISTED = 20  # names in one warning


class Collection:
    """The photographs of one folder, read one by one.

    Attributes:
        folder: for messages.
        damaged: name → why it could not be read, in the order of reading.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: dict[str, str] = {}

    def read(self, path: Path, name: str) -> Photo | None:
        """The photograph; None if it is damaged, too large or of another format.

        Raises:
            ImageReadError: there is no such file: the list that names it is wrong.
        """
        try:
            return read_photo(path)
        except ImageReadError as error:
            if not path.is_file():
                raise
            self.damaged[name] = str(error).removeprefix(f"{path}: ").partition(";")[0]
            return None

    def list_damaged(self) -> None:
        """Warn once of all that could not be read; silent if there were none."""
        if self.damaged:
            cause = f"{len(self.damaged)} photographs cannot be read and are left out"
            warnings.warn(f"{self.folder}: {cause}: {self.listing}", StyleganSwapWarning, stacklevel=3)

    @property
    def listing(self) -> str:
        """The damaged ones in one line, with reasons."""
        listed = [f"{name} ({reason})" for name, reason in self.damaged.items()]
        more = f" and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
        return ", ".join(listed[:_MOST_LISTED]) + more
