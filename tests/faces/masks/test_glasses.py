"""Hopper wears glasses, the astronaut does not, and the frames are where they sit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.masks.glasses import BRIDGE_EDGE, bridge_edge, frame_mask, wears_glasses
from stylegan_swap.faces.masks.mask import eye_masks


def aligned(request, who, size=256):
    pixels, face = request.getfixturevalue(who), request.getfixturevalue(f"{who}_face")
    alignment = ffhq_alignment(face.landmarks, size)
    return alignment.crop(pixels), alignment.to_crop(face.landmarks)


@pytest.mark.parametrize(("who", "worn"), [("hopper", True), ("astronaut", False)])
@pytest.mark.parametrize("size", [192, 256, 512])
def test_who_wears_glasses(request, who, worn, size):
    image, points = aligned(request, who, size)
    assert wears_glasses(image, points) is worn
    assert wears_glasses(np.ascontiguousarray(image * 0.75 + 20), points) is worn
    strength = bridge_edge(image, points)
    assert strength > 1.2 * BRIDGE_EDGE if worn else strength < 0.6 * BRIDGE_EDGE


def test_frames_drawn_on_are_noticed(request):
    image, points = aligned(request, "astronaut")
    drawn = image.copy()
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    for eye in (left, right):
        cv2.circle(drawn, tuple(eye.astype(int).tolist()), 22, (20, 20, 20), 3, cv2.LINE_AA)
    bridge = [
        tuple((eye + shift).astype(int).tolist()) for eye, shift in ((left, (22, -3)), (right, (-22, -3)))
    ]
    cv2.line(drawn, *bridge, (20, 20, 20), 3, cv2.LINE_AA)
    assert wears_glasses(drawn, points)
    ring = np.zeros((256, 256), np.uint8)
    for eye in (left, right):
        cv2.circle(ring, tuple(eye.astype(int).tolist()), 22, 1, 1)
    found = frame_mask(drawn, points)
    assert found[ring > 0].mean() > 0.6 > 0.1 > frame_mask(drawn, points).mean()


def test_the_frame_mask_is_thin_lies_round_the_eyes_and_spares_them(request):
    image, points = aligned(request, "hopper")
    mask = frame_mask(image, points)
    assert mask.shape == (256, 256) and mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1
    assert 0.02 < mask.mean() < 0.12
    assert mask[eye_masks(points, 256) > 0.9].mean() < 0.1
    rows, columns = np.nonzero(mask > 0.5)
    across = points[42:48].mean(0)[0] - points[36:42].mean(0)[0]
    level = points[36:48].mean(0)[1]
    assert rows.min() > level - 0.5 * across and rows.max() < level + 0.7 * across
    assert columns.min() < points[36, 0] < points[45, 0] < columns.max()
    assert frame_mask(*aligned(request, "hopper", 512)).shape == (512, 512)


def test_a_mole_is_no_frame(request):
    image, points = aligned(request, "astronaut")
    spot = (points[[1, 31, 41]].mean(0)).round().astype(int)
    marked = image.copy()
    cv2.circle(marked, tuple(spot.tolist()), 3, (20, 20, 20), -1, cv2.LINE_AA)
    assert np.abs(marked - image).max() > 80
    assert frame_mask(marked, points)[spot[1] - 4 : spot[1] + 5, spot[0] - 4 : spot[0] + 5].max() < 0.1


def test_a_face_in_profile_without_a_visible_bridge_wears_none(request):
    image, points = aligned(request, "hopper")
    points[39] = points[42]
    assert bridge_edge(image, points) == 0 and not wears_glasses(image, points)
