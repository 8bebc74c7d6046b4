"""FaceForensics++ in miniature: folders, frames and pairs as the official data set has them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from stylegan_swap.errors import ImageReadError, ImageWriteError
from stylegan_swap.evaluation.faceforensics import (
    FaceForensics,
    evenly_spaced,
    extracted,
    read_entries,
    read_people,
)

SIDE = 64
LENGTHS = {"071": 30, "054": 41, "003": 20, "120": 30}
ENTRIES = (("071", "054"), ("003", "120"))


def shade(index: int, length: int) -> int:
    """Gray of a frame; far enough from its neighbours to survive the codec."""
    return round(20 + 215 * index / length)


def write_video(path, length: int, green: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (SIDE, SIDE))
    if not writer.isOpened():
        pytest.skip("this OpenCV has no mp4 encoder")
    for index in range(length):
        # Red tells the frame, green the video; OpenCV wants BGR.
        writer.write(np.full((SIDE, SIDE, 3), (0, green, shade(index, length)), np.uint8))
    writer.release()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("FaceForensics")
    for i, (name, length) in enumerate(LENGTHS.items()):
        write_video(root / f"original_sequences/youtube/c23/videos/{name}.mp4", length, 60 * i)
    for name in ("071_054", "054_071", "003_120", "120_003"):
        write_video(root / f"manipulated_sequences/Deepfakes/c23/videos/{name}.mp4", 25, 200)
    return root


def colour(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.size == (SIDE, SIDE)
        return np.asarray(image.convert("RGB")).reshape(-1, 3).mean(axis=0)


def test_the_formula():
    assert evenly_spaced(10, 10) == tuple(range(10))
    assert evenly_spaced(100, 10) == (5, 15, 25, 35, 45, 55, 65, 75, 85, 95)
    assert evenly_spaced(7, 3) == (1, 3, 5)
    assert evenly_spaced(5, 1) == (2,)
    with pytest.raises(ImageReadError, match=r"x\.mp4: has 9 frames, 10 are needed"):
        evenly_spaced(9, 10, "x.mp4")


def test_the_formula_is_even_and_inside():
    for total in (10, 11, 99, 317, 1000):
        chosen = np.array(evenly_spaced(total, 10))
        assert chosen[0] >= 0
        assert chosen[-1] < total
        steps = np.diff(chosen)
        assert steps.max() - steps.min() <= 1
        assert abs((chosen[0] + 0.5) - (total - chosen[-1] - 0.5)) <= 1


def test_pairs(dataset, tmp_path):
    data = FaceForensics(dataset, ENTRIES, tmp_path / "cache", frames=5, people={"120": "054"})
    pairs = list(data)
    assert len(pairs) == len(data) == 20
    assert [pair.videos for pair in pairs[::5]] == [
        ("054", "071"),
        ("071", "054"),
        ("120", "003"),
        ("003", "120"),
    ]
    assert [pair.number for pair in pairs[:6]] == [0, 1, 2, 3, 4, 0]
    assert {(pair.identity_person, pair.attribute_person) for pair in pairs} == {
        ("054", "071"),
        ("071", "054"),
        ("054", "003"),
        ("003", "054"),
    }
    for pair in pairs:
        for path, video in zip((pair.identity, pair.attribute), pair.videos, strict=True):
            length = LENGTHS[video]
            index = (2 * pair.number + 1) * length // 10
            assert path.name == f"{index:04d}.png"
            red, green, _ = colour(path)
            assert abs(red - shade(index, length)) < 215 / length / 2 + 2
            assert abs(green - 60 * list(LENGTHS).index(video)) < 8


def test_frames_are_written_once(dataset, tmp_path):
    data = FaceForensics(dataset, ENTRIES, tmp_path / "cache", frames=3)
    first = data.frames("071")
    times = [path.stat().st_mtime_ns for path in first]
    again = FaceForensics(dataset, ENTRIES, tmp_path / "cache", frames=3).frames("071")
    assert first == again
    assert [path.stat().st_mtime_ns for path in again] == times
    # Another count has a folder of its own, and nothing half made is left.
    assert len(FaceForensics(dataset, ENTRIES, tmp_path / "cache", frames=4).frames("071")) == 4
    assert sorted(path.name for path in (tmp_path / "cache" / "original").iterdir()) == ["c23-3", "c23-4"]
    assert [path.name for path in (tmp_path / "cache/original/c23-3").iterdir()] == ["071"]
    first[0].unlink()
    with pytest.raises(ImageReadError, match="holds 2 pictures instead of 3; delete this folder"):
        data.frames("071")


def test_gallery(dataset, tmp_path):
    data = FaceForensics(dataset, ENTRIES, tmp_path, frames=2, people={"120": "054"})
    photos = list(data.gallery())
    assert [person for _, person in photos] == ["003", "003", "054", "054", "071", "071", "054", "054"]
    assert len({path for path, _ in photos}) == 8


def test_manipulated(dataset, tmp_path):
    data = FaceForensics(dataset, ENTRIES, tmp_path, frames=3)
    found = list(data.manipulated("Deepfakes"))
    assert [pair for pair, _ in found] == list(data)
    assert [path.parent.name for _, path in found[::3]] == ["071_054", "054_071", "003_120", "120_003"]
    assert [path.name for _, path in found[:3]] == ["0004.png", "0012.png", "0020.png"]
    assert abs(colour(found[0][1])[1] - 200) < 8
    with pytest.raises(ImageReadError, match="download this method, or take one of Deepfakes"):
        next(data.manipulated("FaceSwap"))


def test_frames_extracted_before(tmp_path):
    folder = tmp_path / "original_sequences/youtube/c40/images"
    for video in ("001", "002"):
        (folder / video).mkdir(parents=True)
        for index in range(8):
            Image.new("RGB", (8, 8)).save(folder / video / f"{index:04d}.png")
    data = FaceForensics(
        tmp_path, [("001", "002")], tmp_path / "cache", compression="c40", frames=2, frames_from="images"
    )
    assert [path.name for path in data.frames("001")] == ["0002.png", "0006.png"]
    assert next(iter(data)).identity == folder / "002" / "0002.png"
    assert not (tmp_path / "cache").exists()
    (folder / "002" / "0000.png").rename(tmp_path / "0000.png")
    with pytest.raises(ImageReadError, match="002: has 7 frames, 8 are needed"):
        FaceForensics(
            tmp_path, [("001", "002")], tmp_path, compression="c40", frames=8, frames_from="images"
        ).frames("002")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "raw"}, r"raw/videos: no such folder; there is c23/videos: choose compression"),
        ({"frames_from": "images"}, r"c23/images: no such folder; there is c23/videos"),
    ],
)
def test_a_wrong_copy(dataset, tmp_path, options, message):
    with pytest.raises(ImageReadError, match=message):
        FaceForensics(dataset, ENTRIES, tmp_path, **options)


def test_a_wrong_folder(dataset, tmp_path):
    with pytest.raises(ImageReadError, match="give the folder that holds original_sequences"):
        FaceForensics(dataset / "original_sequences", ENTRIES, tmp_path)
    with pytest.raises(ImageReadError, match="lacks 2 of 6 videos, the first 555"):
        FaceForensics(dataset, [*ENTRIES, ("555", "666")], tmp_path)
    with pytest.raises(ValueError, match="give at least one of both"):
        FaceForensics(dataset, [], tmp_path)


def test_bad_videos(dataset, tmp_path):
    with pytest.raises(ImageReadError, match=r"absent\.mp4: does not exist"):
        extracted(tmp_path / "absent.mp4", tmp_path / "a", 2)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(ImageReadError, match=r"broken\.mp4: OpenCV cannot open this video"):
        extracted(broken, tmp_path / "b", 2)
    short = dataset / "original_sequences/youtube/c23/videos/003.mp4"
    with pytest.raises(ImageReadError, match=r"003\.mp4: has 20 frames, 21 are needed"):
        extracted(short, tmp_path / "c", 21)
    (tmp_path / "file").touch()
    with pytest.raises(ImageWriteError, match=r"cannot be written .*choose another cache folder"):
        extracted(short, tmp_path / "file" / "d", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4", "file"]


def test_a_container_that_claims_too_much(dataset, tmp_path, monkeypatch):
    """The frames are then spread over those that can be decoded."""
    from stylegan_swap.evaluation import faceforensics

    monkeypatch.setattr(faceforensics, "_claimed_length", lambda video: 60)
    short = dataset / "original_sequences/youtube/c23/videos/003.mp4"
    assert [path.name for path in extracted(short, tmp_path / "x", 2)] == ["0005.png", "0015.png"]


def test_entries(tmp_path):
    train, test = tmp_path / "train.json", tmp_path / "test.json"
    train.write_text(json.dumps([["071", "054"], ["003", "120"]]))
    test.write_text(json.dumps([["953", "974"]]))
    assert read_entries(train, test) == (("071", "054"), ("003", "120"), ("953", "974"))


def test_bad_entries(tmp_path):
    for content, message in (
        ("{", "is no JSON"),
        ('{"071": "054"}', "is no list of pairs"),
        ('[["071", "054", "003"]]', "is no list of pairs"),
        ("[[71, 54]]", "is no list of pairs"),
        ('[["../071", "054"]]', "is no list of pairs"),
    ):
        path = tmp_path / "pairs.json"
        path.write_text(content)
        with pytest.raises(ImageReadError, match=rf"pairs\.json: {message}"):
            read_entries(path)
        with pytest.raises(ImageReadError, match=r"absent\.json: cannot be read \(No such file"):
            read_entries(tmp_path / "absent.json")


def test_people(tmp_path):
    path = tmp_path / "people.txt"
    path.write_text("# who is who\n000 123, 007\n\n055,056  # twins\n")
    assert read_people(path) == {"000": "000", "123": "000", "007": "000", "055": "055", "056": "055"}
    path.write_text("000 123\n123 055\n")
    with pytest.raises(ImageReadError, match="line 2: 123 stands twice"):
        read_people(path)
    path.write_text("000 123.mp4\n")
    with pytest.raises(ImageReadError, match=r"line 1: '123.mp4' is no video name"):
        read_people(path)
