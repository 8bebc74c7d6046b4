"""The identity photo's lines and skin enter where they belong, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stylegan_swap.carried_texture import SCALE, with_texture_of
from stylegan_swap.faces.align import ffhq_alignment
from stylegan_swap.faces.mask import eye_masks, hull_mask
from stylegan_swap.methods import warp
from stylegan_swap.methods.warp import AlignedFace

RESOLVED = 128


def face_of(pixels, found, side):
    place = ffhq_alignment(found.landmarks, side)
    return AlignedFace(place.crop(pixels).astype(np.float32), place.to_crop(found.landmarks))


def drawn_softly(image, side):
    """As a network draws: what is finer than its pixels is blurred and blotched."""
    unit = side / RESOLVED
    blotches = np.random.default_rng(0).normal(0, 60, image.shape).astype(np.float32)
    soft = cv2.GaussianBlur(image, (0, 0), 1.2 * unit)
    return soft + cv2.GaussianBlur(blotches, (0, 0), unit) - cv2.GaussianBlur(blotches, (0, 0), 2 * unit)


@pytest.mark.parametrize("side", [256, 512, 700])
def test_a_person_s_own_photo_brings_the_lines_back(astronaut, astronaut_face, side):
    face = face_of(astronaut, astronaut_face, side)
    soft = drawn_softly(face.image, side)
    result = with_texture_of(soft, face, face.image, face.landmarks, RESOLVED)
    assert result.shape == face.image.shape and result.dtype == np.float32
    inside = hull_mask(face.landmarks, side, forehead=0.0) > 0.5
    inside &= cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) > 0.06 * side
    before, after = (np.abs(one - face.image)[inside].mean() for one in (soft, result))
    assert after < 0.55 * before


def test_only_what_is_fine_changes_and_only_in_the_face(hopper, hopper_face, astronaut, astronaut_face):
    side, unit = 256, 2.0
    identity, there = face_of(hopper, hopper_face, side), face_of(astronaut, astronaut_face, side)
    result = with_texture_of(there.image, identity, there.image, there.landmarks, RESOLVED)
    change = result - there.image
    assert np.abs(change).max() > 10
    coarse = cv2.GaussianBlur(change, (0, 0), 3 * SCALE * unit)
    assert np.square(coarse).mean() < 0.02 * np.square(change).mean()
    outside = cv2.dilate(hull_mask(there.landmarks, side), np.ones((25, 25))) < 0.01
    assert outside.mean() > 0.3
    assert np.abs(change)[outside].max() == 0


def test_a_blank_drawing_stays_blank(hopper, hopper_face, astronaut, astronaut_face):
    """Lines that the network has not drawn are not brought in by the photo."""
    identity, there = face_of(hopper, hopper_face, 256), face_of(astronaut, astronaut_face, 256)
    blank = np.full_like(there.image, 128.0)
    result = with_texture_of(blank, identity, there.image, there.landmarks, RESOLVED)
    drawn = with_texture_of(there.image, identity, there.image, there.landmarks, RESOLVED)
    assert np.abs(result - blank).mean() < 0.05 * np.abs(drawn - there.image).mean()


def test_a_blurred_photo_gives_nothing(hopper, hopper_face, astronaut, astronaut_face):
    identity, there = face_of(hopper, hopper_face, 256), face_of(astronaut, astronaut_face, 256)
    # Twice as softly as what counts as fine, on two pixels for each that is resolved.
    blurred = AlignedFace(cv2.GaussianBlur(identity.image, (0, 0), 2 * SCALE * 2), identity.landmarks)
    sharp, soft = (
        with_texture_of(there.image, one, there.image, there.landmarks, RESOLVED) - there.image
        for one in (identity, blurred)
    )
    assert np.abs(soft).mean() < 0.2 * np.abs(sharp).mean()


def test_glasses_of_the_identity_stay_behind(monkeypatch, hopper, hopper_face, astronaut, astronaut_face):
    identity, there = face_of(hopper, hopper_face, 256), face_of(astronaut, astronaut_face, 256)
    frames = warp._carried_glasses(identity, there.landmarks, 256) > 0.99
    assert 300 < frames.sum() < 6000
    assert not warp._carried_glasses(there, identity.landmarks, 256).any()
    bare = with_texture_of(there.image, identity, there.image, there.landmarks, RESOLVED) - there.image
    monkeypatch.setattr(warp, "_carried_glasses", lambda *_: np.zeros((256, 256), np.float32))
    worn = with_texture_of(there.image, identity, there.image, there.landmarks, RESOLVED) - there.image
    assert np.abs(bare)[frames].max() < 0.5
    assert np.abs(worn)[frames].mean() > 3
    # Eyes behind the lenses are seen.
    eyes = eye_masks(there.landmarks, 256) > 0.9
    assert np.abs(bare)[eyes].mean() > 1
