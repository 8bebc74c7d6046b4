"""The right person stays the right person: two people, cuts, faces that come and go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from video_clips import astronaut_half, empty, hopper_half, pair

from stylegan_swap.faces.detection import detect
from stylegan_swap.faces.detection.boxes import overlap
from stylegan_swap.faces.detection.detect import Face, detect_faces, largest_face
from stylegan_swap.faces.detection.landmarks import landmark_backend
from stylegan_swap.faces.detection.redetect import redetect
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.swapping.result import describe_face
from stylegan_swap.video.frame import Frame
from stylegan_swap.video.memory import Memory
from stylegan_swap.video.tracking import Tracker

BACKEND = landmark_backend("dlib")


@pytest.fixture(scope="module")
def describe():
    network = DlibIdentity()

    def embed(pixels: np.ndarray, face: Face) -> np.ndarray:
        with torch.no_grad():
            return describe_face(network, pixels, face.landmarks)[0].numpy()

    return embed


@pytest.fixture(scope="module")
def left(astronaut):
    return astronaut_half(astronaut)


@pytest.fixture(scope="module")
def right(hopper):
    return hopper_half(hopper)


def tracker(describe, which="largest") -> Tracker:
    return Tracker(which, BACKEND, describe, lambda face: 128)


def follow(one: Tracker, pictures, first: int = 0):
    return [
        one(Frame(number, number, 1, number / 25, picture=picture))
        for number, picture in enumerate(pictures, first)
    ]


def places(seen) -> list[float | None]:
    """Where the swapped face is, across the picture; None without."""
    return [float(one.faces[0][0].landmarks[30, 0]) if one.faces else None for one in seen]


def test_a_face_is_found_again_near_its_place(left):
    face = largest_face(detect_faces(left))
    shifted = np.roll(left, (4, 9), axis=(0, 1))
    seen, guess = redetect(shifted, face.landmarks, BACKEND)
    assert guess is None and len(seen) == 1
    moved = seen[0].landmarks - face.landmarks
    assert np.abs(np.median(moved, axis=0) - [9, 4]).max() < 1.0
    assert np.abs(seen[0].landmarks - [9, 4] - face.landmarks).mean() < 1.2


def test_a_rolled_head_is_followed(left):
    """HOG sees upright faces only; the window turns with the head."""
    import cv2

    one = largest_face(detect_faces(left))
    landmarks, turns = one.landmarks, range(0, 91, 10)
    for angle in turns:
        matrix = cv2.getRotationMatrix2D((128, 110), -angle, 1.0)
        turned = cv2.warpAffine(left, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE)
        seen, _ = redetect(turned, landmarks, BACKEND)
        assert seen, f"lost at {angle} degrees"
        landmarks = seen[0].landmarks
        expected = one.landmarks @ matrix[:, :2].T + matrix[:, 2]
        assert np.abs(landmarks - expected).mean() < 3.0


def test_where_no_face_is_nothing_is_seen(left):
    face = largest_face(detect_faces(left))
    seen, _ = redetect(empty(1, 256, 256)[0], face.landmarks, BACKEND)
    assert seen == []


def test_the_person_stays_the_person_when_two_change_places(describe, left, right):
    """The other person stands where the chosen one stood, in a picture of the same colours: no cut."""
    one = tracker(describe, 0)
    seen = follow(one, [pair(left, right)] * 3 + [pair(right, left)] * 2)
    found = places(seen)
    assert max(found[:3]) < 256 < min(found[3:])
    assert not any(entry.cut for entry in seen)


def test_a_stranger_after_a_cut_is_left_alone(describe, left, right):
    one = tracker(describe)
    seen = follow(one, [left] * 3 + [right] * 3 + [left] * 2)
    assert [len(entry.faces) for entry in seen] == [1, 1, 1, 0, 0, 0, 1, 1]
    assert [entry.bystanders for entry in seen] == [False] * 3 + [True] * 3 + [False] * 2


def test_a_stranger_who_slides_into_the_place_is_found_out(describe, left, right):
    """Without a cut: the identity is checked every ten frames, and at once where two faces are near."""
    one = tracker(describe)
    blended = [
        np.clip(left * (1 - share) + right * share, 0, 255).astype(np.uint8)
        for share in np.linspace(0, 1, 10)
    ]
    seen = follow(one, [left] * 2 + blended + [right] * 5)
    assert seen[1].faces and not seen[-1].faces and seen[-1].bystanders
    assert not any(entry.cut for entry in seen)


def test_a_number_counts_from_the_left_and_a_photo_finds_its_person(describe, left, right, monkeypatch):
    monkeypatch.setattr(detect, "_LADDER", detect._LADDER[:1])
    both = pair(left, right)
    assert places(follow(tracker(describe, 1), [both]))[0] > 256
    reference = Memory(describe(right, largest_face(detect_faces(right))))
    seen = follow(tracker(describe, reference), [left, left, both])
    assert [len(entry.faces) for entry in seen] == [0, 0, 1] and places(seen)[2] > 256
    late = tracker(describe, 1)
    assert [bool(entry.faces) for entry in follow(late, [left, both])] == [False, True]
    assert late.most_faces == 2


def test_all_faces_are_followed_and_new_ones_join(describe, left, right, monkeypatch):
    monkeypatch.setattr(detect, "_LADDER", detect._LADDER[:1])
    one = tracker(describe, "all")
    seen = follow(one, [pair(left, empty(1, 256, 256)[0])] + [pair(left, right)] * 2)
    counts = [len(entry.faces) for entry in seen]
    assert counts[0] == 1 and counts[-1] == 2
    boxes = [face.box for face, _ in seen[-1].faces]
    assert boxes[0][0] < boxes[1][0] and overlap(*boxes) == 0


def test_a_face_that_goes_and_comes_starts_afresh(describe, left, monkeypatch):
    monkeypatch.setattr(detect, "_LADDER", detect._LADDER[:1])
    one = tracker(describe)
    shifted = np.roll(left, 30, axis=1)
    seen = follow(one, [left, left, *empty(3, 256, 256), shifted, shifted])
    assert [len(entry.faces) for entry in seen] == [1, 1, 0, 0, 0, 1, 1]
    fresh = follow(tracker(describe), [shifted])
    # Nothing of the old place is left in the smoothed landmarks.
    assert np.array_equal(seen[5].faces[0][0].landmarks, fresh[0].faces[0][0].landmarks)


def test_the_crop_may_grow_but_never_pumps(describe, left):
    sides = iter([256, 512, 256, 256])
    one = Tracker("largest", BACKEND, describe, lambda face: next(sides))
    assert [entry.faces[0][1] for entry in follow(one, [left] * 3)] == [512, 512, 512]


def test_a_restored_tracker_goes_on_exactly(describe, left, right):
    import json

    pictures = [np.roll(pair(left, right), shift, axis=1) for shift in range(0, 12, 2)]
    for which in (1, "all"):
        whole = follow(tracker(describe, which), pictures)
        first, second = tracker(describe, which), tracker(describe, which)
        follow(first, pictures[:3])
        second.restore(json.loads(json.dumps(first.state())))
        for one, other in zip(follow(second, pictures[3:], 3), whole[3:], strict=True):
            assert len(one.faces) == len(other.faces) > 0
            for (face, _), (expected, _) in zip(one.faces, other.faces, strict=True):
                assert np.array_equal(face.landmarks, expected.landmarks)
