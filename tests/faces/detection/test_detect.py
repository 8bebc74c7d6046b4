"""The ladder finds faces at every size and angle, says what it tried, and stays cheap on large photos."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from stylegan_swap.errors import FaceSelectionError, FaceTooSmallError, NoFaceError
from stylegan_swap.faces.detection import detect
from stylegan_swap.faces.detection.detect import Face, detect_faces, face_at, largest_face, require_size
from stylegan_swap.faces.detection.landmarks import roll_of
from stylegan_swap.faces.detection.views import view_of
from stylegan_swap.faces.geometry.align import transformed
from tests.faces.detection.turning import turned

RUNGS = [rung.name for rung in detect._LADDER]


@pytest.fixture
def ladder_alone(monkeypatch):
    """As where the package that brings CenterFace is not installed."""
    monkeypatch.setattr(detect, "centerface_file", lambda: None)


def shrunk(pixels, face, side):
    factor = side / face.side
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def off(found: Face, expected, side) -> float:
    """Mean landmark error as a share of the face's side."""
    return float(np.linalg.norm(found.landmarks - expected, axis=1).mean() / side)


# ---- what is found, and by which rung


@pytest.mark.parametrize("who", ["astronaut", "hopper"])
def test_an_upright_face_is_found_on_the_first_rung(request, who):
    face = request.getfixturevalue(f"{who}_face")
    assert face.found_by == "HOG" and face.score > 1
    assert face.box.dtype == face.landmarks.dtype == np.float32
    assert face.box.shape == (4,) and face.landmarks.shape == (68, 2)
    assert face.side == pytest.approx({"astronaut": 103, "hopper": 200}[who], abs=4)
    low, high = face.box[:2], face.box[2:]
    assert ((face.landmarks[17:] > low) & (face.landmarks[17:] < high)).all()
    # iBUG order: brows over eyes over nose over mouth, the chin lowest.
    heights = [face.landmarks[part, 1].mean() for part in (range(17, 27), range(36, 48), [33], range(48, 68))]
    assert heights == sorted(heights) and face.landmarks[8, 1] == face.landmarks[:, 1].max()


@pytest.mark.usefixtures("ladder_alone")
@pytest.mark.parametrize("who", ["astronaut", "hopper"])
def test_a_face_of_40_pixels_is_found_up_sampled(request, who):
    pixels, face = request.getfixturevalue(who), request.getfixturevalue(f"{who}_face")
    small = shrunk(pixels, face, 40)
    found = detect_faces(small)
    assert len(found) == 1 and found[0].found_by == "HOG up-sampled"
    ratio = np.array(small.shape[1::-1]) / pixels.shape[1::-1]
    expected = (face.landmarks + 0.5) * ratio - 0.5
    assert off(found[0], expected, 40) < 0.025  # one pixel


@pytest.mark.parametrize("who", ["astronaut", "hopper"])
@pytest.mark.parametrize("border", [0.1, 0.0])
def test_a_tight_crop_is_found(request, who, border):
    pixels, face = request.getfixturevalue(who), request.getfixturevalue(f"{who}_face")
    margin = border * face.side
    left, top, right, bottom = (face.box + margin * np.array([-1, -1, 1, 1])).astype(int)
    found = largest_face(detect_faces(pixels[top:bottom, left:right]))
    assert off(found, face.landmarks - [left, top], face.side) < 0.02


@pytest.mark.usefixtures("ladder_alone")
def test_a_face_cut_by_the_edge_is_found_with_a_padded_border(hopper, hopper_face):
    top = int(hopper_face.box[1] + 0.3 * hopper_face.side)
    found = largest_face(detect_faces(hopper[top:]))
    assert found.found_by == "HOG with padded border"
    assert off(found, hopper_face.landmarks - [0, top], hopper_face.side) < 0.06


@pytest.mark.usefixtures("ladder_alone")
@pytest.mark.parametrize(
    ("angle", "rung"),
    [
        (0, "HOG"),
        (25, "HOG"),
        (45, "rotated by -45°"),
        (-45, "rotated by +45°"),
        (90, "rotated by -90°"),
        (-90, "rotated by +90°"),
        (135, "rotated by -135°"),
        (-135, "rotated by +135°"),
        (180, "rotated by +180°"),
    ],
)
def test_a_turned_face_is_found_and_its_landmarks_come_back_in_place(astronaut, astronaut_face, angle, rung):
    pixels, matrix = turned(astronaut, angle)
    found = largest_face(detect_faces(pixels))
    assert found.found_by == rung
    expected = astronaut_face.landmarks @ matrix[:, :2].T + matrix[:, 2]
    errors = np.linalg.norm(found.landmarks - expected, axis=1)
    # The face is 103 px wide: one pixel on average, two at worst.
    assert errors.mean() < 1 and errors.max() < 2
    difference = (roll_of(found.landmarks) - roll_of(astronaut_face.landmarks) + angle + 180) % 360 - 180
    assert abs(difference) < 1.5


def test_landmarks_of_a_turned_larger_face(hopper, hopper_face):
    pixels, matrix = turned(hopper, 90)
    found = largest_face(detect_faces(pixels))
    assert off(found, hopper_face.landmarks @ matrix[:, :2].T + matrix[:, 2], hopper_face.side) < 0.02


def test_a_larger_photo_gives_the_same_face(astronaut, astronaut_face):
    found = largest_face(detect_faces(cv2.resize(astronaut, None, fx=4, fy=4)))
    assert off(found, (astronaut_face.landmarks + 0.5) * 4 - 0.5, 4 * astronaut_face.side) < 0.01


@pytest.mark.parametrize(("share", "found"), [(0.5, 1), (0.75, 0)])
def test_a_face_that_is_mostly_outside_the_photo_is_dropped(hopper, hopper_face, monkeypatch, share, found):
    monkeypatch.setattr(detect, "_LADDER", detect._LADDER[:1])
    points = hopper_face.landmarks.copy()
    points[:, 0] -= np.quantile(points[:, 0], share)
    if found:
        assert len(detect_faces(hopper, landmarks=lambda pixels, box: points)) == 1
    else:
        with pytest.raises(NoFaceError):
            detect_faces(hopper, landmarks=lambda pixels, box: points)


# ---- no face, several faces


def test_the_network_is_not_shown_what_would_break_it(monkeypatch):
    """On pictures of a few pixels dlib raises RuntimeError and corrupts the process' memory."""
    network = _Blind()
    monkeypatch.setattr(detect, "_network", lambda: network)
    with pytest.raises(NoFaceError):
        detect_faces(np.full((4, 6, 3), 128, np.uint8))
    assert network.seen == []


@pytest.mark.usefixtures("ladder_alone")
def test_noise_has_no_face_and_the_message_names_every_rung():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(NoFaceError) as caught:
        detect_faces(noise, name="noise.png")
    message = str(caught.value)
    assert message.startswith("noise.png: no face was found") and "\n" not in message
    assert f"(tried {', '.join(RUNGS)})" in message
    assert RUNGS[0] == "HOG" and RUNGS[-1] == "MMOD network"


def test_the_smallest_pictures_have_no_face_either():
    for shape in ((1, 1), (2, 5), (1, 300), (40, 3)):
        with pytest.raises(NoFaceError):
            detect_faces(np.full((*shape, 3), 128, np.uint8))


def test_faces_are_numbered_from_the_left(two_faces, astronaut_face, hopper_face):
    for pixels, order in (
        (two_faces, (astronaut_face, hopper_face)),
        (two_faces[:, ::-1], (hopper_face, astronaut_face)),
    ):
        found = detect_faces(np.ascontiguousarray(pixels))
        assert [round(face.side / known.side, 1) for face, known in zip(found, order, strict=True)] == [1, 1]
        assert found[0].box[2] < found[1].box[0]
        assert largest_face(found).side == pytest.approx(hopper_face.side, rel=0.03)


@pytest.mark.usefixtures("ladder_alone")
def test_thorough_also_finds_the_small_face_beside_the_large_one(astronaut, hopper, astronaut_face):
    small = shrunk(astronaut, astronaut_face, 36)
    canvas = np.hstack([hopper, np.full((600, 200, 3), 90, np.uint8)])
    canvas[: small.shape[0], 512 : 512 + small.shape[1]] = small
    quick, thorough = detect_faces(canvas), detect_faces(canvas, thorough=True)
    assert len(quick) == 1 and len(thorough) == 2
    assert quick[0].side > 150 and thorough[1].side == pytest.approx(36, abs=4)


def test_face_at(two_faces):
    faces = detect_faces(two_faces)
    assert face_at(faces, 1) is faces[1]
    for index in (2, -1):
        with pytest.raises(FaceSelectionError, match=rf"b\.png: face {index} .* are 2 faces: .* 0 to 1"):
            face_at(faces, index, "b.png")
    with pytest.raises(FaceSelectionError, match="there is 1 face:"):
        face_at(faces[:1], 1)


def test_a_face_of_20_pixels_is_found_but_refused(hopper, hopper_face):
    found = largest_face(detect_faces(shrunk(hopper, hopper_face, 20)))
    assert found.side < detect.SMALLEST_FACE
    with pytest.raises(FaceTooSmallError, match=rf"tiny\.jpg: .* only {round(found.side)} px .* 32 px"):
        require_size(found, "tiny.jpg")
    assert require_size(hopper_face) is hopper_face


# ---- what detectors are given


class _Blind:
    """Stands for dlib's detectors: sees nothing and remembers the sizes it was shown."""

    def __init__(self):
        self.seen = []

    def run(self, view, upsample, threshold):
        assert view.dtype == np.uint8 and view.flags.c_contiguous and upsample == 0
        self.seen.append(view.shape)
        return [], [], []

    def __call__(self, view, upsample):
        self.run(view, upsample, 0.0)
        return []


@pytest.mark.usefixtures("ladder_alone")
def test_detectors_see_a_12_megapixel_photo_reduced(astronaut, monkeypatch):
    hog, network = _Blind(), _Blind()
    monkeypatch.setattr(detect._per_thread, "hog", hog, raising=False)
    monkeypatch.setattr(detect, "_network", lambda: network)
    pixels = cv2.resize(astronaut, (4000, 3000))
    with pytest.raises(NoFaceError):
        detect_faces(pixels)
    assert hog.seen[0] == (600, detect.DETECTION_SIDE, 3)
    assert hog.seen[1] == (1200, detect.UPSAMPLED_SIDE, 3)
    assert len(hog.seen) == len(RUNGS) - 1
    assert max(max(shape) for shape in hog.seen) <= detect.UPSAMPLED_SIDE
    assert len(network.seen) == 1 and max(network.seen[0]) <= 1.2 * detect.NETWORK_SIDE


def test_a_view_shows_what_its_matrix_says():
    """Paint the coordinates, look at the view, and carry its pixels back."""
    for scale, angle, padding in ((0.27, 0, 0), (0.3, 45, 0.1), (0.9, -90, 0.4), (3, 0, 0)):
        columns, rows = np.meshgrid(np.arange(240), np.arange(200))
        matrix, size = detect._view_matrix(240, 200, scale, angle, padding)
        painted = np.dstack([columns, rows, np.full_like(rows, 250)]).astype(np.uint8)
        view = view_of(painted, matrix, size, scale, cv2.BORDER_CONSTANT)
        assert view.shape[:2] == size[::-1]
        # Away from the border of the photo, where the fill begins.
        y, x = np.nonzero(cv2.erode((view[..., 2] == 250).astype(np.uint8), np.ones((5, 5))))
        back = transformed(np.stack([x, y], 1), cv2.invertAffineTransform(matrix))
        assert len(x) > 500
        assert (
            np.abs(view[y, x, :2] - back).max() < 1.6 and np.abs((view[y, x, :2] - back).mean(0)).max() < 0.15
        )


@pytest.mark.usefixtures("ladder_alone")
def test_a_small_photo_is_enlarged_four_times_at_most(monkeypatch):
    hog, network = _Blind(), _Blind()
    monkeypatch.setattr(detect._per_thread, "hog", hog, raising=False)
    monkeypatch.setattr(detect, "_network", lambda: network)
    with pytest.raises(NoFaceError):
        detect_faces(np.zeros((50, 60, 3), np.uint8))
    assert hog.seen[0] == (50, 60, 3) and hog.seen[1] == (200, 240, 3)


@pytest.mark.usefixtures("ladder_alone")
def test_the_ladder_stops_at_the_first_sure_face(astronaut, monkeypatch):
    monkeypatch.setattr(detect, "_network", lambda: pytest.fail("the network was asked"))
    seen = []
    climb = detect._climb

    def spy(pixels, rung, backend):
        seen.append(rung.name)
        return climb(pixels, rung, backend)

    monkeypatch.setattr(detect, "_climb", spy)
    detect_faces(astronaut)
    assert seen == ["HOG"]
    detect_faces(astronaut, thorough=True)
    assert [name for name in seen[1:] if "rotated" not in name] == ["HOG", "HOG up-sampled"]


def test_threads_find_the_same_faces(astronaut, hopper, two_faces):
    photos = [astronaut, hopper, two_faces, np.ascontiguousarray(hopper[:, ::-1])] * 2
    alone = [detect_faces(pixels) for pixels in photos]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(detect_faces, photos))
    for first, second in zip(alone, together, strict=True):
        assert [face.score for face in first] == [face.score for face in second]
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.landmarks, other.landmarks)


@pytest.mark.parametrize("angle", [-45, -40, -30, 30, 40, 45])
def test_a_head_on_its_side_is_found_as_it_lies(astronaut, angle):
    """The landmarks are those of the upright photo, turned with it, to 3 % of the face."""
    photo = np.ascontiguousarray(astronaut[:, ::-1])
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    matrix[:, 2] += 200
    turned = cv2.warpAffine(photo, matrix, (width + 400, height + 400), borderMode=cv2.BORDER_REPLICATE)
    wanted = largest_face(detect_faces(photo)).landmarks @ matrix[:, :2].T + matrix[:, 2]
    found = largest_face(detect_faces(turned)).landmarks
    assert np.linalg.norm(found - wanted, axis=1).mean() < 0.03 * np.ptp(wanted, axis=0).max()


def test_a_face_is_one_line_of_words(astronaut_face):
    text = repr(astronaut_face)
    assert "\n" not in text and "array" not in text and f"{round(float(astronaut_face.box[0]))}" in text
