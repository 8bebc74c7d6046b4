"""What the page says and how it reads its choices: no server, no network."""

from __future__ import annotations

import os
import stat
import time

import pytest

from stylegan_swap.app.actions import mask_choices, which_faces
from stylegan_swap.app.pictures import (
    chosen_file,
    duration,
    likeness,
    likenesses,
    marks,
    remaining,
    suffix_of,
)
from stylegan_swap.app.server import Settings, photos_at_once
from stylegan_swap.app.workshop import PageFolder
from stylegan_swap.errors import AppError, UnsupportedOptionError


def test_a_distance_is_told_in_words():
    words = [likeness(value) for value in (0.2, 0.5, 0.65, 0.9)]
    assert [text.split(" (")[0] for text in words] == [
        "is very much like the identity",
        "passes for the identity",
        "resembles the identity, but does not pass for the same person",
        "is hardly like the identity",
    ]
    assert "distance 0.65" in words[2]
    # At dlib's own threshold two pictures do not count as one person any more.
    assert "does not pass" in likeness(0.6)
    assert likenesses([0.3, 0.9], "the photo")[1].startswith("Swapped face 2 is hardly like the photo")


def test_what_is_left_of_a_clip_is_told():
    assert remaining(2, 100, 1.0) == "2 of 100 frames done"
    assert remaining(50, 100, 10.0) == "50 of 100 frames done, about 10 s left"
    assert remaining(7, None, 1.0) == "7 frames done"
    assert (duration(0.2), duration(119), duration(600)) == ("1 s", "119 s", "10 min")


def test_marks_are_named_as_they_are():
    assert marks(False, False) == "Marked as made with AI: metadata (XMP)."
    assert marks(True, True).endswith("metadata (XMP), an invisible watermark and a signed C2PA manifest.")


def test_ticked_faces_become_a_choice():
    for ticked, of, expected in (
        ((), 3, "largest"),
        ((0,), 1, "largest"),
        ((2, 0, 2), 3, (0, 2)),
        ((1, 0), 2, "all"),
        ((1,), 0, (1,)),
    ):
        assert which_faces(ticked, of) == expected


def test_a_face_that_is_no_number_is_refused():
    for ticked in ((-1,), ("0",), (True,), (1.0,)):
        with pytest.raises(AppError, match="whole numbers"):
            which_faces(ticked, 2)


def test_the_edge_counts_only_where_it_was_set():
    assert mask_choices("predicted", [], False, 0.3, (0, 0, 0, 0)).neutral
    chosen = mask_choices("hull", ["mouth"], True, 0.3, (0.1, 0, 0, 0.2))
    assert (chosen.blur, chosen.keep, chosen.padding) == (0.3, ("mouth",), (0.1, 0, 0, 0.2))
    with pytest.raises(UnsupportedOptionError, match="leaves nothing"):
        mask_choices("hull", [], False, 0, (0.6, 0, 0.6, 0))


def test_a_result_is_of_the_type_that_was_chosen(tmp_path):
    assert suffix_of("like the photo", tmp_path / "a.JPEG") == ".jpeg"
    assert suffix_of("like the photo", tmp_path / "a.gif") == ".png"
    assert suffix_of("WebP", tmp_path / "a.jpg") == ".webp"
    with pytest.raises(AppError, match="no file type"):
        suffix_of("../x", tmp_path / "a.jpg")


def test_a_missing_upload_is_told(tmp_path):
    for nothing in (None, ""):
        with pytest.raises(AppError, match="choose a photo first"):
            chosen_file(nothing, "a photo")
    with pytest.raises(AppError, match=r"^gone\.jpg: was deleted"):
        chosen_file(tmp_path / "gone.jpg", "a photo")


def test_the_folder_is_private_and_goes(monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/somewhere")
    with PageFolder() as folder:
        assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder.root)
        first, second = folder.fresh(), folder.fresh()
        assert first != second and len(first.name) == 32
        (first / "a.png").write_bytes(b"x")
    assert not folder.root.exists() and os.environ["GRADIO_TEMP_DIR"] == "/somewhere"


def test_old_files_are_swept_and_clips_on_their_way_are_not():
    with PageFolder() as folder:
        kept = folder.fresh() / "clip.mp4.parts"
        kept.mkdir()
        (kept / "segment.nut").write_bytes(b"x")
        old, now = folder.fresh(), time.time()
        (old / "a.png").write_bytes(b"x")
        assert folder.sweep(60, now + 30) == 0 and (old / "a.png").exists()
        assert folder.sweep(60, now + 3600) == 1 and not (old / "a.png").exists()
        # A folder counts as changed when its last file went.
        folder.sweep(60, now + 7200)
        assert not old.exists() and (kept / "segment.nut").exists()


def test_messages_name_files_and_no_folders():
    with PageFolder() as folder:
        path = folder.root / ("ab" * 32) / "my photo.jpg"
        assert folder.plain(f"{path}: no face, {path}") == "my photo.jpg: no face, my photo.jpg"
        assert folder.plain("/etc/passwd: no") == "/etc/passwd: no"


def test_photos_at_once_follow_the_machine():
    counts = [photos_at_once("cpu", cores) for cores in (1, 2, 8, 64)]
    assert counts == [1, 1, 2, 4] and photos_at_once("cuda:0", 2) == 2


def test_loopback_is_known():
    for host, only_here in (
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
    ):
        assert Settings(host=host).only_here is only_here
        assert not Settings(host="example.org").only_here
