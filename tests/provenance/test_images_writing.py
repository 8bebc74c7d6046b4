"""Results are whole or absent, marked, credited, and carry nothing else of the photo's metadata."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan_swap.errors import ImageWriteError
from stylegan_swap.images.photo import (
    read_photo,
)
from stylegan_swap.provenance import metadata as provenance
from stylegan_swap.provenance.photo_file import (
    check_writable,
    write_photo,
)

GPS_IFD, EXIF_IFD = 0x8825, 0x8769


@pytest.fixture
def scene():
    """A smooth 40 × 20 picture whose corners differ: red to the right, green downwards, blue constant."""
    x, y = np.meshgrid(np.linspace(20, 235, 40), np.linspace(20, 235, 20))
    return np.stack([x, y, np.full_like(x, 90)], axis=-1).astype(np.uint8)


# ---- metadata


@pytest.fixture
def tagged(scene, tmp_path):
    exif = Image.Exif()
    exif[0x013B], exif[0x8298], exif[0x010E] = (
        "Zoë Müller".encode(),
        "© 2024 Müller <&>".encode(),
        "A\x01 face\n",
    )
    exif[0x0110] = "SecretCamera"
    exif.get_ifd(EXIF_IFD)[0x9003] = "2024:05:31 10:20:30"
    exif.get_ifd(EXIF_IFD)[0xA431] = "SERIAL12345"
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (48.0, 8.0, 14.0), 29: "2024:05:31"})
    path = tmp_path / "tagged.jpg"
    Image.fromarray(scene).save(path, exif=exif)
    assert b"SERIAL12345" in path.read_bytes()
    return path


def test_credit_survives_and_nothing_else(tagged, tmp_path):
    for suffix in ("png", "jpg", "webp", "tif"):
        photo = read_photo(tagged)
        expected = {
            "artist": "Zoë Müller",
            "copyright": "© 2024 Müller <&>",
            "description": "A face",
            "date": "2024:05:31 10:20:30",
        }
        assert photo.credit == expected
        out = tmp_path / f"out.{suffix}"
        assert write_photo(out, photo.pixels, credit=photo.credit | {"gps": "48.137"}) == []
        data = out.read_bytes()
        assert b"SecretCamera" not in data and b"SERIAL12345" not in data and b"48.137" not in data
        with Image.open(out) as image:
            image.load()
            assert GPS_IFD not in image.getexif() and not image.getexif().get_ifd(GPS_IFD)
            assert image.getexif().get(0x0112, 1) == 1
        assert read_photo(out).credit == expected


# ---- what goes out


def test_lossless_round_trip_with_alpha(scene, tmp_path):
    for suffix in ("png", "tif", "tiff"):
        alpha = scene[:, :, 1]
        out = tmp_path / f"o.{suffix}"
        assert write_photo(str(out), scene, alpha=alpha) == []
        photo = read_photo(out)
        assert (photo.pixels == scene).all() and (photo.alpha == alpha).all()


def test_webp_keeps_alpha(scene, tmp_path):
    write_photo(tmp_path / "o.webp", scene, alpha=scene[:, :, 1])
    photo = read_photo(tmp_path / "o.webp")
    assert (photo.alpha == scene[:, :, 1]).all()
    assert np.abs(photo.pixels.astype(int) - scene).mean() < 4


def test_jpeg_drops_alpha_and_keeps_full_chroma(scene, tmp_path):
    notes = write_photo(tmp_path / "o.JPG", scene, alpha=scene[:, :, 1])
    assert len(notes) == 1 and "transparency" in notes[0]
    with Image.open(tmp_path / "o.JPG") as image:
        assert [(horizontal, vertical) for _, horizontal, vertical, _ in image.layer] == [(1, 1)] * 3
        assert max(image.quantization[0]) < 13
    assert np.abs(read_photo(tmp_path / "o.JPG").pixels.astype(int) - scene).max() <= 8


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_the_mark_is_written_unless_switched_off(scene, tmp_path, suffix):
    marked, bare = tmp_path / f"m.{suffix}", tmp_path / f"b.{suffix}"
    write_photo(marked, scene, credit={"artist": "A"})
    write_photo(bare, scene, credit={"artist": "A"}, mark=False)
    assert provenance.read_marks(marked).synthetic and not provenance.read_marks(bare).synthetic
    assert b"stylegan_swap" not in bare.read_bytes()
    assert read_photo(bare).credit == {"artist": "A"}


def bad_output(words, path, overwrite=False, **options):
    with pytest.raises(ImageWriteError) as caught:
        check_writable(path, overwrite, **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_bad_outputs_are_refused_before_the_work(scene, tmp_path, monkeypatch):
    there = tmp_path / "there.png"
    write_photo(there, scene)
    assert check_writable(tmp_path / "new.png") == tmp_path / "new.png"
    bad_output(".png, .jpg", tmp_path / "new.xyz")
    bad_output(".png, .jpg", tmp_path / "new")
    bad_output("does not exist", tmp_path / "no" / "new.png")
    bad_output("exists already", there)
    assert check_writable(there, overwrite=True) == there
    (tmp_path / "folder.png").mkdir()
    bad_output("is a folder", tmp_path / "folder.png", overwrite=True)
    bad_output("input", there, overwrite=True, inputs=[scene, str(there)])
    (tmp_path / "link.png").symlink_to(there)
    bad_output("input", tmp_path / "link.png", overwrite=True, inputs=[there])
    assert check_writable(there, True, inputs=[tmp_path / "absent.png", "a\0b"]) == there
    bad_output("path", tmp_path / ("x" * 5000 + ".png"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    bad_output("permission", tmp_path / "new.png")


def test_wrong_pixels_are_not_written(tmp_path):
    for pixels, alpha, quality, word in (
        (np.zeros((4, 4, 3), np.float32), None, 95, "uint8"),
        (np.zeros((3, 4, 4), np.uint8), None, 95, "[H, W, 3]"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8), 95, "alpha"),
        (np.zeros((4, 4, 3), np.uint8), None, 0, "quality"),
    ):
        with pytest.raises(ImageWriteError) as caught:
            write_photo(tmp_path / "o.png", pixels, alpha=alpha, quality=quality)
        assert word in str(caught.value) and list(tmp_path.iterdir()) == []


def test_existing_files_need_permission_and_keep_their_mode(scene, tmp_path):
    out = tmp_path / "o.png"
    previous = os.umask(0o027)
    try:
        write_photo(out, scene)
        assert stat.S_IMODE(out.stat().st_mode) == 0o640
    finally:
        os.umask(previous)
    with pytest.raises(ImageWriteError, match="exists already"):
        write_photo(out, scene)
    out.chmod(0o604)
    write_photo(out, 255 - scene, overwrite=True)
    assert stat.S_IMODE(out.stat().st_mode) == 0o604
    assert (read_photo(out).pixels == 255 - scene).all()


def test_a_link_stays_a_link(scene, tmp_path):
    (tmp_path / "real").mkdir()
    write_photo(tmp_path / "real" / "o.png", scene)
    (tmp_path / "o.png").symlink_to(tmp_path / "real" / "o.png")
    write_photo(tmp_path / "o.png", 255 - scene, overwrite=True)
    assert (tmp_path / "o.png").is_symlink()
    assert (read_photo(tmp_path / "real" / "o.png").pixels == 255 - scene).all()


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    code = """
import resource, sys
import numpy as np
from stylegan_swap.errors import ImageWriteError
from stylegan_swap.provenance.photo_file import write_photo
noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for name in ("old.png", "new.png", "new.jpg", "new.webp", "new.tif"):
    try:
        write_photo(sys.argv[1] + "/" + name, noise, overwrite=True)
    except ImageWriteError as error:
        print(error)
"""
    (tmp_path / "old.png").write_bytes(b"precious")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5 and "space" in done.stdout
    assert os.listdir(tmp_path) == ["old.png"] and (tmp_path / "old.png").read_bytes() == b"precious"


def test_an_interrupt_leaves_nothing_behind(scene, tmp_path, monkeypatch):
    def interrupted(self, _):
        with open(self, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_photo(tmp_path / "o.png", scene)
    assert list(tmp_path.iterdir()) == []
