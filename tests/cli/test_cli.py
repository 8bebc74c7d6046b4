"""The command line when all is well: every verb, its options, its output and exit codes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from inversion import peak_signal_to_noise
from stylegan_swap import Swapper, __version__, swap
from stylegan_swap.cli import main as cli
from stylegan_swap.editing.codes import load_codes
from stylegan_swap.errors import StyleganSwapError, StyleganSwapWarning
from stylegan_swap.faces.detection.detect import detect_faces, largest_face
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.provenance.watermark import Kind, embed_watermark

runner = CliRunner()


def run(*arguments: object):
    return runner.invoke(cli.app, [str(argument) for argument in arguments])


def python(code_or_module: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *code_or_module], cwd=folder, capture_output=True, text=True, check=False
    )


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_swap_by_arguments_and_by_every_spelling_of_the_options(tmp_path, astronaut_path, hopper_path):
    spellings = {
        "two.png": (astronaut_path, hopper_path, "-o"),
        "short.png": ("-s", astronaut_path, "-t", hopper_path, "-o"),
        "roles.png": ("--identity", astronaut_path, "--attribute", hopper_path, "--output"),
        "source.png": ("--source", astronaut_path, "--target", hopper_path, "--output"),
    }
    for name, arguments in spellings.items():
        result = run("swap", "--method", "warp", *arguments, tmp_path / name)
        assert result.exit_code == 0, result.output
        assert f"{name}  (512 × 600, method warp)" in result.stdout
        assert "face 0: distance to the identity 0." in result.stdout
    assert listing(tmp_path) == sorted(spellings)
    first = picture(tmp_path / "two.png")
    assert first.shape == (600, 512, 3)
    assert np.abs(first.astype(int) - picture(hopper_path)).max() > 20
    for name in spellings:
        assert np.array_equal(picture(tmp_path / name), first)


def test_swap_takes_several_photos_of_a_person(tmp_path, astronaut, astronaut_path, hopper_path):
    mirrored = tmp_path / "mirrored.png"
    Image.fromarray(np.ascontiguousarray(astronaut[:, ::-1])).save(mirrored)
    result = run("swap", "-s", astronaut_path, "-s", mirrored, "-t", hopper_path, "-o", tmp_path / "a.png")
    assert result.exit_code == 0
    assert (tmp_path / "a.png").is_file()


def test_swap_writes_the_mask(tmp_path, astronaut_path, hopper_path, hopper):
    out, mask = tmp_path / "out.png", tmp_path / "mask.png"
    # The watermark would change pixels outside the mask.
    options = ("--method", "warp", "-o", out, "--save-mask", mask, "--no-mark")
    assert run("swap", astronaut_path, hopper_path, *options).exit_code == 0
    levels = picture(mask)
    assert levels.shape == (600, 512, 3)
    assert levels.max() == 255
    assert 0.5 < (levels == 0).mean() < 0.99
    untouched = levels[..., 0] == 0
    # Masks below half a grey level are written as 0; there the photo changes by one level at most.
    assert np.abs(picture(out).astype(int) - hopper)[untouched].max() <= 1


def test_face_by_number_and_by_photo(tmp_path, two_faces, astronaut_path, hopper_path):
    both = tmp_path / "both.png"
    Image.fromarray(two_faces).save(both)
    for name, face in (("number.png", 0), ("photo.png", astronaut_path)):
        options = ("--method", "warp", "--face", face, "--no-mark", "-o", tmp_path / name)
        result = run("swap", hopper_path, both, *options)
        assert result.exit_code == 0
        changed = (picture(tmp_path / name) != two_faces).any(axis=(0, 2)).nonzero()[0]
        assert 0 < changed.min() < changed.max() < 512
    result = run("swap", hopper_path, both, "--method", "warp", "--face", "all", "-o", tmp_path / "all.png")
    assert "face 0: " in result.stdout
    assert "face 1: " in result.stdout


def test_dials_seed_and_quality_reach_the_library(tmp_path, astronaut_path, hopper_path, tiny_checkpoint):
    base = ("swap", astronaut_path, hopper_path, "--method", tiny_checkpoint, "-o")
    pictures = []
    for index, options in enumerate(((), ("--structure", 0), ("--seed", 1), ("--seed", 2), ("--seed", 1))):
        assert run(*base, tmp_path / f"{index}.png", *options).exit_code == 0
        pictures.append(picture(tmp_path / f"{index}.png"))
    assert np.array_equal(pictures[2], pictures[4])
    for first, second in ((0, 1), (0, 2), (2, 3)):
        assert not np.array_equal(pictures[first], pictures[second])
    for quality in (30, 95):
        assert run(*base, tmp_path / f"{quality}.jpg", "--quality", quality).exit_code == 0
    assert 2 * (tmp_path / "30.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size


def test_the_mark_can_be_left_out(tmp_path, astronaut_path, hopper_path):
    for name, option in (("marked.png", "--mark"), ("plain.png", "--no-mark")):
        options = ("--method", "warp", option, "-o", tmp_path / name)
        assert run("swap", astronaut_path, hopper_path, *options).exit_code == 0
    term = b"compositeWithTrainedAlgorithmicMedia"
    assert term in (tmp_path / "marked.png").read_bytes()
    assert term not in (tmp_path / "plain.png").read_bytes()


def test_overwrite_replaces(tmp_path, astronaut_path, hopper_path):
    out = tmp_path / "out.png"
    out.write_bytes(b"old")
    options = ("--method", "warp", "-o", out, "--overwrite")
    assert run("swap", astronaut_path, hopper_path, *options).exit_code == 0
    assert picture(out).shape == (600, 512, 3)


@pytest.mark.parametrize("method", ["default", "warp"])
def test_demo_writes_its_pictures(tmp_path, method, astronaut, hopper):
    folder = tmp_path / "new" / "demo"
    arguments = ("demo", "-o", folder, *(() if method == "default" else ("--method", method)))
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    expected = ["astronaut_as_hopper.png", "demo.jpg", "demo.png", "hopper_as_astronaut.png"]
    assert listing(folder) == expected
    assert f"Look at {folder / 'demo.png'}" in result.stdout
    assert picture(folder / "demo.png").shape == (1024, 1536, 3)
    assert picture(folder / "demo.jpg").shape == (768, 1152, 3)
    # The very pictures that swap() makes, in both directions, with the watermark of save().
    for name, pair in (
        ("astronaut_as_hopper", (astronaut, hopper)),
        ("hopper_as_astronaut", (hopper, astronaut)),
    ):
        made = np.asarray(swap(*pair, method=method).image)
        assert np.array_equal(picture(folder / f"{name}.png"), embed_watermark(made))
    # A second demo replaces the first.
    assert run(*arguments).exit_code == 0
    assert listing(folder) == expected


def test_doctor_cuts_nothing_in_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    result = run("doctor")
    assert "…" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 60


def test_doctor_reports_what_a_bug_report_needs(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    result = run("doctor")
    assert result.exit_code == 0
    assert f"stylegan-swap {__version__}" in result.stdout
    lines = {}
    for line in result.stdout.splitlines():
        cells = [cell.strip() for cell in line.strip("│┃| ").replace("┃", "│").split("│")]
        if len(cells) == 2:
            lines[cells[0]] = cells[1]
    assert lines["torch"].startswith(torch.__version__.split("+")[0])
    assert lines["numpy"] == np.__version__
    assert lines["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert lines["device"].split()[0] in ("cpu", "cuda", "mps")
    assert Path(lines["weights folder"], "registry.toml").is_file()
    assert {"op backend", "default weights", "dlib model files"} <= set(lines)
    assert not [line for line in lines.values() if line.startswith(("MISSING", "ERROR"))]
    assert Path(lines["default weights"]).parts[-2:] == ("default", "model.safetensors")


def test_deleted_default_weights_are_told(
    tmp_path, monkeypatch, without_default_weights, astronaut_path, hopper_path
):
    monkeypatch.setenv("COLUMNS", "300")
    assert "MISSING (swap() uses the classical 'warp' method)" in run("doctor").stdout
    arguments = (astronaut_path, hopper_path, "-o", tmp_path / "out.png")
    with pytest.warns(StyleganSwapWarning, match="default weights are missing"):
        result = run("swap", *arguments)
    assert result.exit_code == 0
    assert "note: the default weights are missing from this installation" in result.stderr
    assert "method warp)" in result.stdout
    # Nothing else has a generator.
    result = run("generate", "-o", tmp_path / "face.png")
    assert result.exit_code == 1
    assert "install stylegan-swap again" in str(result.exception)


def test_invert_and_generate_round_trip(tmp_path, astronaut_path, hopper_path, tiny_checkpoint):
    codes, preview, again = tmp_path / "a.safetensors", tmp_path / "preview.png", tmp_path / "again.png"
    result = run("invert", astronaut_path, "-w", tiny_checkpoint, "-o", codes, "--preview", preview)
    assert result.exit_code == 0, result.output
    assert "(wplus [1, 10, 64])" in result.stdout
    assert load_codes(codes).wplus.shape == (1, 10, 64)
    result = run("generate", "--codes", codes, "--weights", tiny_checkpoint, "-o", again)
    assert result.exit_code == 0, result.output
    drawn = Swapper.from_pretrained(str(tiny_checkpoint), device="cpu").generate(load_codes(codes))[0]
    assert np.array_equal(picture(again), embed_watermark(np.asarray(drawn), Kind.GENERATED))
    # Photo and reconstruction side by side, enlarged to 256 pixels, and a line of text.
    shown = picture(preview)
    assert shown.shape == (280, 512, 3)
    large = drawn.resize((256, 256), Image.Resampling.BICUBIC)
    assert np.array_equal(shown[:256, 256:], np.asarray(large))
    assert shown[256:].max() == 255 and np.abs(shown[:256, :256].astype(int) - shown[:256, 256:]).mean() > 5
    other = tmp_path / "h.safetensors"
    assert run("invert", hopper_path, "-w", tiny_checkpoint, "-o", other).exit_code == 0
    assert not torch.equal(load_codes(codes).wplus, load_codes(other).wplus)
    assert listing(tmp_path) == ["a.safetensors", "again.png", "h.safetensors", "preview.png"]


def test_invert_with_projection_and_tuning(tmp_path, astronaut_path, tiny_checkpoint):
    plain, better, again = (tmp_path / name for name in ("p.safetensors", "b.safetensors", "again.png"))
    base = ("invert", astronaut_path, "-w", tiny_checkpoint, "-o")
    first = run(*base, plain)
    second = run(*base, better, "--steps", 8, "--pti", 8)
    assert (first.exit_code, second.exit_code) == (0, 0), second.output
    # Random weights draw nobody: the user is told, on the other stream.
    assert "the codes redraw the face poorly" in first.stderr and "--pti" in first.stderr
    decibels = [float(re.search(r"PSNR ([\d.-]+) dB", each.stdout).group(1)) for each in (first, second)]
    assert decibels[1] > decibels[0] + 2
    codes = load_codes(better)
    assert len(codes.noise) == 9 and "convs.0.conv.weight" in codes.tuned
    assert run("generate", "--codes", better, "-w", tiny_checkpoint, "-o", again).exit_code == 0
    drawn = from_pixels(picture(again))
    alignment = ffhq_alignment(largest_face(detect_faces(picture(astronaut_path))).landmarks, 64)
    told = peak_signal_to_noise(drawn, from_pixels(alignment.crop(picture(astronaut_path))))
    assert told == pytest.approx(decibels[1], abs=0.1)
    # Of another network they are refused in words.
    result = run("generate", "--codes", better, "-o", tmp_path / "wrong.png")
    assert result.exit_code == 1 and "another generator" in str(result.exception)


def test_swap_can_refine(tmp_path, astronaut_path, hopper_path, tiny_checkpoint):
    files = [tmp_path / "plain.png", tmp_path / "refined.png"]
    for file, options in zip(files, ((), ("--refine", 3)), strict=True):
        result = run("swap", astronaut_path, hopper_path, "--method", tiny_checkpoint, "-o", file, *options)
        assert result.exit_code == 0, result.output
    assert np.abs(picture(files[0]).astype(int) - picture(files[1])).max() > 1


def test_generate_numbers_its_pictures_by_seed(tmp_path, tiny_checkpoint):
    people = ("generate", "-w", tiny_checkpoint, "--truncation-psi", 1)
    assert run(*people, "-o", tmp_path / "people", "-n", 2, "--seed", 7).exit_code == 0
    assert listing(tmp_path / "people") == ["seed000007.png", "seed000008.png"]
    first, second = (picture(tmp_path / "people" / f"seed00000{seed}.png") for seed in (7, 8))
    assert not np.array_equal(first, second)
    assert run(*people, "-o", tmp_path / "one.png", "--seed", 8).exit_code == 0
    assert np.array_equal(picture(tmp_path / "one.png"), second)


def test_version_and_help():
    assert run("--version").stdout.strip() == f"stylegan-swap {__version__}"
    result = run("--help")
    assert result.exit_code == 0
    for verb in ("swap", "demo", "invert", "generate", "doctor"):
        assert verb in result.stdout


WRONG_USAGE = [
    (),
    ("swop", "a.png", "b.png"),
    ("swap",),
    ("swap", "a.png"),
    ("swap", "a.png", "b.png", "c.png"),
    ("swap", "a.png", "-t", "b.png"),
    ("swap", "-s", "a.png"),
    ("swap", "a.png", "b.png", "--structure", "much"),
    ("swap", "a.png", "b.png", "--quality", "101"),
    ("swap", "a.png", "b.png", "--refine", "-1"),
    ("invert", "a.png", "--steps", "-1"),
    ("invert", "a.png", "--pti", "few"),
    ("swap", "a.png", "b.png", "--landmarks", "openpose"),
    ("swap", "a.png", "b.png", "--no-such-option"),
    ("generate", "-n", "0"),
    ("generate", "-n", "2", "-o", "one.png"),
    ("generate", "-n", "2", "--codes", "a.safetensors"),
    ("invert",),
]


def test_wrong_usage_is_exit_code_2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in WRONG_USAGE:
        result = run(*arguments)
        assert result.exit_code == 2, arguments
        assert "Traceback" not in result.output
        assert listing(tmp_path) == []


def test_exit_codes_of_the_real_process(tmp_path, astronaut_path, hopper_path):
    command = ["-m", "stylegan_swap.cli.main"]
    done = python([*command, "swap", str(astronaut_path), str(hopper_path), "-o", "out.png"], tmp_path)
    assert (done.returncode, listing(tmp_path)) == (0, ["out.png"])
    assert "out.png  (512 × 600, method default)" in done.stdout
    assert done.stderr == ""
    done = python([*command, "swap", "missing.png", str(hopper_path), "-o", "new.png"], tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: missing.png: no such file; check the path\n"
    assert python([*command, "swap", "one.png"], tmp_path).returncode == 2
    assert listing(tmp_path) == ["out.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_interrupting_the_real_process(tmp_path, astronaut_path, hopper_path):
    """Ctrl-C in the middle of the work, at a moment that is known."""
    code = (
        "import os, signal\n"
        "from stylegan_swap.cli import main as cli\n"
        "from stylegan_swap.swapping import result\n"
        "def interrupted(*_, **__):\n"
        f"    os.kill(os.getpid(), {int(signal.SIGINT)})\n"
        "result.write_photo = interrupted\n"
        "cli.main()"
    )
    arguments = ["swap", str(astronaut_path), str(hopper_path), "--method", "warp", "-o", "out.png"]
    done = python(["-c", code, *arguments], tmp_path)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "interrupted" in done.stderr
    assert listing(tmp_path) == []


def test_errors_reach_the_runner_as_they_are(tmp_path, hopper_path):
    result = run("swap", tmp_path / "missing.png", hopper_path, "-o", tmp_path / "out.png")
    assert result.exit_code == 1
    assert isinstance(result.exception, StyleganSwapError)
