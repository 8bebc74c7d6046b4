"""Reading folders of photographs: manifest and split, plain folders, the cache, and every way to go wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from stylegan_swap.cli.main import app
from stylegan_swap.errors import ImageReadError, NoFaceError, StyleganSwapWarning
from stylegan_swap.faces.geometry.align import ffhq_alignment, ffhq_side
from stylegan_swap.training.data.photos import Photos


def test_only_rows_of_the_split_are_read(photo_folder):
    assert [Photos.from_folder(photo_folder, split=split).people() for split in ("train", "val")] == [
        {"eileen": [0]},
        {"grace": [0]},
    ]


def test_the_crop_is_the_aligned_photo(photo_folder, astronaut, astronaut_face):
    photos = Photos.from_folder(photo_folder, side=128)
    alignment = ffhq_alignment(astronaut_face.landmarks, 128)
    assert photos.image(0).shape == (128, 128, 3) and photos.image(0).dtype == np.uint8
    assert np.abs(photos.image(0) - alignment.crop(astronaut)).mean() < 2.5
    np.testing.assert_allclose(photos.landmarks(0), alignment.to_crop(astronaut_face.landmarks), atol=1e-3)
    assert photos.sharp_side(0) == pytest.approx(ffhq_side(astronaut_face.landmarks))
    assert (photos.expression(0), photos.source(0), photos.name(0)) == ("smiling", "nasa", "nasa/eileen.png")
    assert not photos.wears_glasses(0)


def test_landmarks_come_from_the_file(photo_folder, astronaut_face):
    """Points moved in the file move the crop: nothing is detected again."""
    file = photo_folder / "landmarks68.json"
    points = json.loads(file.read_text())
    points["nasa/eileen.png"] = (astronaut_face.landmarks + 20).tolist()
    before = Photos.from_folder(photo_folder)
    file.write_text(json.dumps(points))
    after = Photos.from_folder(photo_folder)
    np.testing.assert_allclose(after.landmarks(0), before.landmarks(0), atol=1e-3)
    assert np.abs(after.image(0).astype(int) - before.image(0)).mean() > 10


def test_landmarks_follow_the_size(few_photos):
    """The centre of the crop stays its centre: pixel centres lie at whole numbers."""
    half = few_photos.landmarks(0, 128)
    np.testing.assert_allclose(half + 0.5, (few_photos.landmarks(0) + 0.5) / 2, atol=1e-4)
    assert few_photos.resized(0, 128).shape == (128, 128, 3)


def test_a_plain_folder_is_detected_and_cached(tmp_path, astronaut, hopper, monkeypatch):
    folder = tmp_path / "photos"
    (folder / "grace").mkdir(parents=True)
    Image.fromarray(astronaut).save(folder / "eileen.png")
    Image.fromarray(hopper).save(folder / "grace" / "1.png")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / "nobody.png")
    cache = tmp_path / "cache" / "photos.faces"
    with pytest.warns(StyleganSwapWarning, match=r"nobody\.png: no face found") as caught:
        photos = Photos.from_folder(folder, cache=cache)
    assert len(caught) == 1
    assert photos.people() == {"eileen": [0], "grace": [1]}
    assert photos.source(1) == "grace" and photos.wears_glasses(1)

    def refuse(*_, **__):
        raise AssertionError("detected again")

    monkeypatch.setattr("stylegan_swap.training.data.photo_folder.detect_faces", refuse)
    again = Photos.from_folder(folder, cache=cache)
    np.testing.assert_array_equal(again.image(1), photos.image(1))
    Image.fromarray(astronaut[::2]).save(folder / "another.png")
    with pytest.raises(AssertionError, match="detected again"):
        Photos.from_folder(folder, cache=cache)


def test_a_manifest_with_semicolons_and_a_byte_order_mark(photo_folder):
    plain = Photos.from_folder(photo_folder)
    manifest = photo_folder / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",", ";"), "utf-8-sig")
    photos = Photos.from_folder(photo_folder)
    assert photos.people() == plain.people()
    np.testing.assert_array_equal(photos.image(0), plain.image(0))


def cut(file):
    """Half of a file, as an interrupted copy leaves it."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_damaged_photos_of_a_plain_folder_are_left_out_and_listed(tmp_path, astronaut, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(astronaut[::2, ::2]).save(tmp_path / name)
    cut(tmp_path / "a.png")
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.warns(
        StyleganSwapWarning, match=r"2 photographs .*left out: a\.png \(.*truncated.*c\.png \(.*empty"
    ):
        photos = Photos.from_folder(tmp_path)
    assert photos.people() == {"b": [0]}
    cut(tmp_path / "b.png")
    with pytest.raises(ImageReadError, match=r"no photograph can be read: a\.png .*b\.png .*c\.png"):
        Photos.from_folder(tmp_path)


def test_damaged_photos_of_a_manifest_are_left_out_and_listed(photo_folder, tmp_path):
    manifest = photo_folder / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("val", "train"))
    cut(photo_folder / "nasa" / "eileen.png")
    with pytest.warns(StyleganSwapWarning, match=r"left out: nasa/eileen\.png \(") as caught:
        photos = Photos.from_folder(photo_folder)
    assert photos.people() == {"grace": [0]} and len(caught) == 1
    # Packing goes the same way.
    with pytest.warns(StyleganSwapWarning, match="left out"):
        result = CliRunner().invoke(app, ["pack", str(photo_folder), str(tmp_path / "a.faces")])
    assert result.exit_code == 0 and len(Photos.from_pack(tmp_path / "a.faces")) == 1


def test_what_is_missing_is_named(photo_folder, tmp_path):
    with pytest.raises(ImageReadError, match="nowhere: no such folder"):
        Photos.from_folder(tmp_path / "nowhere")
    with pytest.raises(ImageReadError, match="no photo has split 'test'; choose one of train, val"):
        Photos.from_folder(photo_folder, split="test")
    (photo_folder / "nasa" / "eileen.png").unlink()
    with pytest.raises(ImageReadError, match=r"eileen\.png"):
        Photos.from_folder(photo_folder)
    (photo_folder / "landmarks68.json").write_text("{}")
    with pytest.raises(ImageReadError, match=r"no landmarks of nasa/eileen\.png"):
        Photos.from_folder(photo_folder)
    (photo_folder / "landmarks68.json").unlink()
    with pytest.raises(ImageReadError, match=r"landmarks68\.json: missing"):
        Photos.from_folder(photo_folder)
    (photo_folder / "manifest.csv").write_text("file,person\na.png,a\n")
    with pytest.raises(ImageReadError, match="no rows or no column split"):
        Photos.from_folder(photo_folder)


def test_a_folder_without_faces(tmp_path):
    with pytest.raises(ImageReadError, match="no photographs"):
        Photos.from_folder(tmp_path)
    with pytest.raises(ImageReadError, match=r"without manifest\.csv all photos are 'train'"):
        Photos.from_folder(tmp_path, split="val")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "nobody.png")
    with pytest.warns(StyleganSwapWarning), pytest.raises(NoFaceError, match="none of the 1 photographs"):
        Photos.from_folder(tmp_path)
    with pytest.raises(ImageReadError, match="at least one face"):
        Photos([])


@pytest.mark.faces
@pytest.mark.slow
def test_the_licensed_photographs(faces_folder):
    photos = Photos.from_folder(faces_folder, split="val")
    assert len(photos) == 85
    sides = {name: [] for name in {photos.source(number) for number in range(len(photos))}}
    for number in range(len(photos)):
        sides[photos.source(number)].append(photos.sharp_side(number))
        assert np.all(photos.landmarks(number)[17:] > 0) and np.all(photos.landmarks(number)[17:] < 256)
    assert 190 < np.median(sides["congress"]) < 230 and 700 < np.median(sides["london"]) < 900
