"""Which of a photo's faces is meant: the largest, all, the n-th from the left, or one person's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from stylegan_swap.errors import FaceSelectionError
from stylegan_swap.faces.detection.detect import (
    SMALLEST_FACE,
    Face,
    detect_faces,
    face_at,
    largest_face,
    require_size,
)
from stylegan_swap.nn.recognisers.dlib_identity import SAME_PERSON

if TYPE_CHECKING:
    from stylegan_swap.faces.detection.landmarks import LandmarkBackend
    from stylegan_swap.images.photo import Photo

Embed = Callable[["Photo", Face], np.ndarray]


def select_faces(
    photo: Photo,
    which: str | int | Photo,
    *,
    landmarks: LandmarkBackend | str = "dlib",
    embed: Embed | None = None,
) -> list[Face]:
    """Find the faces that are to be swapped, from left to right.

    Args:
        photo: where to look.
        which: ``"largest"``, ``"all"``, a number (from the left, from 0), or a photo of the person meant.
        landmarks: landmark backend or its name.
        embed: photo and face → identity descriptor ``[128]``; needed where ``which`` is a photo.

    Raises:
        NoFaceError: the photo (or the reference photo) shows no face.
        FaceSelectionError: the number is out of range, or nobody looks like the reference.
        FaceTooSmallError: the face meant is too small; with ``"all"``, only if every face is.
        ValueError: ``which`` is another word, or a photo without ``embed``.
    """
    faces = detect_faces(photo.pixels, name=photo.name, landmarks=landmarks, thorough=which != "largest")
    if which == "all":
        large_enough = [face for face in faces if face.side >= SMALLEST_FACE]
        return large_enough or [require_size(largest_face(faces), photo.name)]
    if which == "largest":
        chosen = largest_face(faces)
    elif isinstance(which, int):
        chosen = face_at(faces, which, photo.name)
    elif isinstance(which, str):
        raise ValueError(f"face must be 'largest', 'all', a number or a photo, got {which!r}")
    elif embed is None:
        raise ValueError("choosing a face by a reference photo needs an identity network")
    else:
        chosen = _most_alike(photo, faces, which, embed, landmarks)
    return [require_size(chosen, photo.name)]


def _most_alike(
    photo: Photo, faces: list[Face], reference: Photo, embed: Embed, landmarks: LandmarkBackend | str
) -> Face:
    reference_descriptor = embed(
        reference, largest_face(detect_faces(reference.pixels, name=reference.name, landmarks=landmarks))
    )
    distances = [float(np.linalg.norm(embed(photo, face) - reference_descriptor)) for face in faces]
    best = int(np.argmin(distances))
    if distances[best] > SAME_PERSON:
        raise FaceSelectionError(
            f"{photo.name}: none of the {len(faces)} faces looks like the person in {reference.name} "
            f"(closest distance {distances[best]:.2f}, limit {SAME_PERSON}): use another reference photo, "
            "or a face number"
        )
    return faces[best]
