"""The packed training set: nothing is lost on the way, nothing half written is left, damage is named."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from stylegan_swap.errors import ImageReadError, ImageWriteError
from stylegan_swap.training.data.pack import INDEX, VERSION
from stylegan_swap.training.data.photos import Photos


def test_round_trip(few_photos, tmp_path):
    file = tmp_path / "few.faces"
    few_photos.save_pack(file)
    again = Photos.from_pack(file)
    assert len(again) == len(few_photos) and again.people() == few_photos.people()
    for number in range(len(again)):
        np.testing.assert_array_equal(again.landmarks(number), few_photos.landmarks(number))
        np.testing.assert_array_equal(again.image(number), few_photos.image(number))
        for fact in ("name", "person", "expression", "source", "sharp_side", "wears_glasses"):
            assert getattr(again, fact)(number) == getattr(few_photos, fact)(number)
    assert [path.name for path in tmp_path.iterdir()] == ["few.faces"]


def test_the_crops_lose_little(astronaut_crop, astronaut, astronaut_face):
    from stylegan_swap.faces.geometry.align import ffhq_alignment

    crop = ffhq_alignment(astronaut_face.landmarks, 256).crop(astronaut)
    assert np.abs(astronaut_crop.image() - crop).mean() < 2.5
    assert len(astronaut_crop.jpeg) < 40_000


def test_equal_photos_make_equal_files(few_photos, tmp_path):
    for name in ("a.faces", "b.faces"):
        few_photos.save_pack(tmp_path / name)
    assert (tmp_path / "a.faces").read_bytes() == (tmp_path / "b.faces").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.faces") as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_failed_write_keeps_the_old_pack(few_photos, tmp_path, monkeypatch):
    file = tmp_path / "few.faces"
    few_photos.save_pack(file)
    before = file.read_bytes()

    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(ImageWriteError, match="disk full"):
        few_photos.save_pack(file)
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ImageWriteError):
        few_photos.save_pack(tmp_path / "nowhere" / "few.faces")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.update(version=VERSION + 1), "pack of version 2"),
        (lambda index: index.update(format="other"), "not a .faces pack"),
        (lambda index: index["photos"][0].pop("person"), "damaged"),
        (lambda index: index["photos"][0].update(jpeg="missing.jpg"), "damaged"),
        (lambda index: index["photos"][0].update(landmarks=[[0, 0]]), "damaged"),
    ],
)
def test_damage_is_named(few_photos, tmp_path, change, message):
    whole, broken = tmp_path / "whole.faces", tmp_path / "broken.faces"
    few_photos.save_pack(whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(broken, "w") as target:
        index = json.loads(source.read(INDEX))
        change(index)
        target.writestr(INDEX, json.dumps(index))
        for entry in index["photos"]:
            if entry["jpeg"] in source.namelist():
                target.writestr(entry["jpeg"], source.read(entry["jpeg"]))
    with pytest.raises(ImageReadError, match=rf"broken\.faces.*{message}"):
        Photos.from_pack(broken)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.faces").write_text("no zip")
    with pytest.raises(ImageReadError, match="damaged or not"):
        Photos.from_pack(tmp_path / "text.faces")
    with pytest.raises(ImageReadError, match="no such pack"):
        Photos.from_pack(tmp_path / "none.faces")


def test_one_picture_listed_many_times_takes_no_memory(few_photos, tmp_path):
    file = tmp_path / "repeated.faces"
    few_photos.save_pack(file)
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    index = json.loads(contents[INDEX])
    index["photos"] = index["photos"][:1] * 1000
    contents[INDEX] = json.dumps(index).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    with pytest.raises(ImageReadError, match="listed more than once"):
        Photos.from_pack(file)
