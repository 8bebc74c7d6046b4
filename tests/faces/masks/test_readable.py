"""What of an identity photo may be read."""

from __future__ import annotations

import numpy as np

from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.masks.glasses import readable_face
from stylegan_swap.faces.masks.mask import fill_polygon


def aligned(photo, face, size=128):
    alignment = ffhq_alignment(face.landmarks, size)
    return alignment.crop(photo), alignment.to_crop(face.landmarks)


def test_an_open_mouth_is_not_read(astronaut, astronaut_face):
    crop, points = aligned(astronaut, astronaut_face)
    readable = readable_face(crop, points)
    teeth = fill_polygon(points[60:68], 128) > 0.9
    assert readable[teeth].max() < 0.1
    # A mouth is a small part of a face.
    assert 0.96 < readable.mean() < 1 and np.all(readable[:60] == 1)


def test_glasses_are_not_read(hopper, hopper_face):
    crop, points = aligned(hopper, hopper_face)
    eyes = points[36:48].mean(0).round().astype(int)
    assert readable_face(crop, points)[eyes[1], eyes[0]] == 0
    assert readable_face(crop, points, glasses=False)[eyes[1], eyes[0]] == 1
