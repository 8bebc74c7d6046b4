"""FSLSD behind the method protocol, with tiny random weights that read the library's own 68 landmarks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from methods.tiny import tiny_config

from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.methods.fslsd.method import FSLSDMethod, dilated
from stylegan_swap.methods.fslsd.network import FSLSDNetwork

NAME = "fslsd"


def test_the_landmarks_of_both_photos_move_the_codes(method, pair, swapped):
    faces, points = pair
    person = method.prepare(faces, points)
    for id_shift, attr_shift in ((4, 0), (0, 4)):
        moved = method.swap_aligned(
            method.prepare(faces, points + id_shift), faces.flip(0), points.flip(0) + attr_shift
        )
        change = (moved.wplus - swapped.wplus).abs().amax((0, 2))
        assert (change[:7] > 1e-4).all() and (change[7:] == 0).all()
    assert len(person) == 2 and person.points.shape == (2, 68, 2)
    torch.testing.assert_close(person.points, ((points + 0.5) * 4 - 0.5).float())


def test_without_structure_the_codes_are_the_edited_attribute_codes(method, pair):
    faces, points = pair
    off = method.swap_aligned(
        method.prepare(faces, points), faces.flip(0), points.flip(0), {"structure": 0.0}
    )
    own = method.invert(faces.flip(0)).wplus
    torch.testing.assert_close(off.wplus, method.network.swapper.edit(own))


def test_parity_returns_the_whole_picture(method, pair):
    faces, points = pair
    official = FSLSDMethod(method.network, parity=True)
    whole = official.swap_aligned(official.prepare(faces, points), faces.flip(0), points.flip(0))
    own = method.swap_aligned(method.prepare(faces, points), faces.flip(0), points.flip(0))
    assert (whole.mask == 1).all() and own.mask.min() == 0


def test_weights_for_other_landmarks_want_a_detector():
    torch.manual_seed(0)
    network = FSLSDNetwork(tiny_config("fslsd").changed(points=106))
    faces, points = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 68, 2) * 40 + 12
    with pytest.raises(UnsupportedOptionError, match="read 106 landmarks per face, the library finds 68"):
        FSLSDMethod(network).prepare(faces, points)
    seen = []

    def detector(x):
        seen.append(x.shape)
        return torch.rand(len(x), 106, 2, generator=torch.Generator().manual_seed(3)) * 255

    method = FSLSDMethod(network, points=detector)
    person = method.prepare(faces, points)
    assert method.swap_aligned(person, faces, points).image.shape == (2, 3, 64, 64)
    assert seen == [(2, 3, 256, 256)] * 2
    with pytest.raises(ValueError, match=r"points must be \[2, 106, 2\]"):
        FSLSDMethod(network, points=lambda x: detector(x)[:, :68]).prepare(faces, points)


@pytest.mark.parametrize("size", [1024, 512])
def test_the_mask_grows_as_opencv_would_grow_it(size):
    mask = np.zeros((size, size), np.float32)
    mask[200:260, 100:140] = 1
    mask[0:3, size - 3 :] = 1
    side = round(50 * size / 1024)
    expected = cv2.dilate(mask, np.ones((side, side)), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    assert np.array_equal(dilated(torch.from_numpy(mask)[None, None])[0, 0].numpy(), expected)
