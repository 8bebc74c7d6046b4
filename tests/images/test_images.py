"""Every kind of picture comes in right, and every bad one is refused by name."""

import io
import os
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from stylegan_swap.errors import ImageReadError
from stylegan_swap.images.photo import Photo, read_photo


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


# ---- what comes in


def test_formats(scene, tmp_path):
    for suffix in ("png", "jpg", "webp", "tif", "bmp"):
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


def test_orientation_is_applied(scene, tmp_path):
    for suffix in ("jpg", "png", "webp", "tif"):
        exif = Image.Exif()
        exif[0x0112] = 6
        path = tmp_path / f"turned.{suffix}"
        Image.fromarray(scene).save(path, exif=exif)
        pixels = read_photo(path).pixels
        assert pixels.shape == (40, 20, 3)
        assert np.abs(pixels.astype(int) - np.rot90(scene, -1)).mean() < 12


def test_each_orientation_is_undone(tmp_path):
    for orientation in range(1, 9):
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
    with Image.open(tmp_path / "la.png") as image:
        premultiplied = read_photo(image.convert("La"))
    assert (premultiplied.alpha == alpha).all() and premultiplied.pixels[-1, -1, 0] in range(70, 85)


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


def test_floating_point_is_scaled(tmp_path):
    for values, expected in (
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 0.0, 1000.0], [0, 0, 255]),
    ):
        Image.fromarray(np.array([values], np.float32)).save(tmp_path / "f.tif")
        photo = read_photo(tmp_path / "f.tif")
        assert np.abs(photo.pixels[0, :, 2].astype(int) - expected).max() <= 1 and len(photo.notes) == 1


def test_32_bit_integers_are_scaled():
    image = Image.fromarray(np.array([[0, 32768, 65535]], np.int32))
    assert read_photo(image).pixels[0, :, 0].tolist() == [0, 128, 255]


def test_nan_in_a_floating_point_picture(tmp_path):
    Image.fromarray(np.array([[0.5, np.nan]], np.float32)).save(tmp_path / "n.tif")
    refused(tmp_path / "n.tif", "n.tif", "NaN")


def test_first_frame_of_several(tmp_path):
    for suffix in ("gif", "png", "webp", "tif"):
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


def test_wrong_arrays():
    for array, word in (
        (np.zeros((4, 4, 3), np.uint16), "uint8"),
        (np.zeros((4, 4, 3), np.float32), "uint8"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.zeros((4, 4, 2), np.uint8), "[H, W, 3]"),
        (np.zeros((3, 4, 5), np.uint8), "channels last"),
        (np.zeros((1, 4, 4, 3), np.uint8), "[H, W, 3]"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros(4, np.uint8), "[H, W, 3]"),
    ):
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *(
            (b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand, "HEIC")
            for brand in (b"hevc", b"hevx", b"hevm")
        ),
        (b"\0\0\0\x18ftypmiaf\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypMiHE\0\0\0\0mif1heix", "HEIC"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "raw file of a camera"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\x00\x10", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0", "JPEG 2000"),
        (b"FUJIFILMCCD-RAW 0201", "raw file of a camera"),
        (b"\x76\x2f\x31\x01\x02", "OpenEXR"),
    ],
)
def test_pictures_that_are_not_read_are_called_by_their_names(tmp_path, content, words):
    (tmp_path / "other.pic").write_bytes(content.ljust(200, b"\0"))
    refused(tmp_path / "other.pic", "other.pic", words)


def tiff(tags: dict[int, tuple[int, ...]], order: str) -> bytes:
    """A TIFF of these tags, all of type short; big or little end first."""
    start, values, entries = 8 + 2 + 12 * len(tags) + 4, b"", b""
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}H", *numbers)
        place = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", start + len(values))
        entries += struct.pack(f"{order}HHI", tag, 3, len(numbers)) + place
        values += b"" if len(packed) <= 4 else packed
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IH", 8, len(tags)) + entries + bytes(4) + values + bytes(4096)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({258: (32, 32, 32), 262: (2,), 277: (3,), 339: (3, 3, 3)}, "RGB, 3 × 32-bit float"),
        ({258: (16, 16), 262: (1,), 277: (2,), 338: (2,)}, "grey with alpha, 2 × 16-bit"),
        ({258: (8,) * 5, 262: (5,), 277: (5,), 338: (2,)}, "CMYK with alpha, 5 × 8-bit"),
        ({258: (8, 8, 8), 262: (2,), 277: (3,), 259: (34712,)}, "compression 34712"),
        ({258: (14,), 262: (32803,), 277: (1,)}, "raw file of a camera"),
    ],
)
def test_pixels_of_a_tiff_that_are_not_read_are_told(tmp_path, tags, words, order):
    file = tmp_path / "picture.tif"
    whole = tiff({256: (16,), 257: (16,), 259: (1,), 273: (300,), 278: (16,), 279: (2000,)} | tags, order)
    file.write_bytes(whole)
    refused(file, "picture.tif", words)
    file.write_bytes(whole[:20])
    refused(file, "picture.tif", "damaged")


def test_a_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "ordinary file")


def test_formats_outside_the_list(scene, tmp_path):
    Image.fromarray(scene).save(tmp_path / "a.eps")
    Image.fromarray(scene).save(tmp_path / "b.ppm")
    refused(tmp_path / "a.eps", "PostScript")
    refused(tmp_path / "b.ppm", "no known format")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_truncated(tmp_path):
    for suffix in ("jpg", "png", "webp", "tif", "gif"):
        noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
        path = tmp_path / f"half.{suffix}"
        Image.fromarray(noise).save(path, **({"compression": "tiff_deflate"} if suffix == "tif" else {}))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        refused(path, path.name, "")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "gif", "bmp", "avif"])
def test_random_damage_is_survived(scene, tmp_path, suffix):
    path, random = tmp_path / f"d.{suffix}", np.random.default_rng(5)
    try:
        Image.fromarray(scene).save(path)
    except (KeyError, OSError):
        pytest.skip("this Pillow does not write it")
    good, refusals = path.read_bytes(), 0
    for _ in range(80):
        data = bytearray(good)
        for position in random.integers(0, len(data), 4):
            data[position] = random.integers(256)
        path.write_bytes(data[: random.integers(len(data) // 2, 2 * len(data))])
        try:
            read_photo(path)
        except ImageReadError as error:
            assert "\n" not in str(error)
            refusals += 1
    assert refusals > 5


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
    assert before == Image.MAX_IMAGE_PIXELS


def test_pillows_own_lower_limit_does_not_stand_in_the_way(scene, tmp_path, monkeypatch):
    Image.fromarray(scene).save(tmp_path / "a.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_photo(tmp_path / "a.tif").pixels.shape == (20, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_reading_pictures_does_not_import_torch():
    code = "import sys, stylegan_swap.images.photo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_subclasses_of_arrays_are_read_as_plain_arrays():
    gray = np.arange(12 * 9, dtype=np.uint8).reshape(12, 9)
    photo = read_photo(np.matrix(gray))
    assert type(photo.pixels) is np.ndarray
    assert np.array_equal(photo.pixels, np.repeat(gray[:, :, None], 3, axis=2))
    rgba = np.dstack([gray] * 4)
    masked = read_photo(np.ma.masked_greater(rgba, 50))
    assert type(masked.pixels) is np.ndarray
    assert type(masked.alpha) is np.ndarray
    assert np.array_equal(masked.pixels, rgba[:, :, :3])
    with pytest.raises(ImageReadError, match="must be uint8"):
        read_photo(np.matrix(np.eye(4)))
