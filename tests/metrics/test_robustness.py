"""The six changes do what they say, and unmask an identity that is only a texture."""

from __future__ import annotations

import numpy as np
import pytest

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE, roll_of
from stylegan_swap.metrics.identity import DlibRecogniser
from stylegan_swap.metrics.robustness import (
    CHANGES,
    RobustIdentityMeasure,
    aligned_view,
    blurred,
    compressed,
    flipped,
    found_again,
    grey,
    low_passed,
)
from stylegan_swap.metrics.sample import Sample, View


@pytest.fixture(scope="module")
def measure() -> RobustIdentityMeasure:
    return RobustIdentityMeasure(DlibRecogniser())


@pytest.fixture(scope="module")
def her(astronaut, astronaut_face) -> View:
    return View(astronaut, astronaut_face.landmarks, "astronaut")


@pytest.fixture(scope="module")
def other(hopper, hopper_face) -> View:
    return View(hopper, hopper_face.landmarks, "hopper")


def contrast(view: View) -> float:
    return float(np.abs(np.diff(view.pixels.astype(float), axis=1)).mean())


def test_every_change_keeps_the_crop_and_does_its_own(other):
    crop = aligned_view(other)
    for change in CHANGES.values():
        view = change(crop)
        assert view.pixels.shape == (256, 256, 3) and view.pixels.dtype == np.uint8
        assert view.name == "hopper" and view.landmarks is not None
    assert max(contrast(low_passed(crop)), contrast(blurred(crop))) < 0.8 * contrast(crop)
    assert np.ptp(grey(crop).pixels.astype(int), axis=2).max() == 0
    assert 0 < np.abs(compressed(crop).pixels.astype(float) - crop.pixels).mean() < 6
    assert np.linalg.norm(found_again(crop).landmarks - crop.landmarks, axis=1).mean() < 3


def test_mirroring_twice_is_nothing_and_once_turns_the_face(her):
    crop = aligned_view(her)
    once = flipped(crop)
    twice = flipped(once)
    np.testing.assert_array_equal(twice.pixels, crop.pixels)
    np.testing.assert_allclose(twice.landmarks, crop.landmarks, atol=1e-3)
    assert roll_of(once.landmarks) == pytest.approx(-roll_of(crop.landmarks), abs=1e-3)
    assert once.landmarks[LEFT_EYE, 0].mean() < once.landmarks[RIGHT_EYE, 0].mean()
    # The centre of the first pixel is at 0, that of the last at 255.
    assert once.landmarks[16, 0] == pytest.approx(255 - crop.landmarks[0, 0], abs=1e-4)
    again = found_again(once)
    assert np.linalg.norm(again.landmarks - once.landmarks, axis=1).mean() < 3


def test_the_person_survives_and_a_stranger_stays_one(measure, her, other):
    own = measure(Sample(identity=her, attribute=other, result=her))
    copy = measure(Sample(identity=her, attribute=other, result=other))
    assert 0 < own["id_distance_mean"] < own["id_distance_worst"] < 0.6 < copy["id_distance_mean"]
    distances = measure.distances(Sample(her, other, her))
    assert set(distances) == {"none", *CHANGES} and distances["none"] < 0.15
    assert own["id_distance_worst"] == max(distances.values())
    assert own["id_distance_gap"] == pytest.approx(own["id_distance_mean"] - distances["none"])


def test_a_face_that_is_not_found_again_counts_as_furthest(measure, her, other, monkeypatch):
    monkeypatch.setattr(
        "stylegan_swap.metrics.robustness.look", lambda pixels, name, person: View(pixels, None, name)
    )
    values = measure(Sample(her, other, her))
    assert values["id_distance_worst"] == measure.recogniser.furthest


class TextureReader:
    """A recogniser that is fooled: it only looks at the finest checkerboard of the crop."""

    name = "texture"
    same_person = None
    furthest = 2.0

    def embed(self, view):
        light = view.pixels.astype(float).mean(2)
        board = np.indices(light.shape).sum(0) % 2 * 2 - 1
        return np.array([float((light * board).mean()) > 2], float)

    def distance(self, a, b):
        return float(np.abs(a - b).sum())

    def cosine(self, a, b):
        return 0.0


def test_an_identity_that_is_only_a_texture_is_unmasked(her):
    crop = aligned_view(her)
    board = (np.indices((256, 256)).sum(0) % 2 * 2 - 1)[..., None] * 4

    class Aligned(View):
        def alignment(self, size):
            class Identical:
                def crop(self, pixels):
                    return pixels.astype(np.float32)

                def to_crop(self, points):
                    return points

            return Identical()

    marked = Aligned(np.clip(crop.pixels.astype(int) + board, 0, 255).astype(np.uint8), crop.landmarks)
    values = RobustIdentityMeasure(TextureReader())(Sample(identity=marked, attribute=crop, result=marked))
    assert values["id_distance_worst_texture"] == 1
    assert values["id_distance_gap_texture"] >= 2 / 6  # at least blur and low-pass destroy it


def test_a_result_without_a_face_cannot_be_aligned(her):
    with pytest.raises(ValueError, match="no face was found"):
        aligned_view(View(her.pixels, None))
    with pytest.raises(ValueError, match="no face was found"):
        flipped(View(her.pixels, None))
