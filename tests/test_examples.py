"""The scripts of ``examples/``: each runs as a user would start it, and what it writes is looked at."""

from __future__ import annotations

import csv
import json
import re
import runpy
import warnings
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_swap.errors import StyleganSwapWarning
from stylegan_swap.faces.detection.detect import detect_faces
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.images.photo import read_photo
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.verify import verify_file

FOLDER = Path(__file__).resolve().parent.parent / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))
MOST_LINES = 60
# The watermark changes every pixel by a few grey levels.
FAINT = 16


@pytest.fixture
def run(tmp_path, monkeypatch, capsys) -> Callable[[str], tuple[Path, str]]:
    """Run a script with ``--out``; gives its folder and what it printed."""

    def start(name: str) -> tuple[Path, str]:
        out = tmp_path / "out"
        monkeypatch.setattr("sys.argv", [name, "--out", str(out)])
        threads = torch.get_num_threads()
        try:
            with warnings.catch_warnings():
                # The codes of a real face redraw it poorly, and say so.
                warnings.simplefilter("ignore", StyleganSwapWarning)
                runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        finally:
            torch.set_num_threads(threads)
        return out, capsys.readouterr().out

    return start


@pytest.fixture(scope="module")
def nearness(hopper, astronaut):
    """Distance of each face of a picture, from the left, to the astronaut and to Grace Hopper."""
    identity = DlibIdentity()

    def embeddings(pixels: np.ndarray) -> list[torch.Tensor]:
        faces = sorted(detect_faces(pixels), key=lambda face: float(face.landmarks[:, 0].mean()))
        crops = [from_pixels(ffhq_alignment(face.landmarks, 256).crop(pixels)) for face in faces]
        return [identity.embed(crop) for crop in crops]

    known = [embeddings(pixels)[0] for pixels in (astronaut, hopper)]

    def measure(file: Path) -> list[tuple[float, float]]:
        found = embeddings(read_photo(file).pixels)
        return [tuple(float(identity.distance(face, one)) for one in known) for face in found]

    return measure


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def test_every_script_is_short_tested_and_listed():
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    tests = Path(__file__).read_text(encoding="utf-8")
    assert len(SCRIPTS) >= 11
    for script in SCRIPTS:
        assert len(script.read_text(encoding="utf-8").splitlines()) < MOST_LINES, script.name
        assert f"]({script.name})" in listed, f"{script.name} is missing in examples/README.md"
        assert f'run("{script.stem}")' in tests, f"{script.name} has no test"


def test_example_of_two_photos(run, nearness, astronaut):
    out, said = run("swap_two_photos")
    ((to_astronaut, to_hopper),) = nearness(out / "hopper_as_astronaut.png")
    assert to_hopper < 0.6 < to_astronaut
    assert float(re.search(r"Hopper: ([\d.]+)", said)[1]) == pytest.approx(to_hopper, abs=0.05)
    away = np.abs(pixels(out / "hopper_as_astronaut.png") - astronaut)[:, :100]
    assert away.max() <= FAINT, "the background changed by more than the watermark"
    ((half, _),), ((warped, _),) = map(
        nearness, (out / "half_astronaut.png", out / "astronaut_as_hopper_warp.png")
    )
    assert half < warped < 0.75
    assert verify_file(out / "hopper_as_astronaut.png").marked


def test_example_of_several_people(run, nearness):
    out, _ = run("several_people")
    (left_astronaut, left_hopper), (right_astronaut, right_hopper) = nearness(out / "both.png")
    assert left_hopper < 0.6 < left_astronaut and right_astronaut < 0.6 and right_astronaut < right_hopper
    (_, left), (_, right) = nearness(out / "one.png")
    assert left < 0.6 and right < 0.2, "only the left one was to become Grace Hopper"


def test_example_of_masks(run, nearness, astronaut):
    out, _ = run("masks")
    sizes = {
        name: int((pixels(out / f"{name}_mask.png") > 0).sum()) for name in ("predicted", "inner", "cut")
    }
    assert 0 < sizes["inner"] < sizes["cut"] < sizes["predicted"]
    kept = pixels(out / "own_mouth_mask.png")[..., 0] == 0
    changed = [np.abs(pixels(out / f"{name}.png") - astronaut).max(2) for name in ("own_mouth", "predicted")]
    assert changed[0][kept].max() <= FAINT < changed[1][kept].max(), "the mouth was not kept"


def test_example_of_a_clip(run, tmp_path):
    out, said = run("swap_a_clip")
    assert "10 of 10 frames swapped" in said
    before, after = (
        [frame.to_ndarray(format="rgb24").astype(int) for frame in av.open(str(out / name)).decode(video=0)]
        for name in ("clip.mp4", "swapped.mp4")
    )
    assert len(before) == len(after) == 10 and before[0].shape == after[0].shape
    for one, other in zip(before, after, strict=True):
        assert np.abs(one - other).max() > 60, "this frame was not swapped"
    assert pixels(out / "preview.png").shape[2] == 3


def test_example_of_a_batch(run, nearness):
    out, said = run("batch_of_photos")
    rows = {
        row["output"]: row for row in csv.DictReader((out / "results" / "results.csv").open(encoding="utf-8"))
    }
    assert [rows[f"{n}.png"]["status"] for n in (1, 2, 3)] == ["ok", "ok", "error"]
    assert "NoFaceError" in rows["3.png"]["error"] and "3.png: NoFaceError" in said
    ((_, to_hopper),) = nearness(out / "results" / "1.png")
    assert to_hopper < 0.6
    assert (pixels(out / "results" / "1.png") != pixels(out / "results" / "2.png")).any()


def test_example_of_editing(run, nearness, hopper, hopper_face):
    out, said = run("edit_a_face")
    assert "smile" in said and "yaw" in said

    def mouth_width(picture: np.ndarray) -> float:
        points = max(detect_faces(picture), key=lambda face: float(np.ptp(face.landmarks[:, 0]))).landmarks
        return float(np.linalg.norm(points[54] - points[48]) / np.linalg.norm(points[45] - points[36]))

    smiling = pixels(out / "smiling.png").astype(np.uint8)
    assert mouth_width(smiling) > mouth_width(hopper) + 0.02
    ((to_astronaut, to_hopper),) = nearness(out / "swapped_and_turned.png")
    assert to_hopper < to_astronaut
    assert pixels(out / "codes_turned.png").shape == pixels(out / "between.png").shape == (256, 256, 3)


def test_example_of_inverting(run, nearness):
    out, said = run("invert_and_refine")
    decibels = [float(value) for value in re.findall(r"([\d.]+) dB", said)]
    assert decibels[1] > decibels[0] + 1
    plain, tuned = map(float, re.search(r"swap: distance ([\d.]+); refined: ([\d.]+)", said).groups())
    assert tuned <= plain
    ((redrawn, _),), ((swapped, _),) = map(nearness, (out / "redrawn.png", out / "refined.png"))
    assert redrawn < 0.6 and swapped < 0.6


def test_example_of_generating(run, nearness):
    out, said = run("generate_people")
    assert float(re.search(r"first: ([\d.]+)", said)[1]) < 0.6
    faces = [pixels(out / f"person{number}.png") for number in range(3)]
    assert all(face.shape == (256, 256, 3) for face in faces)
    assert min(np.abs(faces[i] - faces[i - 1]).mean() for i in range(3)) > 5
    assert verify_file(out / "person0.png").marked
    assert np.abs(pixels(out / "first_as_second.png") - faces[1]).max() > 30


def test_example_of_measuring(run):
    out, said = run("evaluate_pairs")
    found = {
        name: float(value) for name, value in re.findall(r"(\w+) +distance to the identity ([\d.]+)", said)
    }
    assert found["warp"] < 0.6 < found["copy"]
    summary = json.loads((out / "evaluation" / "summary.json").read_text(encoding="utf-8"))
    assert summary["methods"]["warp"]["counts"] == {"ok": 2, "miss": 0, "error": 0}
    assert "<svg" in (out / "evaluation" / "report.html").read_text(encoding="utf-8")


def test_example_of_training(run, astronaut):
    out, said = run("train_your_own")
    assert "8 images seen" in said
    rows = list(csv.DictReader((out / "run" / "history.csv").open(encoding="utf-8")))
    losses = [float(row["loss"]) for row in rows if row.get("loss")]
    assert losses and np.isfinite(losses).all()
    assert (out / "run" / "weights" / "model.safetensors").stat().st_size > 100_000
    assert (pixels(out / "swapped.png") != astronaut).any()


def test_example_of_converting(run):
    out, said = run("convert_checkpoint")
    assert "greatest difference in grey levels: 0" in said
    config = json.loads((out / "converted" / "config.json").read_text(encoding="utf-8"))
    assert config["network"]["converted_from"] == "rosinality"
    assert pixels(out / "face.png").std() > 20
