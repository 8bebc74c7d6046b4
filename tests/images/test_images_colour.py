"""Colours arrive as sRGB: embedded profiles are applied, broken ones ignored, CMYK and Lab converted."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from stylegan_swap.images.photo import read_photo


@pytest.fixture
def scene():
    """A smooth 40 × 20 picture whose corners differ: red to the right, green downwards, blue constant."""
    x, y = np.meshgrid(np.linspace(20, 235, 40), np.linspace(20, 235, 20))
    return np.stack([x, y, np.full_like(x, 90)], axis=-1).astype(np.uint8)


def number(value):
    return round(value * 65536).to_bytes(4, "big", signed=True)


def icc(space, connection, tags):
    """A minimal ICC v2 profile."""
    tags = {b"desc": b"desc\0\0\0\0\0\0\0\5test\0" + b"\0" * 79, b"cprt": b"text\0\0\0\0none\0\0\0\0"} | tags
    white = b"".join(map(number, (0.9642, 1, 0.8249)))
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + white
    table, body, offset = len(tags).to_bytes(4, "big"), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + (offset + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data + b"\0" * (-len(data) % 4)
    kind = b"mntr" if space == b"RGB " else b"prtr"
    head = b"\0" * 8 + b"\x02\x40\0\0" + kind + space + connection + b"\0" * 12 + b"acsp" + b"\0" * 28
    whole = head + white + b"\0" * 48 + table + body
    return len(whole).to_bytes(4, "big") + whole[4:]


def matrix_profile(red, green, blue):
    """A profile from the XYZ of its primaries, gamma 2.2."""
    tags = {b"rTRC": b"curv\0\0\0\0\0\0\0\1\x02\x33\0\0"}
    tags[b"gTRC"] = tags[b"bTRC"] = tags[b"rTRC"]
    for name, xyz in ((b"rXYZ", red), (b"gXYZ", green), (b"bXYZ", blue)):
        tags[name] = b"XYZ \0\0\0\0" + b"".join(map(number, xyz))
    return icc(b"RGB ", b"XYZ ", tags)


def gray_ink_profile():
    """A CMYK profile of a printer whose four inks are all the same gray."""
    ramp = bytes(range(256))
    corners = [255 - inks.bit_count() * 255 // 4 for inks in range(16)]
    table = b"".join(bytes([lightness, 128, 128]) for lightness in corners)
    matrix = b"".join(number(value) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return icc(b"CMYK", b"Lab ", {b"A2B0": b"mft1\0\0\0\0\4\3\2\0" + matrix + ramp * 4 + table + ramp * 3})


# Adobe RGB (1998): its red and blue are those of sRGB, its green lies outside.
WIDE = matrix_profile((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def test_cmyk_without_profile(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=95)
    photo = read_photo(tmp_path / "c.jpg")
    red, green, blue = photo.pixels[4, 4]
    assert red > 240 and green < 15 and blue < 15
    assert any("CMYK" in note for note in photo.notes)


def test_cmyk_with_profile(tmp_path):
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "c.tif", icc_profile=gray_ink_profile())
    photo = read_photo(tmp_path / "c.tif")
    # Three quarters of the lightness is sRGB 185; without the profile it would be cyan.
    assert np.abs(photo.pixels[4, 4].astype(int) - 185).max() <= 4 and photo.notes == []


def test_cmyk_with_a_profile_of_another_space_falls_back(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=95, icc_profile=WIDE)
    photo = read_photo(tmp_path / "c.jpg")
    assert photo.pixels[4, 4, 0] > 240 and any("profile" in note for note in photo.notes)


def test_profile_is_converted_to_srgb(tmp_path):
    colour = (100, 180, 90)
    Image.new("RGB", (4, 4), colour).save(tmp_path / "wide.png", icc_profile=WIDE)
    Image.new("RGBA", (4, 4), (*colour, 40)).save(tmp_path / "wide_alpha.png", icc_profile=WIDE)
    red, green, blue = read_photo(tmp_path / "wide.png").pixels[0, 0].astype(int)
    # The wider green primary makes the same numbers a stronger green: sRGB needs far less red for it.
    assert red < 75 and green >= 180 and blue < 90
    with_alpha = read_photo(tmp_path / "wide_alpha.png")
    assert with_alpha.pixels[0, 0].tolist() == [red, green, blue] and (with_alpha.alpha == 40).all()


def test_srgb_profile_changes_nothing(scene, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(scene).save(tmp_path / "s.png", icc_profile=profile)
    photo = read_photo(tmp_path / "s.png")
    assert (photo.pixels == scene).all() and photo.notes == []


def test_profile_of_colours_on_a_gray_picture(tmp_path):
    Image.new("L", (4, 4), 120).save(tmp_path / "g.jpg", icc_profile=WIDE)
    photo = read_photo(tmp_path / "g.jpg")
    assert np.abs(photo.pixels.astype(int) - 120).max() <= 2 and photo.notes == []


def test_broken_profile_is_ignored_and_noted(scene, tmp_path):
    Image.fromarray(scene).save(tmp_path / "s.png", icc_profile=b"no profile at all")
    photo = read_photo(tmp_path / "s.png")
    assert (photo.pixels == scene).all() and any("profile" in note for note in photo.notes)


def test_lab_picture(tmp_path):
    Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (128, 128, 128)]).save(
        tmp_path / "lab.tif"
    )
    pixels = read_photo(tmp_path / "lab.tif").pixels
    assert np.ptp(pixels[0, 0].astype(int)) <= 3 and 110 < pixels[0, 0, 1] < 130
