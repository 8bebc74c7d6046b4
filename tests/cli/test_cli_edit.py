"""``stylegan-swap edit`` and ``stylegan-swap directions``."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from stylegan_swap import Swapper
from stylegan_swap.cli.main import app
from stylegan_swap.editing import Direction, generator_fingerprint, load_directions, save_directions
from stylegan_swap.editing.codes import load_codes, save_codes
from stylegan_swap.errors import StyleganSwapError
from stylegan_swap.provenance.watermark import Kind, embed_watermark


def run(*arguments: object):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def weights(tiny_checkpoint, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("edit") / "weights"
    shutil.copytree(tiny_checkpoint, folder)
    generator = Swapper.from_pretrained(folder, device="cpu").method.generator
    stream = torch.Generator().manual_seed(0)
    network = generator_fingerprint(generator)
    made = {
        name: Direction(
            name, torch.randn(1, generator.style_dim, generator=stream), 0.5, "σ", network=network
        )
        for name in ("smile", "yaw")
    }
    save_directions(folder / "directions.safetensors", made)
    return folder


@pytest.fixture
def codes(weights, tmp_path) -> Path:
    network = Swapper.from_pretrained(weights, device="cpu").method.network
    wplus = torch.randn(
        1, network.generator.n_latent, network.generator.style_dim, generator=torch.Generator().manual_seed(1)
    )
    from inversion import Latents

    save_codes(tmp_path / "codes.safetensors", Latents(wplus))
    return tmp_path / "codes.safetensors"


def test_photo(weights, astronaut, astronaut_path, tmp_path):
    done = run(
        "edit",
        astronaut_path,
        "-d",
        "smile=3",
        "--direction",
        "yaw=-2",
        "-w",
        weights,
        "-o",
        tmp_path / "a.png",
    )
    assert done.exit_code == 0, done.output
    assert "a.png  (512 × 512)" in done.output
    assert "distance to the photo" in done.output
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (512, 512)
        assert np.any(np.asarray(image) != astronaut)
        assert "compositeWithTrainedAlgorithmicMedia" in str(image.info)


def test_codes_to_codes_and_to_a_picture(weights, codes, tmp_path):
    out = tmp_path / "out.safetensors"
    done = run("edit", codes, "-d", "smile=2@1-3", "-d", "yaw=-1", "-w", weights, "-o", out)
    assert done.exit_code == 0, done.output
    known = load_directions(weights / "directions.safetensors")
    expected = load_codes(codes).wplus.clone()
    expected[:, 1:4] += 2 * 0.5 * known["smile"].vector
    expected -= 0.5 * known["yaw"].vector
    torch.testing.assert_close(load_codes(out).wplus, expected)
    assert run("edit", out, "-d", "yaw=0", "-w", weights, "-o", tmp_path / "face.png").exit_code == 0
    with Image.open(tmp_path / "face.png") as image:
        drawn = Swapper.from_pretrained(weights, device="cpu").generate(load_codes(out))[0]
        assert np.array_equal(np.asarray(image), embed_watermark(np.asarray(drawn), Kind.GENERATED))


def test_mixing_rows_and_placing(weights, codes, tmp_path):
    other, out = tmp_path / "other.safetensors", tmp_path / "mixed.safetensors"
    from inversion import Latents

    save_codes(other, Latents(load_codes(codes).wplus + 1))
    done = run("edit", codes, "--mix", other, "--rows", "2-4", "--share", "0.5", "-w", weights, "-o", out)
    assert done.exit_code == 0, done.output
    moved = (load_codes(out).wplus - load_codes(codes).wplus)[0]
    assert [round(float(row.mean()), 4) for row in moved[:6]] == [0, 0, 0.5, 0.5, 0.5, 0]
    done = run("edit", codes, "-d", "smile=4", "--place", "-w", weights, "-o", out, "--overwrite")
    assert done.exit_code == 0, done.output
    from stylegan_swap.editing import coordinate

    smile = load_directions(weights / "directions.safetensors")["smile"]
    assert float(coordinate(load_codes(out), smile)) == pytest.approx(4, abs=1e-3)


def test_swap_into(weights, astronaut_path, hopper_path, tmp_path):
    out = tmp_path / "swapped.png"
    done = run("edit", hopper_path, "-d", "smile=3", "--swap-into", astronaut_path, "-w", weights, "-o", out)
    assert done.exit_code == 0, done.output
    assert "distance to the identity" in done.output
    plain = Swapper.from_pretrained(weights, device="cpu")(str(hopper_path), str(astronaut_path))
    with Image.open(out) as image:
        assert np.any(np.asarray(image) != np.asarray(plain.image))


def test_sheet(weights, codes, tmp_path):
    out = tmp_path / "sheet.png"
    done = run("edit", codes, "-d", "smile=1", "-d", "yaw=10", "--sheet", "-2..2:3", "-w", weights, "-o", out)
    assert done.exit_code == 0, done.output
    assert "(2 × 3 faces)" in done.output
    with Image.open(out) as image:
        sheet = np.asarray(image)
    assert sheet.shape == (24 + 2 * 256, 132 + 3 * 256, 3)
    cells = [sheet[24:280, 132 + 256 * i : 388 + 256 * i].astype(int) for i in range(3)]
    drawn = Swapper.from_pretrained(weights, device="cpu").generate(load_codes(codes))[0]
    middle = np.asarray(drawn.resize((256, 256), Image.Resampling.BICUBIC))
    assert np.array_equal(cells[1], middle)
    assert np.abs(cells[0] - cells[2]).mean() > 1


def test_a_published_file(weights, codes, tmp_path):
    width = load_codes(codes).wplus.shape[2]
    np.save(tmp_path / "stylegan_ffhq_age_w_boundary.npy", np.eye(1, width, 3, dtype=np.float32))
    file, out = tmp_path / "stylegan_ffhq_age_w_boundary.npy", tmp_path / "old.safetensors"
    done = run("edit", codes, "-d", "age=2", "--directions", file, "-w", weights, "-o", out)
    assert done.exit_code == 0, done.output
    moved = load_codes(out).wplus - load_codes(codes).wplus
    assert float(moved[..., 3].min()) == pytest.approx(2, abs=1e-5)
    own = tmp_path / "age.safetensors"
    assert run("directions", "convert", file, "-o", own, "--name", "older").exit_code == 0
    assert load_directions(own)["older"].source == file.name
    assert "older" in run("directions", "list", own).output


def test_list_and_sefa(weights, tmp_path):
    listed = run("directions", "list", "-w", weights).output
    assert "smile" in listed
    assert "yaw" in listed
    out = tmp_path / "sefa.safetensors"
    assert run("directions", "sefa", "-w", weights, "-n", 3, "--rows", "0-3", "-o", out).exit_code == 0
    found = load_directions(out)
    assert [one.rows for one in found.values()] == [(0, 4)] * 3
    again = run("directions", "sefa", "-w", weights, "-o", out)
    assert again.exit_code == 1
    assert "--overwrite" in str(again.exception)


WRONG_USAGE = [
    ((), "name what to change"),
    (("-d", "smile"), "is not NAME=STRENGTH"),
    (("-d", "smile=much"), "is not NAME=STRENGTH"),
    (("-d", "smile=1@4-2"), "run backwards"),
    (("-d", "smile=1", "--rows", "2-3"), "belong to --mix"),
    (("-d", "smile=1", "--sheet", "3"), "is not FROM..TO"),
    (("-d", "smile=1", "--sheet", "-1..1:1"), "2 to 25 columns"),
    (("--mix", "b.safetensors", "--sheet", "-1..1"), "picture of --direction"),
    (("-d", "smile=1", "--swap-into", "b.png"), "needs a photo of the person"),
]


def test_wrong_usage(tmp_path):
    for options, words in WRONG_USAGE:
        done = run("edit", tmp_path / "codes.safetensors", "-o", tmp_path / "out.png", *options)
        assert done.exit_code == 2
        assert words in " ".join(done.output.replace("│", " ").split())


def test_errors_have_no_traceback(weights, codes, tmp_path):
    for arguments, words in (
        (
            ("edit", codes, "-d", "frown=1", "-w", weights, "-o", tmp_path / "a.png"),
            "there is no direction 'frown'",
        ),
        (("edit", codes, "-d", "smile=1", "-w", weights, "-o", codes, "--overwrite"), "one of the inputs"),
        (("edit", codes, "-d", "smile=1@90-91", "-w", weights, "-o", tmp_path / "a.png"), "rows 90 to 91"),
        (("edit", tmp_path / "no.png", "-d", "smile=1", "-w", weights, "-o", tmp_path / "a.png"), "no.png"),
        (("directions", "list", tmp_path / "no.npy"), "no such file"),
        (("directions", "fit", tmp_path, "-o", tmp_path / "d.npy"), "change the suffix"),
    ):
        done = run(*arguments)
        assert done.exit_code == 1
        assert isinstance(done.exception, StyleganSwapError)
        assert words in str(done.exception)
