"""The photographs a training draws from: aligned faces with landmarks, person and source, by number.

Built from a folder (``photo_folder``) or a packed file (``pack``); read by ``triplets`` and ``draws``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from stylegan_swap.errors import ImageReadError, ImageWriteError
from stylegan_swap.training.data.crops import FaceCrop
from stylegan_swap.training.data.pack import pack_fingerprint, read_pack, write_pack
from stylegan_swap.training.data.photo_folder import fingerprint, read_folder


class Photos:
    """Aligned faces by number.

    Args:
        crops: the faces, all of one side.

    Raises:
        ImageReadError: there are none, or their sides differ.
    """

    def __init__(self, crops: Sequence[FaceCrop]) -> None:
        if not crops:
            raise ImageReadError("no photographs: a training set needs at least one face")
        if len({crop.side for crop in crops}) > 1:
            raise ImageReadError("the crops have different sides; pack the photographs again")
        self.crops = list(crops)
        self.side = crops[0].side

    @classmethod
    def from_folder(
        cls, folder: str | Path, split: str = "train", side: int = 256, cache: str | Path | None = None
    ) -> Photos:
        """Align all faces of a folder; see ``photo_folder`` for what it may hold.

        Args:
            folder: the photographs.
            split: which rows of the manifest; a folder without manifest is all ``train``.
            side: side of the aligned crops in pixels.
            cache: a ``*.faces`` file to take the crops from if they were made from the same files, and to
                write them to otherwise.

        Raises:
            ImageReadError: folder, photos, landmarks or split are missing; the message names the file.
            ImageWriteError: the cache cannot be written.
            NoFaceError: no photo of a folder without manifest shows a face.
        """
        if cache is None:
            return cls(read_folder(Path(folder), split, side))
        made_of = fingerprint(Path(folder), split, side)
        if pack_fingerprint(Path(cache)) == made_of:
            return cls.from_pack(cache)
        photos = cls(read_folder(Path(folder), split, side))
        try:
            Path(cache).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageWriteError(f"{cache}: cannot make its folder ({error}); choose another") from error
        write_pack(photos.crops, Path(cache), fingerprint=made_of)
        return photos

    @classmethod
    def from_pack(cls, file: str | Path) -> Photos:
        """Open a packed file.

        Raises:
            ImageReadError: missing, damaged, or not a pack.
        """
        return cls(read_pack(Path(file)))

    def save_pack(self, file: str | Path) -> None:
        """Write everything into one ``*.faces`` file.

        Raises:
            ImageWriteError: the file cannot be written.
        """
        write_pack(self.crops, Path(file))

    def __len__(self) -> int:
        return len(self.crops)

    def image(self, number: int) -> np.ndarray:
        """The aligned crop, uint8 RGB ``[side, side, 3]``."""
        return self.crops[number].image()

    def resized(self, number: int, size: int) -> np.ndarray:
        """The crop at another side, uint8 RGB ``[size, size, 3]``; averaged when it shrinks."""
        image = self.image(number)
        if size == self.side:
            return image
        method = cv2.INTER_AREA if size < self.side else cv2.INTER_CUBIC
        return cv2.resize(image, (size, size), interpolation=method)

    def landmarks(self, number: int, size: int | None = None) -> np.ndarray:
        """float32 ``[68, 2]`` in pixels of the crop, or of the crop at that size."""
        points = self.crops[number].landmarks
        if size is None or size == self.side:
            return points.copy()
        return ((points + 0.5) * (size / self.side) - 0.5).astype(np.float32)

    def name(self, number: int) -> str:
        """The file the photo comes from."""
        return self.crops[number].name

    def person(self, number: int) -> str:
        """Who is shown."""
        return self.crops[number].person

    def expression(self, number: int) -> str:
        """``neutral``, ``smiling``, or empty."""
        return self.crops[number].expression

    def source(self, number: int) -> str:
        """The collection the photo belongs to."""
        return self.crops[number].source

    def sharp_side(self, number: int) -> float:
        """Side of the FFHQ crop in the original photo, pixels."""
        return self.crops[number].sharp_side

    def wears_glasses(self, number: int) -> bool:
        """Whether the person wears glasses."""
        return self.crops[number].glasses

    def people(self) -> dict[str, list[int]]:
        """Person → numbers of their photos, in order of appearance."""
        numbers: dict[str, list[int]] = {}
        for number, crop in enumerate(self.crops):
            numbers.setdefault(crop.person, []).append(number)
        return numbers
