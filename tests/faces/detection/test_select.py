"""Which face is meant: by word, by number, or by a photo of the person."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from stylegan_swap.errors import FaceSelectionError, FaceTooSmallError, NoFaceError
from stylegan_swap.faces.detection.select import select_faces
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.images.photo import Photo
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity


@pytest.fixture(scope="module")
def embed():
    network = DlibIdentity()

    def describe(photo, face):
        crop = ffhq_alignment(face.landmarks, 256).crop(photo.pixels)
        with torch.no_grad():
            return network.embed(from_pixels(crop))[0].numpy()

    return describe


@pytest.fixture(scope="module")
def group(two_faces):
    return Photo(two_faces, name="group.jpg")


def another_view(pixels):
    """The same person smaller, mirrored and darker."""
    return Photo((cv2.resize(pixels[:, ::-1], None, fx=0.8, fy=0.8) * 0.8).astype(np.uint8), name="view.jpg")


def test_words_and_numbers(group):
    everybody = select_faces(group, "all")
    assert [face.side > 150 for face in everybody] == [False, True]
    for which, expected in (("largest", 1), (0, 0), (1, 1)):
        [chosen] = select_faces(group, which)
        assert np.abs(chosen.box - everybody[expected].box).max() < 3
    with pytest.raises(FaceSelectionError, match=r"group\.jpg: face 2 "):
        select_faces(group, 2)


@pytest.mark.parametrize(("who", "place"), [("astronaut", 0), ("hopper", 1)])
def test_a_reference_photo_picks_its_person(request, group, embed, who, place):
    [chosen] = select_faces(group, another_view(request.getfixturevalue(who)), embed=embed)
    assert (chosen.box[0] > 512) == (place == 1)


def test_nobody_alike(astronaut, hopper, embed):
    with pytest.raises(FaceSelectionError, match=r"hopper: none of the 1 faces .* in astronaut .*limit 0\.6"):
        select_faces(Photo(hopper, name="hopper"), Photo(astronaut, name="astronaut"), embed=embed)


def test_a_reference_without_a_face_is_named(group, embed):
    with pytest.raises(NoFaceError, match=r"^empty\.jpg"):
        select_faces(group, Photo(np.zeros((40, 40, 3), np.uint8), name="empty.jpg"), embed=embed)


def test_wrong_words(group):
    with pytest.raises(ValueError, match="'largest', 'all', a number or a photo, got 'smallest'"):
        select_faces(group, "smallest")
    with pytest.raises(ValueError, match="needs an identity network"):
        select_faces(group, group)


def test_small_faces_are_refused_when_meant_and_left_out_of_all(astronaut, astronaut_face, hopper):
    factor = 29 / astronaut_face.side
    small = cv2.resize(astronaut, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    with pytest.raises(FaceTooSmallError, match=r"^tiny"):
        select_faces(Photo(small, name="tiny"), "all")
    canvas = np.hstack([hopper, np.full((600, 150, 3), 90, np.uint8)])
    canvas[: small.shape[0], 512 : 512 + small.shape[1]] = small
    [only] = select_faces(Photo(canvas), "all")
    assert only.side > 150
    with pytest.raises(FaceTooSmallError):
        select_faces(Photo(canvas), 1)
