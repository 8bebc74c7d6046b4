"""One aligned face of a training set, kept as a small JPEG with what is known about it.

First step of the training data: ``photo_folder`` makes crops of photographs, ``pack`` stores them,
``photos`` hands them out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stylegan_swap.errors import ImageReadError
from stylegan_swap.faces.geometry.align import ffhq_alignment, ffhq_side
from stylegan_swap.faces.masks.glasses import wears_glasses

# About 16 kB at 256 px; the errors stay below two grey levels on average.
JPEG_QUALITY = 92


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """An aligned face.

    Attributes:
        name: the file it comes from, relative to its folder.
        person: who is shown; photos of one person share the name.
        expression: ``neutral``, ``smiling``, or empty where nobody noted it.
        source: the collection (folder) the photo belongs to.
        sharp_side: side of the FFHQ crop in the original photo, pixels; more detail than that the crop
            cannot show.
        glasses: whether the person wears glasses.
        side: side of the stored crop in pixels.
        landmarks: float32 ``[68, 2]`` in crop pixels.
        jpeg: the crop, encoded.
    """

    name: str
    person: str
    expression: str
    source: str
    sharp_side: float
    glasses: bool
    side: int
    landmarks: np.ndarray
    jpeg: bytes

    def image(self) -> np.ndarray:
        """Decode the crop, uint8 RGB ``[side, side, 3]``.

        Raises:
            ImageReadError: the stored bytes are damaged.
        """
        pixels = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR) if self.jpeg else None
        if pixels is None or pixels.shape != (self.side, self.side, 3):
            raise ImageReadError(f"{self.name}: the stored crop is damaged; pack the photos again")
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def crop_face(
    pixels: np.ndarray,
    landmarks: np.ndarray,
    side: int,
    *,
    name: str,
    person: str,
    expression: str = "",
    source: str = "",
) -> FaceCrop:
    """Align a face and keep it.

    Args:
        pixels: the photo, uint8 RGB ``[H, W, 3]``.
        landmarks: ``[68, 2]`` in photo pixels.
        side: side of the crop in pixels.
        name: see ``FaceCrop``, as are ``person``, ``expression`` and ``source``.
        person: see there.
        expression: see there.
        source: see there.

    Raises:
        ImageReadError: the landmarks span no face.
    """
    try:
        alignment = ffhq_alignment(landmarks, side)
    except ValueError as error:
        raise ImageReadError(f"{name}: {error}; correct its landmarks or leave the photo out") from error
    crop = alignment.crop(pixels)
    points = alignment.to_crop(landmarks)
    return FaceCrop(
        name=name,
        person=person,
        expression=expression,
        source=source,
        sharp_side=ffhq_side(landmarks),
        glasses=wears_glasses(crop, points),
        side=side,
        landmarks=points,
        jpeg=_encoded(crop),
    )


def _encoded(crop: np.ndarray) -> bytes:
    """Full colour resolution: lips and irises are small at these sizes."""
    pixels = cv2.cvtColor(np.clip(np.rint(crop), 0, 255).astype(np.uint8), cv2.COLOR_RGB2BGR)
    options = [
        *(cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()
