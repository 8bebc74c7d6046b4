"""What the page's buttons do, without the page: files in, marked files and sentences out."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_clips import panned, write_clip

from stylegan_swap.api import Swapper
from stylegan_swap.app.actions import ALL_FACES, SwapChoices, dials_of, edit_photo, generate_faces, swap_photo
from stylegan_swap.app.clip import ClipChoices, ClipJob, ClipJobs, Stopped, check_clip
from stylegan_swap.app.pictures import find_faces
from stylegan_swap.errors import AppError, FaceSelectionError, ImageReadError, NoFaceError
from stylegan_swap.faces.detection.detect import detect_faces
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.images.photo import read_photo
from stylegan_swap.provenance.credentials import CERTIFICATES_VARIABLE, KEY_VARIABLE
from stylegan_swap.provenance.metadata import read_marks
from stylegan_swap.provenance.watermark import Kind, embed_watermark, read_watermark
from stylegan_swap.verify import verify_file


@pytest.fixture(scope="module")
def warp() -> Swapper:
    return Swapper.from_pretrained("warp", device="cpu")


@pytest.fixture(scope="module")
def network() -> Swapper:
    return Swapper.from_pretrained("default", device="cpu")


@pytest.fixture(autouse=True)
def unsigned(monkeypatch):
    for name in (CERTIFICATES_VARIABLE, KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def group(two_faces, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("group") / "group.jpg"
    exif = Image.Exif()
    exif[0x013B] = "A Photographer"
    Image.fromarray(two_faces).resize((512, 300), Image.Resampling.LANCZOS).save(path, quality=95, exif=exif)
    return path


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_the_saved_file_is_that_of_swap(warp, hopper_path, group, tmp_path):
    told = []
    outcome = swap_photo(
        warp, hopper_path, group, SwapChoices(), tmp_path, lambda share, what: told.append((share, what))
    )
    warp(warp.prepare(hopper_path), group).save(tmp_path / "direct.jpg")
    assert outcome.file.read_bytes() == (tmp_path / "direct.jpg").read_bytes()
    assert outcome.file.name == "group-swapped.jpg" and outcome.size == (512, 300)
    verdict = verify_file(outcome.file)
    assert verdict.marks.synthetic and verdict.watermark is not None
    assert verdict.watermark.kind is Kind.SWAP
    with Image.open(outcome.file) as image:
        assert image.getexif()[0x013B] == "A Photographer"
    assert outcome.marked == "Marked as made with AI: metadata (XMP) and an invisible watermark."
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[0] == 0.0 and told[-1][1] == "Marking and saving"


def test_what_is_on_the_screen_is_marked_and_small(warp, hopper_path, tmp_path, two_faces):
    large = tmp_path / "large.png"
    Image.fromarray(two_faces).resize((1536, 900)).save(large)
    outcome = swap_photo(warp, hopper_path, large, SwapChoices(), tmp_path)
    assert pixels_of(outcome.original).shape == pixels_of(outcome.result).shape == (820, 1400, 3)
    assert pixels_of(outcome.file).shape == (900, 1536, 3)
    assert (
        read_watermark(pixels_of(outcome.result)).kind is Kind.SWAP and read_marks(outcome.result).synthetic
    )
    assert not read_marks(outcome.original).synthetic


def test_ticked_faces_alone_change(warp, astronaut_path, hopper_path, group, tmp_path):
    original = pixels_of(group).astype(int)
    changed = {}
    for name, faces in (("left", (0,)), ("right", (1,)), ("all", (0, 1))):
        folder = tmp_path / name
        folder.mkdir()
        who = hopper_path if name == "left" else astronaut_path
        choices = SwapChoices(faces, 2, file_type="PNG")
        outcome = swap_photo(warp, who, group, choices, folder)
        assert outcome.file.suffix == ".png" and len(outcome.distances) == len(faces)
        # The watermark moves a pixel by some levels, a swap by many.
        difference = np.abs(pixels_of(outcome.file).astype(int) - original).max(2) > 25
        changed[name] = (int(difference[:, :256].sum()), int(difference[:, 256:].sum()))
    assert changed["left"][0] > 300 and changed["left"][1] == 0
    assert changed["right"][1] > 300 and changed["right"][0] == 0
    assert changed["all"][1] > 300


def test_thumbnails_are_numbered_as_the_library_numbers(group):
    found = find_faces(group)
    assert len(found.thumbnails) == 2 and found.largest == 1 and found.usable == [True, True]
    assert found.thumbnails[0].shape == (96, 96, 3)
    # The aligned crop of the library's own face number 1.
    face = detect_faces(read_photo(group).pixels, thorough=True)[1]
    crop = ffhq_alignment(face.landmarks, 96).crop(read_photo(group).pixels)
    assert np.abs(found.thumbnails[1] - crop).max() <= 0.5


def test_bad_uploads_are_refused_in_words(warp, hopper_path, tmp_path, monkeypatch):
    grey = tmp_path / "grey.png"
    Image.fromarray(np.full((200, 200, 3), 128, np.uint8)).save(grey)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 nothing")
    with pytest.raises(NoFaceError, match="no face was found"):
        swap_photo(warp, hopper_path, grey, SwapChoices(), tmp_path)
    # The broken one is told before the work on the other.
    with pytest.raises(ImageReadError, match="truncated or damaged"):
        swap_photo(warp, grey, broken, SwapChoices(), tmp_path)
    with pytest.raises(FaceSelectionError, match="face 5 was asked for"):
        swap_photo(warp, hopper_path, hopper_path, SwapChoices((5,)), tmp_path)
    with pytest.raises(AppError, match="refine"):
        swap_photo(warp, hopper_path, hopper_path, SwapChoices(refine=31), tmp_path)
    monkeypatch.setenv("STYLEGAN_SWAP_MAX_PIXELS", "1000")
    with pytest.raises(ImageReadError, match="megapixels"):
        swap_photo(warp, hopper_path, grey, SwapChoices(), tmp_path)


def test_an_edit_is_that_of_the_library(network, group, tmp_path):
    outcome = edit_photo(network, group, {"smile": 1.5, "yaw": 0.0}, 1, "PNG", tmp_path)
    direct = np.asarray(network.edit(group, {"smile": 1.5}, face=1).image)
    assert np.array_equal(pixels_of(outcome.file), embed_watermark(direct, Kind.EDITED))
    assert len(outcome.distances) == 1 and outcome.distances[0] < 0.5
    with pytest.raises(AppError, match="move at least one slider"):
        edit_photo(network, group, {"smile": 0.0}, None, "PNG", tmp_path)
    every = tmp_path / "all"
    every.mkdir()
    assert len(edit_photo(network, group, {"smile": 1.0}, ALL_FACES, "PNG", every).distances) == 2


def test_every_direction_has_a_slider(network):
    dials = {dial.name: dial for dial in dials_of(network.directions)}
    assert list(dials) == list(network.directions)
    assert dials["smile"].reach == 2.0 and dials["mouth_open"].label == "Mouth open"
    assert dials["yaw"].reach == 12.0 and dials["yaw"].label == "Yaw (degrees)"


def test_drawn_faces_are_those_of_their_seeds(network, tmp_path):
    drawn = generate_faces(network, 2, 7, 0.6, tmp_path)
    assert [caption for _, caption in drawn] == ["seed 7", "seed 8"]
    expected = np.asarray(network.generate(truncation_psi=0.6, seed=8)[0])
    assert np.array_equal(pixels_of(drawn[1][0]), embed_watermark(expected, Kind.GENERATED))
    assert read_marks(drawn[0][0]).source_type.endswith("/trainedAlgorithmicMedia")
    for number, psi in ((0, 0.5), (13, 0.5), (1, 1.1)):
        with pytest.raises(AppError):
            generate_faces(network, number, 0, psi, tmp_path)


@pytest.fixture(scope="module")
def clip(astronaut, tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", panned(astronaut, 25), sound="aac")


def test_a_clip_is_swapped_and_told(hopper_path, clip, tmp_path):
    swapper = Swapper.from_pretrained("paste", device="cpu")
    job = ClipJob(swapper, hopper_path, clip, ClipChoices(start=0.0, end=0.2), tmp_path, 60)
    waits = sum(1 for _ in job.run())
    assert waits >= 1 and (job.finished, job.outcome.frames, job.outcome.swapped) == (5, 5, 5)
    assert job.outcome.path.name == "clip-swapped.mp4"
    assert b"compositeWithTrainedAlgorithmicMedia" in job.outcome.path.read_bytes()


def test_a_stopped_clip_leaves_nothing(hopper_path, clip, tmp_path):
    swapper = Swapper.from_pretrained("paste", device="cpu")
    folder = tmp_path / "result"
    folder.mkdir()
    job, jobs = ClipJob(swapper, hopper_path, clip, ClipChoices(), folder, 60), ClipJobs()
    # Another visitor's button stops nothing.
    with jobs.running("mine", job):
        assert not jobs.stop("theirs") and jobs.stop("mine")
        with pytest.raises(Stopped):
            list(job.run())
    assert not folder.exists() and not jobs.stop("mine")


def test_a_visitor_who_leaves_stops_the_clip(hopper_path, clip, tmp_path):
    swapper = Swapper.from_pretrained("paste", device="cpu")
    folder = tmp_path / "result"
    folder.mkdir()
    job = ClipJob(swapper, hopper_path, clip, ClipChoices(), folder, 60)
    running = job.run()
    next(running)
    running.close()
    deadline = time.monotonic() + 30
    while any(thread.name == "clip" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the thread goes on for nobody"
        time.sleep(0.05)
    assert job.finished < 25 and not folder.exists()


def test_errors_of_a_clip_come_back(hopper_path, clip, tmp_path):
    folder = tmp_path / "result"
    folder.mkdir()
    choices = ClipChoices(face=3, end=0.04)
    job = ClipJob(Swapper.from_pretrained("paste"), hopper_path, clip, choices, folder, 60)
    with pytest.raises(FaceSelectionError, match="face 3 was seen in no frame"):
        list(job.run())
    assert not folder.exists()


def test_long_and_backward_clips_are_refused(clip, hopper_path, tmp_path, monkeypatch):
    with pytest.raises(AppError, match=r"clip\.mp4: it has 1 s; this page swaps up to 1 s"):
        check_clip(clip, 0.0, None, 0.4)
    assert check_clip(clip, 0.5, None, 0.4) == 23
    for start, end in ((2.0, 1.0), (-1.0, None)):
        with pytest.raises(AppError, match="to"):
            check_clip(clip, start, end, 60)
    monkeypatch.setattr("stylegan_swap.app.clip.MOST_PIXELS", 320 * 256 - 1)
    with pytest.raises(AppError, match="more than 4K"):
        check_clip(clip, 0.0, None, 60)
    with pytest.raises(AppError, match="choose a clip first"):
        ClipJob(Swapper.from_pretrained("paste"), hopper_path, None, ClipChoices(), tmp_path, 60)


def test_a_clip_longer_than_it_says_is_stopped(hopper_path, clip, tmp_path, monkeypatch):
    monkeypatch.setattr("stylegan_swap.app.clip.check_clip", lambda *_: 3)
    job = ClipJob(Swapper.from_pretrained("paste"), hopper_path, clip, ClipChoices(), tmp_path, 60)
    with pytest.raises(AppError, match="longer than it says"):
        list(job.run())
