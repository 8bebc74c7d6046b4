"""Photographs from memory: bytes and binary file objects are read as the file they hold."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from stylegan_swap.errors import ImageReadError
from stylegan_swap.images.photo import read_photo


@pytest.fixture
def picture(tmp_path):
    """A JPEG that lies on its side, with a credit."""
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "A. Painter"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "sideways.jpg", exif=exif)
    return tmp_path / "sideways.jpg"


@pytest.mark.parametrize("kind", [bytes, bytearray, io.BytesIO])
def test_memory_reads_as_the_file(picture, kind):
    photo, expected = read_photo(kind(picture.read_bytes())), read_photo(picture)
    assert np.array_equal(photo.pixels, expected.pixels)
    assert photo.pixels.shape == (30, 20, 3)
    assert photo.credit == expected.credit == {"artist": "A. Painter"}


def test_an_open_file_keeps_its_path_and_stays_open(picture):
    with picture.open("rb") as file:
        photo = read_photo(file)
        assert not file.closed
    assert photo.name == str(picture)


@pytest.mark.parametrize("data", [b"", b"not a picture at all"])
@pytest.mark.parametrize("kind", [bytes, bytearray, io.BytesIO])
def test_what_is_no_picture_is_refused(data, kind):
    with pytest.raises(ImageReadError):
        read_photo(kind(data))


def test_truncated_bytes_are_refused(picture):
    with pytest.raises(ImageReadError):
        read_photo(picture.read_bytes()[:-200])


def test_files_that_give_no_bytes_are_refused(picture, tmp_path):
    with pytest.raises(ImageReadError, match="binary"):
        read_photo(io.StringIO("text"))
    file = picture.open("rb")
    file.close()
    with pytest.raises(ImageReadError, match="cannot be read"):
        read_photo(file)
    with (tmp_path / "new.png").open("wb") as writing, pytest.raises(ImageReadError, match="cannot be read"):
        read_photo(writing)
