"""Every kind of picture comes in right, every bad one is refused by name, and outputs are whole or absent."""

import io
import os
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image, ImageCms

from stylegan_swap import provenance
from stylegan_swap.errors import ImageReadError, ImageWriteError
from stylegan_swap.images import Photo, check_writable, read_photo, write_photo

GPS_IFD, EXIF_IFD = 0x8825, 0x8769


@pytest.fixture
def scene():
    """A smooth 40 × 20 picture whose corners differ: red to the right, green downwards, blue constant."""
    x, y = np.meshgrid(np.linspace(20, 235, 40), np.linspace(20, 235, 20))
    return np.stack([x, y, np.full_like(x, 90)], axis=-1).astype(np.uint8)


def refused(source, *words, error=ImageReadError, **options):
    with pytest.raises(error) as caught:
        read_photo(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def matrix_profile(red, green, blue, gamma=2.2):
    """A minimal ICC v2 RGB profile from its three primaries (XYZ under D50)."""

    def number(value):
        return round(value * 65536).to_bytes(4, "big", signed=True)

    def xyz(values):
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    curve = b"curv\0\0\0\0\0\0\0\1" + round(gamma * 256).to_bytes(2, "big") + b"\0\0"
    text = b"desc\0\0\0\0\0\0\0\5wide\0" + b"\0" * 79
    tags = {b"desc": text, b"wtpt": xyz((0.9642, 1, 0.8249)), b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    tags |= {b"rXYZ": xyz(red), b"gXYZ": xyz(green), b"bXYZ": xyz(blue)}
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body, offset = len(tags).to_bytes(4, "big"), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + (offset + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    head = b"\0\0\0\0" + b"\x02\x40\0\0mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28
    head += b"".join(map(number, (0.9642, 1, 0.8249))) + b"\0" * 48
    whole = head + table + body
    return len(whole).to_bytes(4, "big") + whole[4:]


# Adobe RGB (1998): its red and blue are those of sRGB, its green lies outside.
WIDE = matrix_profile((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


# ---- what comes in


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_formats(scene, tmp_path, suffix):
    path = tmp_path / f"Bild mit ü {suffix}.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix == "jpg" else {}
    Image.fromarray(scene).save(path, **options)
    photo = read_photo(str(path))
    assert photo.pixels.shape == (20, 40, 3) and photo.pixels.dtype == np.uint8
    assert photo.pixels.flags.c_contiguous and photo.alpha is None and photo.notes == []
    assert photo.name == str(path)
    difference = np.abs(photo.pixels.astype(int) - scene)
    assert difference.max() <= (12 if suffix == "jpg" else 0)


def test_avif(scene, tmp_path):
    path = tmp_path / "a.avif"
    try:
        Image.fromarray(scene).save(path, quality=95)
    except (KeyError, OSError):
        pytest.skip("this Pillow writes no AVIF")
    assert np.abs(read_photo(path).pixels.astype(int) - scene).mean() < 4


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_orientation_is_applied(scene, tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(scene).save(path, exif=exif)
    pixels = read_photo(path).pixels
    assert pixels.shape == (40, 20, 3)
    assert np.abs(pixels.astype(int) - np.rot90(scene, -1)).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_undone(tmp_path, orientation):
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    assert (read_photo(path).pixels[:, :, 1] == upright).all()
    # A Pillow image carries the tag too.
    with Image.open(path) as image:
        assert (read_photo(image).pixels[:, :, 1] == upright).all()


def test_alpha_is_kept_and_turned_with_the_picture(scene, tmp_path):
    alpha = np.linspace(0, 255, 800).astype(np.uint8).reshape(20, 40)
    exif = Image.Exif()
    exif[0x0112] = 8
    path = tmp_path / "a.png"
    Image.fromarray(np.dstack([scene, alpha])).save(path, exif=exif)
    photo = read_photo(path)
    assert photo.alpha.shape == (40, 20) and (photo.alpha == np.rot90(alpha)).all()
    assert (photo.pixels == np.rot90(scene)).all()


def test_gray_with_alpha(tmp_path):
    gray, alpha = np.full((4, 5), 77, np.uint8), np.arange(20, dtype=np.uint8).reshape(4, 5)
    Image.merge("LA", [Image.fromarray(gray), Image.fromarray(alpha)]).save(tmp_path / "la.png")
    photo = read_photo(tmp_path / "la.png")
    assert (photo.pixels == 77).all() and (photo.alpha == alpha).all()


@pytest.mark.parametrize("transparent", [False, True])
def test_palette(tmp_path, transparent):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    image.putpalette([10, 200, 30, 250, 5, 60])
    image.save(tmp_path / "p.png", **({"transparency": 1} if transparent else {}))
    photo = read_photo(tmp_path / "p.png")
    assert photo.pixels[0, 0].tolist() == [10, 200, 30] and photo.pixels[0, 1].tolist() == [250, 5, 60]
    if transparent:
        assert photo.alpha.tolist() == [[255, 0], [0, 255]]
    else:
        assert photo.alpha is None


def test_cmyk_without_profile(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=95)
    photo = read_photo(tmp_path / "c.jpg")
    red, green, blue = photo.pixels[4, 4]
    assert red > 240 and green < 15 and blue < 15
    assert any("CMYK" in note for note in photo.notes)


def test_cmyk_with_a_profile_of_another_space_falls_back(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=95, icc_profile=WIDE)
    photo = read_photo(tmp_path / "c.jpg")
    assert photo.pixels[4, 4, 0] > 240 and any("profile" in note for note in photo.notes)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_gray_is_scaled(tmp_path, suffix):
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"g.{suffix}")
    photo = read_photo(tmp_path / f"g.{suffix}")
    assert photo.pixels[0, :, 0].tolist() == [0, 1, 128, 255]
    assert photo.notes == ["16-bit gray reduced to 8 bit"]


def test_16_bit_colour_is_noted(tmp_path):
    import zlib

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    row = b"\0" + np.array([[65535, 32768, 0], [0, 257, 513]], ">u2").tobytes()
    header = (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "deep.png").write_bytes(data)
    photo = read_photo(tmp_path / "deep.png")
    assert photo.pixels.tolist() == [[[255, 128, 0], [0, 1, 2]]]
    assert photo.notes == ["16-bit colour reduced to 8 bit"]


def test_one_bit(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "b.png")
    assert read_photo(tmp_path / "b.png").pixels[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 0.0, 1000.0], [0, 0, 255]),
    ],
)
def test_floating_point_is_scaled(tmp_path, values, expected):
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "f.tif")
    photo = read_photo(tmp_path / "f.tif")
    assert np.abs(photo.pixels[0, :, 2].astype(int) - expected).max() <= 1 and len(photo.notes) == 1


def test_32_bit_integers_are_scaled():
    image = Image.fromarray(np.array([[0, 32768, 65535]], np.int32))
    assert read_photo(image).pixels[0, :, 0].tolist() == [0, 128, 255]


def test_nan_in_a_floating_point_picture(tmp_path):
    Image.fromarray(np.array([[0.5, np.nan]], np.float32)).save(tmp_path / "n.tif")
    refused(tmp_path / "n.tif", "n.tif", "NaN")


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


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_first_frame_of_several(tmp_path, suffix):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    frames[0].save(tmp_path / f"m.{suffix}", save_all=True, append_images=frames[1:])
    photo = read_photo(tmp_path / f"m.{suffix}")
    assert photo.pixels[1, 1, 0] > 240 and photo.pixels[1, 1, 1] < 10
    assert photo.notes == ["only the first of 3 pictures in the file is used"]


# ---- arrays, Pillow images, Photos


def test_arrays(scene):
    assert (read_photo(scene).pixels == scene).all()
    assert (read_photo(scene[:, :, 0]).pixels[:, :, 2] == scene[:, :, 0]).all()
    assert (read_photo(scene[:, :, :1]).pixels[:, :, 1] == scene[:, :, 0]).all()
    four = read_photo(np.dstack([scene, scene[:, :, 0]]))
    assert (four.alpha == scene[:, :, 0]).all() and (four.pixels == scene).all()
    flipped = read_photo(scene[:, ::-1])
    assert flipped.pixels.flags.c_contiguous and (flipped.pixels == scene[:, ::-1]).all()


def test_an_array_is_copied(scene):
    photo, before = read_photo(scene), scene.copy()
    scene[:] = 0
    assert (photo.pixels == before).all()


def test_a_photo_is_returned_as_it_is(scene):
    photo = Photo(scene)
    assert read_photo(photo) is photo


@pytest.mark.parametrize(
    "array, word",
    [
        (np.zeros((4, 4, 3), np.uint16), "uint8"),
        (np.zeros((4, 4, 3), np.float32), "uint8"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.zeros((4, 4, 2), np.uint8), "[H, W, 3]"),
        (np.zeros((3, 4, 5), np.uint8), "channels last"),
        (np.zeros((1, 4, 4, 3), np.uint8), "[H, W, 3]"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros(4, np.uint8), "[H, W, 3]"),
    ],
)
def test_wrong_arrays(array, word):
    refused(array, word)


def test_wrong_kinds_of_source():
    refused(3, "int")
    refused(None, "NoneType")


# ---- bad files


def test_bad_files(scene, tmp_path):
    refused(tmp_path / "absent.jpg", "absent.jpg", "no such file")
    refused(tmp_path, "folder")
    (tmp_path / "empty.jpg").touch()
    refused(tmp_path / "empty.jpg", "empty")
    for content, word in (
        (b"hello, this is a text", "not a picture"),
        (b"<!doctype html><html>", "web page"),
        (b"\0\0\0\x20ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "video"),
        (b"%PDF-1.7\n", "PDF"),
    ):
        (tmp_path / "other.jpg").write_bytes(content)
        refused(tmp_path / "other.jpg", "other.jpg", word)
    refused("https://example.org/a.jpg", "address")
    refused("a\0b.jpg", "path")
    refused("x" * 5000 + ".jpg", "path")


def test_a_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "ordinary file")


def test_formats_outside_the_list(scene, tmp_path):
    Image.fromarray(scene).save(tmp_path / "a.eps")
    Image.fromarray(scene).save(tmp_path / "b.ppm")
    refused(tmp_path / "a.eps", "PostScript")
    refused(tmp_path / "b.ppm", "no known format")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif"])
def test_truncated(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    path = tmp_path / f"half.{suffix}"
    Image.fromarray(noise).save(path, **({"compression": "tiff_deflate"} if suffix == "tif" else {}))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, path.name, "")


def test_too_large_is_refused_before_decoding(tmp_path):
    # Made by hand: the header promises 12,000 × 9,000, and the pixels are not even there.
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = (9000).to_bytes(2, "big") + (12000).to_bytes(2, "big")
    (tmp_path / "huge.jpg").write_bytes(data)
    began = time.perf_counter()
    refused(
        tmp_path / "huge.jpg", "huge.jpg", "12000 × 9000", "108.0 megapixels", "STYLEGAN_SWAP_MAX_PIXELS=108"
    )
    assert time.perf_counter() - began < 0.5
    data[start + 5 : start + 9] = (60000).to_bytes(2, "big") + (60000).to_bytes(2, "big")
    (tmp_path / "bomb.jpg").write_bytes(data)
    refused(tmp_path / "bomb.jpg", "bomb.jpg", "64 megapixels", "STYLEGAN_SWAP_MAX_PIXELS")


def test_the_limit_can_be_moved(scene, tmp_path, monkeypatch):
    Image.fromarray(scene).save(tmp_path / "a.png")
    before = Image.MAX_IMAGE_PIXELS
    refused(tmp_path / "a.png", "40 × 20", max_pixels=799)
    refused(scene, "40 × 20", max_pixels=799)
    refused(Image.fromarray(scene), "40 × 20", max_pixels=799)
    assert read_photo(tmp_path / "a.png", max_pixels=800).pixels.shape == (20, 40, 3)
    monkeypatch.setenv("STYLEGAN_SWAP_MAX_PIXELS", "700")
    refused(tmp_path / "a.png", "40 × 20")
    monkeypatch.setenv("STYLEGAN_SWAP_MAX_PIXELS", "lots")
    refused(tmp_path / "a.png", "STYLEGAN_SWAP_MAX_PIXELS=lots")
    refused(tmp_path / "a.png", "max_pixels=0", max_pixels=0)
    assert Image.MAX_IMAGE_PIXELS == before


def test_pillows_own_lower_limit_does_not_stand_in_the_way(scene, tmp_path, monkeypatch):
    Image.fromarray(scene).save(tmp_path / "a.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_photo(tmp_path / "a.tif").pixels.shape == (20, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


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


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_credit_survives_and_nothing_else(tagged, tmp_path, suffix):
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


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff"])
def test_lossless_round_trip_with_alpha(scene, tmp_path, suffix):
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


@pytest.mark.parametrize(
    "pixels, alpha, quality, word",
    [
        (np.zeros((4, 4, 3), np.float32), None, 95, "uint8"),
        (np.zeros((3, 4, 4), np.uint8), None, 95, "[H, W, 3]"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8), 95, "alpha"),
        (np.zeros((4, 4, 3), np.uint8), None, 0, "quality"),
    ],
)
def test_wrong_pixels_are_not_written(tmp_path, pixels, alpha, quality, word):
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
from stylegan_swap.images import write_photo
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
    def interrupted(self, path, **_):
        with open(path, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_photo(tmp_path / "o.png", scene)
    assert list(tmp_path.iterdir()) == []


def test_reading_pictures_does_not_import_torch():
    code = "import sys, stylegan_swap.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
