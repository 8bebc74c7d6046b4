"""A result in a notebook, in a buffer and in one line: the same bytes and marks as in a file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from stylegan_swap import Swapper, SwapResult
from stylegan_swap.errors import ImageWriteError
from stylegan_swap.provenance.metadata import read_marks
from stylegan_swap.provenance.watermark import Kind
from stylegan_swap.verify import verify_file


@pytest.fixture
def result() -> SwapResult:
    pixels = np.random.default_rng(0).integers(60, 200, (320, 352, 3), dtype=np.uint8)
    return SwapResult(
        image=Image.fromarray(pixels),
        faces=[],
        mask=np.zeros((320, 352), np.float32),
        method="tiny",
        seed=None,
        notes=[],
        credit={"artist": "A. Painter"},
    )


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tif", ".JPEG"])
def test_a_buffer_gets_the_bytes_of_a_file(result, tmp_path, format):
    path, buffer = tmp_path / f"file.{format.lower().removeprefix('.')}", io.BytesIO()
    result.save(path, quality=80)
    result.save(buffer, format=format, quality=80)
    assert buffer.getvalue() == path.read_bytes()


def test_a_notebook_shows_a_marked_picture(result, tmp_path):
    shown = tmp_path / "shown.png"
    shown.write_bytes(result._repr_png_())
    result.save(tmp_path / "saved.png")
    assert shown.read_bytes() == (tmp_path / "saved.png").read_bytes()
    assert read_marks(shown) == read_marks(tmp_path / "saved.png")
    watermark = verify_file(shown).watermark
    assert watermark is not None and watermark.kind == Kind.SWAP


def test_an_unmarked_buffer_holds_the_pixels_as_they_are(result):
    buffer = io.BytesIO()
    result.save(buffer, format="png", mark=False)
    assert np.array_equal(Image.open(buffer), result.image)


def test_transparency_reaches_a_buffer_and_its_loss_is_noted(result):
    result.image.putalpha(77)
    buffer = io.BytesIO()
    result.save(buffer, format="png")
    assert Image.open(buffer).getextrema()[3] == (77, 77)
    result.save(io.BytesIO(), format="jpg")
    assert any("transparency" in note for note in result.notes)


def test_formats_that_say_nothing_are_refused(result, tmp_path):
    with pytest.raises(ImageWriteError, match="format"):
        result.save(io.BytesIO())
    with pytest.raises(ImageWriteError, match="png"):
        result.save(io.BytesIO(), format="bmp")
    with pytest.raises(ImageWriteError, match="suffix"):
        result.save(tmp_path / "file.png", format="jpg")
    assert list(tmp_path.iterdir()) == []


def test_everything_shows_itself_in_one_line(tiny_checkpoint, hopper, two_faces):
    swapper = Swapper.from_pretrained(tiny_checkpoint, device="cpu")
    person = swapper.prepare(hopper)
    result = swapper(person, two_faces)
    for thing in (swapper, person, result, result.faces[0]):
        text = repr(thing)
        assert text.startswith(type(thing).__name__)
        assert "\n" not in text and "array(" not in text and "tensor(" not in text and len(text) < 200
    assert "cpu" in repr(swapper)
    assert f"{result.image.width}x{result.image.height}" in repr(result)
