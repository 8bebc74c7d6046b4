"""The identity photo's lines and skin enter where they belong, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.masks.mask import eye_masks, hull_mask
from stylegan_swap.methods.warp import method as warp
from stylegan_swap.methods.warp.method import AlignedFace
from stylegan_swap.swapping.finish import texture as carried_texture
from stylegan_swap.swapping.finish.texture import SCALES, with_texture_of

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
    coarse = cv2.GaussianBlur(change, (0, 0), 2 * SCALES[-1] * unit)
    assert np.square(coarse).mean() < 0.02 * np.square(change).mean()
    outside = cv2.dilate(hull_mask(there.landmarks, side), np.ones((25, 25))) < 0.01
    assert outside.mean() > 0.3
    assert np.abs(change)[outside].max() == 0


def test_a_fold_that_nobody_else_shows_stays_behind(astronaut, astronaut_face):
    """A fold on the identity's cheek enters where drawing or attribute photo have something, else hardly."""
    face = face_of(astronaut, astronaut_face, 256)
    # On bare skin: below the eye, beside the mouth.
    x, y = (int(at) for at in 0.5 * (face.landmarks[46] + face.landmarks[54]))
    fold = np.zeros((256, 256), np.float32)
    cv2.line(fold, (x, y - 5), (x, y + 5), 60.0, 3)
    folded = face.image - cv2.GaussianBlur(fold, (0, 0), 1.0)[..., None]
    identity = AlignedFace(folded, face.landmarks)
    place = fold > 30

    def depth(drawing, photo):
        with_it = with_texture_of(drawing, identity, photo, face.landmarks, RESOLVED)
        without = with_texture_of(drawing, face, photo, face.landmarks, RESOLVED)
        return float((without - with_it)[place].mean())

    # Skin as smooth as a network draws it.
    smooth = cv2.GaussianBlur(face.image, (0, 0), 5.0)
    creased = smooth + folded - face.image
    whole = float((face.image - folded)[place].mean())
    assert depth(smooth, smooth) < 0.5 * whole
    assert depth(smooth, creased) > 0.7 * whole
    assert depth(creased, smooth) > 0.7 * whole


def test_a_flat_light_is_made_up_for_up_to_a_bound(astronaut, astronaut_face):
    """An identity photo of half the contrast gives lines as strong as the attribute photo's, or nearly."""
    face = face_of(astronaut, astronaut_face, 256)
    soft = cv2.GaussianBlur(face.image, (0, 0), 4.0)
    inside = cv2.erode(hull_mask(face.landmarks, 256, forehead=0.0), np.ones((25, 25))) > 0.5
    strengths = []
    for contrast in (1.0, 0.6, 0.1):
        flat = face.image.mean() + contrast * (face.image - face.image.mean())
        result = with_texture_of(
            soft, AlignedFace(flat, face.landmarks), face.image, face.landmarks, RESOLVED
        )
        # Without the grain, which has a bound of its own.
        fine = cv2.GaussianBlur(result, (0, 0), 1.0) - cv2.GaussianBlur(result, (0, 0), 3.0)
        strengths.append(float(fine[inside].std()))
    assert strengths[1] > 0.85 * strengths[0]
    assert strengths[2] < 0.32 * strengths[0]


def test_grain_is_the_attribute_photo_s_in_strength(astronaut, astronaut_face):
    """One lightly noisy identity photo gives more grain to a noisy attribute photo than to a clean one."""
    face = face_of(astronaut, astronaut_face, 256)
    noise = np.random.default_rng(0).normal(0, 4.0, (256, 256, 1)).astype(np.float32)
    inside = cv2.erode(hull_mask(face.landmarks, 256, forehead=0.0), np.ones((25, 25))) > 0.5
    soft = cv2.GaussianBlur(face.image, (0, 0), 4.0)

    def grain(photo, identity):
        result = with_texture_of(soft, AlignedFace(identity, face.landmarks), photo, face.landmarks, RESOLVED)
        return float((result - cv2.GaussianBlur(result, (0, 0), 1.0))[inside].std())

    smooth = cv2.GaussianBlur(face.image, (0, 0), 2.0)
    noisy, faint = smooth + noise, smooth + 0.5 * noise
    assert grain(noisy, faint) > 1.3 * grain(smooth, faint)
    assert grain(noisy, noisy) < 1.1 * float((noisy - cv2.GaussianBlur(noisy, (0, 0), 1.0))[inside].std())


def test_colours_of_the_identity_s_light_stay_behind(astronaut, astronaut_face):
    """A wide red spot on the identity's cheek is its light; a narrow one is its skin."""
    face = face_of(astronaut, astronaut_face, 256)
    cheek = 0.5 * (face.landmarks[31] + face.landmarks[3])
    rows, columns = np.mgrid[:256, :256]
    away = np.hypot(columns - cheek[0], rows - cheek[1])
    reds = []
    for radius in (3.0, 16.0):
        spot = np.exp(-0.5 * (away / radius) ** 2)[..., None] * np.array([20.0, -10.0, -10.0])
        spotted = AlignedFace((face.image + spot).astype(np.float32), face.landmarks)
        results = [
            with_texture_of(face.image, one, face.image, face.landmarks, RESOLVED) for one in (spotted, face)
        ]
        change = results[0] - results[1]
        reds.append(float((change[..., 0] - change[..., 1])[away < 0.5 * radius].mean()) / 30.0)
    assert reds[0] > 0.4
    assert reds[1] < 0.25


def test_a_blurred_photo_gives_little(hopper, hopper_face, astronaut, astronaut_face):
    identity, there = face_of(hopper, hopper_face, 256), face_of(astronaut, astronaut_face, 256)
    # Twice as softly as the coarsest octave, on two pixels for each that is resolved.
    blurred = AlignedFace(cv2.GaussianBlur(identity.image, (0, 0), 2 * SCALES[-1] * 2), identity.landmarks)
    sharp, soft = (
        with_texture_of(there.image, one, there.image, there.landmarks, RESOLVED) - there.image
        for one in (identity, blurred)
    )
    # Even its light is the attribute photo's, so that something of the coarsest octave is there to give.
    assert np.abs(soft).mean() < 0.35 * np.abs(sharp).mean()


def test_eyes_look_where_they_are_drawn_to_look(monkeypatch, astronaut, astronaut_face):
    """Of an identity photo with dark eyes only fine lines enter between the lids."""
    face = face_of(astronaut, astronaut_face, 256)
    lids = eye_masks(face.landmarks, 256)
    dark = AlignedFace(face.image * (1 - 0.6 * lids[..., None]), face.landmarks)

    def change():
        results = [
            with_texture_of(face.image, one, face.image, face.landmarks, RESOLVED) for one in (dark, face)
        ]
        return float((results[1] - results[0])[lids > 0.9].mean())

    kept = change()
    monkeypatch.setattr(carried_texture, "GAZE_TO_SIGMA", np.inf)
    assert change() > 10
    assert kept < 0.75 * change()


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


def test_eyes_have_the_identity_s_colour(astronaut, astronaut_face):
    """Of an identity photo with greener eyes the green enters, between the lids and not beside them."""
    face = face_of(astronaut, astronaut_face, 256)
    lids = eye_masks(face.landmarks, 256)
    green = AlignedFace(face.image + lids[..., None] * np.float32([-12.0, 12.0, -12.0]), face.landmarks)
    results = [
        with_texture_of(face.image, one, face.image, face.landmarks, RESOLVED) for one in (green, face)
    ]
    change = results[0] - results[1]
    greener = change[..., 1] - change[..., [0, 2]].mean(2)
    assert greener[lids > 0.9].mean() > 12
    beside = (eye_masks(face.landmarks, 256, 0.05) > 0.5) & (eye_masks(face.landmarks, 256, 0.03) < 0.5)
    assert np.abs(greener[beside]).mean() < 3
