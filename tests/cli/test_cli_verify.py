"""``stylegan-swap verify`` reads what ``save`` wrote, also where metadata are lost; its exit code says it."""

import json
import re
import sys

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from stylegan_swap.cli.main import app
from stylegan_swap.provenance.photo_file import (
    write_photo,
)
from stylegan_swap.provenance.watermark import Kind, embed_watermark


def run(*arguments):
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


@pytest.fixture(scope="module")
def files(tmp_path_factory, hopper):
    """Marked, stripped of its metadata, metadata alone, and not marked at all."""
    folder = tmp_path_factory.mktemp("verify")
    photo = np.ascontiguousarray(hopper[:400, 100:420])
    write_photo(folder / "marked.png", photo, result=Kind.SWAP)
    cropped = np.ascontiguousarray(embed_watermark(photo)[:, 32:])
    Image.fromarray(cropped).save(folder / "stripped.jpg", quality=75)
    write_photo(folder / "metadata.png", photo)
    Image.fromarray(photo).save(folder / "photo.png")
    write_photo(folder / "unmarked.png", photo, result=Kind.SWAP, mark=False)
    return folder


def test_a_result_is_marked_thrice_over(files):
    result = run(files / "marked.png")
    assert result.exit_code == 0
    assert "MARKED" in result.stdout
    assert "compositeWithTrainedAlgorithmicMedia (synthetic), written by stylegan_swap" in result.stdout
    assert "of stylegan_swap: a face in it was swapped" in result.stdout


def test_the_watermark_is_left_where_metadata_are_lost(files):
    result = run(files / "stripped.jpg")
    assert result.exit_code == 0
    assert "name no digital source type" in result.stdout
    assert re.search(r"about (89|90|91)% of the marked picture is left", result.stdout)


def test_metadata_alone_suffice(files):
    result = run(files / "metadata.png")
    assert result.exit_code == 0 and "watermark: none found" in result.stdout


def test_nothing_found_is_exit_code_one(files):
    for name in ("photo.png", "unmarked.png"):
        result = run(files / name)
        assert result.exit_code == 1
        assert "no mark found; that proves nothing" in result.stdout


def test_json_and_several_files(files):
    result = run(files / "marked.png", files / "photo.png", "--json")
    assert result.exit_code == 1
    marked, photo = json.loads(result.stdout)
    assert marked["marked"] is True and photo["marked"] is False
    assert marked["watermark"] == {"kind": "swap", "scale": 1.0, "mirrored": False}
    assert marked["metadata"]["synthetic"] and photo["watermark"] is None


def test_an_unreadable_file_does_not_stop_the_others(files):
    result = run(files / "absent.png", files / "marked.png")
    assert result.exit_code == 2
    assert "absent.png" in result.stderr and "MARKED" in result.stdout
    entries = json.loads(run(files / "absent.png", files / "marked.png", "--json").stdout)
    assert [entry["marked"] for entry in entries] == [None, True]


def test_without_the_c2pa_package_the_rest_is_read(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    result = run(files / "marked.png")
    assert result.exit_code == 0 and "not looked for" in result.stdout


def test_help_states_the_exit_codes():
    text = " ".join(run("--help").stdout.split())
    assert "Exit code 0" in text


def test_a_saved_result_is_marked_and_the_one_in_memory_is_not(tmp_path, astronaut_path, hopper_path, hopper):
    from stylegan_swap import swap
    from stylegan_swap.verify import verify_file

    result = swap(astronaut_path, hopper_path, method="warp")
    before = np.array(result.image)
    result.save(tmp_path / "a.png")
    result.save(tmp_path / "b.png", mark=False)
    assert np.array_equal(before, np.array(result.image))
    outside = result.mask == 0
    assert np.array_equal(before[outside], hopper[outside])
    assert verify_file(tmp_path / "a.png").watermark.kind is Kind.SWAP
    saved = np.array(Image.open(tmp_path / "a.png"))
    assert cv2.PSNR(before, saved) >= 40
    assert not verify_file(tmp_path / "b.png").marked
    assert np.array_equal(np.array(Image.open(tmp_path / "b.png")), before)
