"""What a swap gets back of its photos above the network's resolution."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.masks.mask import eye_masks, hull_mask
from stylegan_swap.metrics.sharpness import octave_bands
from stylegan_swap.swapping.finish import detail as fine_detail
from stylegan_swap.swapping.finish.detail import FinePhoto, add_fine_detail, enlarged, fine_side

SIDE = 64


@pytest.fixture(scope="module")
def place(hopper_face):
    return ffhq_alignment(hopper_face.landmarks, SIDE)


def fine_energy(image: np.ndarray, where: np.ndarray) -> float:
    return float(np.square(octave_bands(image)[0])[where].mean())


def test_the_side_is_the_photos(place, hopper_face):
    assert fine_side(place) == pytest.approx(SIDE / place.scale + 0.5, abs=0.5)
    large = ffhq_alignment(hopper_face.landmarks * 20, SIDE)
    assert fine_side(large) == 2048
    small = ffhq_alignment(hopper_face.landmarks / 20, SIDE)
    assert fine_side(small) == SIDE


def test_a_perfect_copy_becomes_the_photo(place, hopper, hopper_face):
    """A result that agrees everywhere takes all of the photo's detail but in the eyes, at most half lost."""
    image, fine = add_fine_detail(place.crop(hopper), hopper, hopper_face.landmarks, place)
    assert image.shape == (fine.size, fine.size, 3) == (fine_side(place), fine_side(place), 3)
    photo, face = fine.crop(hopper), hull_mask(fine.to_crop(hopper_face.landmarks), fine.size) > 0.5
    before = np.abs(enlarged(place.crop(hopper), fine.size) - photo)[face].mean()
    assert np.abs(image - photo)[face].mean() < 0.35 * before


def test_no_edge_of_the_attribute_is_drawn_where_the_result_has_none(place, hopper, hopper_face):
    """On a face without features only skin grain may come, not the eyes of the photo."""
    flat = cv2.GaussianBlur(place.crop(hopper), (0, 0), 6)
    image, fine = add_fine_detail(flat, hopper, hopper_face.landmarks, place)
    eyes = eye_masks(fine.to_crop(hopper_face.landmarks), fine.size) > 0.5
    photo = fine.crop(hopper)
    assert fine_energy(image, eyes) < 0.1 * fine_energy(photo, eyes)


def test_the_identitys_eyes_are_sharpened_by_its_own_photo(hopper, hopper_face, astronaut, astronaut_face):
    """Where the result shows the identity's eyes its photo sharpens them; a blank face stays blank."""
    there = ffhq_alignment(hopper_face.landmarks, SIDE)
    own = ffhq_alignment(astronaut_face.landmarks, SIDE)
    identity = FinePhoto.cut(astronaut, astronaut_face.landmarks, own)
    assert identity.crop.dtype == np.uint8 and identity.crop.shape[0] == fine_side(own)
    # The same person into the same photo: what the network could not show is all there.
    image, fine = add_fine_detail(own.crop(astronaut), astronaut, astronaut_face.landmarks, own, identity)
    eyes = eye_masks(fine.to_crop(astronaut_face.landmarks), fine.size, 0.02) > 0.5
    photo, coarse = fine.crop(astronaut), enlarged(own.crop(astronaut), fine.size)
    assert np.abs(image - photo)[eyes].mean() < 0.6 * np.abs(coarse - photo)[eyes].mean()
    blank = np.full((SIDE, SIDE, 3), 128, np.float32)
    nothing, fine = add_fine_detail(blank, hopper, hopper_face.landmarks, there, identity)
    eyes = eye_masks(fine.to_crop(hopper_face.landmarks), fine.size) > 0.5
    assert np.abs(nothing - 128)[eyes].mean() < 1


def test_strength_scales_it_and_small_faces_are_left_alone(place, hopper, hopper_face):
    crop = place.crop(hopper)
    same, there = add_fine_detail(crop, hopper, hopper_face.landmarks, place, strength=0.0)
    assert same is crop and there is place
    whole, half = (
        add_fine_detail(crop, hopper, hopper_face.landmarks, place, strength=s)[0] for s in (1.0, 0.5)
    )
    middle = (enlarged(crop, whole.shape[0]) + whole) / 2
    assert np.abs(half - middle).mean() < 0.05
    # Of 1024 pixels 512 are resolved, more than the photo has.
    tiny = ffhq_alignment(hopper_face.landmarks, 1024)
    face = tiny.crop(hopper)
    assert add_fine_detail(face, hopper, hopper_face.landmarks, tiny)[0] is face


def test_the_finest_octave_of_a_large_network_is_replaced(hopper, hopper_face):
    """A result that is blurred within its own pixels gets the photo's octave, a sharp one is not doubled."""
    place = ffhq_alignment(hopper_face.landmarks, 256)
    sharp = place.crop(hopper)
    soft = enlarged(enlarged(sharp, 128), 256)
    photo = place.resized(fine_side(place)).crop(hopper)
    face = hull_mask(place.resized(fine_side(place)).to_crop(hopper_face.landmarks), fine_side(place)) > 0.5
    results = [add_fine_detail(crop, hopper, hopper_face.landmarks, place)[0] for crop in (soft, sharp)]
    before = np.abs(enlarged(soft, photo.shape[0]) - photo)[face].mean()
    errors = [np.abs(result - photo)[face].mean() for result in results]
    assert errors[0] < 0.5 * before
    assert abs(fine_energy(results[1], face) / fine_energy(photo, face) - 1) < 0.25


def test_large_crops_are_finished_on_a_copy(monkeypatch, hopper, hopper_face, astronaut, astronaut_face):
    """Of a crop of 1024 pixels as of one of 512."""
    sides = []

    def spy(image, *rest, original=fine_detail.with_texture_of):
        sides.append(image.shape[0])
        return original(image, *rest)

    monkeypatch.setattr(fine_detail, "with_texture_of", spy)
    own = ffhq_alignment(hopper_face.landmarks, 256)
    identity = FinePhoto.cut(hopper, hopper_face.landmarks, own)
    changes = []
    for side in (1024, 512):
        there = ffhq_alignment(astronaut_face.landmarks, side)
        photo, points = there.crop(astronaut), there.to_crop(astronaut_face.landmarks)
        soft = cv2.GaussianBlur(photo, (0, 0), side / 128)
        changes.append(fine_detail._finished(soft, photo, points, 128, identity) - soft)
    assert sides == [512, 512]
    assert np.abs(enlarged(changes[0], 512) - changes[1]).mean() < 0.05 * np.abs(changes[1]).mean()


def test_eyes_of_the_photo_come_through(hopper, hopper_face):
    """Between the lids, lightness goes to the photo's, which contrast alone would not do."""
    there = ffhq_alignment(hopper_face.landmarks, 256)
    photo, points = there.crop(hopper), there.to_crop(hopper_face.landmarks)
    eyes = eye_masks(points, 256) > 0.9
    brighter = np.clip(photo + 40, 0, 255)
    result = fine_detail._finished(brighter, photo, points, 128, None)
    assert (brighter - result)[eyes].mean() > 8
    assert np.abs(result - brighter)[hull_mask(points, 256) < 0.5].mean() < 2
