"""Real swaps in a batch: the worker itself, and the command from list to pictures."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from stylegan_swap import MaskOptions, swap
from stylegan_swap.batch import Job
from stylegan_swap.batch.work import Settings, SwapWorker
from stylegan_swap.cli import main as cli
from stylegan_swap.errors import CheckpointError, NoFaceError, UnsupportedOptionError
from stylegan_swap.swapping.swapper import PhotoSwapper


@pytest.fixture
def stub(monkeypatch):
    """A swapper that notes what it is asked."""
    asked = SimpleNamespace(prepared=[], swapped=[])

    class Stub:
        def prepare(self, photos, face, **how):
            asked.prepared.append((*photos, face, *how.items()))
            if "nobody" in photos[0]:
                raise NoFaceError(f"{photos[0]}: no face was found")
            return f"person {photos[0]}"

        def __call__(self, person, photo, **options):
            asked.swapped.append((person, options))
            if options.get("structure") == 0.0:
                raise RuntimeError("out\nof order")

            def save(path, **_):
                Path(path).write_bytes(b"picture")

            faces = [SimpleNamespace(distance=0.25), SimpleNamespace(distance=0.75)]
            return SimpleNamespace(faces=faces, notes=["one", "two"], save=save)

    monkeypatch.setattr(PhotoSwapper, "from_pretrained", lambda *_, **__: Stub())
    return asked


def test_an_identity_is_prepared_once_and_its_error_is_remembered(stub, tmp_path, astronaut_path):
    photo = str(astronaut_path)
    worker = SwapWorker(Settings())
    identities = [photo, "nobody.png", photo, "nobody.png", photo]
    rows = [
        worker(Job(number, (who,), photo, f"{number}.png", {"face": number}), str(tmp_path / f"{number}.png"))
        for number, who in enumerate(identities)
    ]
    assert stub.prepared == [(photo, "largest"), ("nobody.png", "largest")]
    assert [row["status"] for row in rows] == ["ok", "error", "ok", "error", "ok"]
    assert rows[1]["error"] == rows[3]["error"] == "NoFaceError: nobody.png: no face was found"
    assert (rows[0]["faces"], rows[0]["distance"], rows[0]["notes"]) == (2, "0.5000", "one; two")
    assert [options for _, options in stub.swapped] == [{"face": 0}, {"face": 2}, {"face": 4}]
    # Another face of the same photo is another person.
    worker(Job(9, (photo,), photo, "9.png", {"identity_face": 1}), str(tmp_path / "9.png"))
    assert stub.prepared[-1] == (photo, 1)
    # Who is refined is so once, in preparing, for all items with that seed.
    for seed in (5, 5, 6):
        worker(Job(9, (photo,), photo, "9.png", {"refine": 2, "seed": seed}), str(tmp_path / "9.png"))
    assert [(name, *how) for name, *how in stub.prepared[-2:]] == [
        (photo, "largest", ("refine", 2), ("seed", seed)) for seed in (5, 6)
    ]
    assert stub.swapped[-1][1] == {"seed": 6}


def test_few_people_are_remembered(stub, tmp_path, astronaut_path):
    worker = SwapWorker(Settings())
    for number in [*range(40), 39, 0]:
        worker(Job(number, (f"{number}.png",), str(astronaut_path), "a.png"), str(tmp_path / "a.png"))
    assert len(stub.prepared) == 41 and stub.prepared[-1] == ("0.png", "largest")


def test_a_surprise_is_that_items_error(stub, tmp_path, astronaut_path):
    photo = str(astronaut_path)
    row = SwapWorker(Settings())(
        Job(0, (photo,), photo, "a.png", {"structure": 0.0}), str(tmp_path / "a.png")
    )
    assert row["error"] == "unexpected RuntimeError: out of order"


def test_warp_has_no_dials_and_says_so_per_item(tmp_path, astronaut_path):
    worker = SwapWorker(Settings(method="warp"))
    photo = str(astronaut_path)
    row = worker(Job(0, (photo,), photo, "a.png", {"structure": 0.5}), str(tmp_path / "a.png"))
    assert row["error"].startswith(UnsupportedOptionError.__name__)


def test_a_swapper_that_cannot_be_built_ends_the_worker():
    with pytest.raises(CheckpointError):
        SwapWorker(Settings(method="/no/such/weights"))


def test_from_a_list_to_pictures(tmp_path, astronaut, hopper):
    """The command: the pictures that ``swap`` makes, two errors with names, and what was measured."""
    photos = tmp_path / "photos"
    photos.mkdir()
    small = {name: picture[:400, 60:460] for name, picture in (("ann", astronaut), ("grace", hopper))}
    for name, pixels in small.items():
        Image.fromarray(pixels).save(photos / f"{name}.png")
    Image.new("RGB", (64, 64)).save(photos / "wall.png")
    whole = (photos / "ann.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "list.csv").write_text(
        "identity,attribute,output,mask,keep\n"
        "ann.png,grace.png,a/kept.png,hull,mouth\n"
        "wall.png,ann.png,wall.png,,\n"
        "ann.png,cut.png,cut.png,,\n"
    )
    arguments = [str(tmp_path / "list.csv"), "--photos", str(photos), "-o", str(tmp_path / "out")]
    # The watermark would change the file's pixels.
    done = CliRunner().invoke(cli.app, ["batch", *arguments, "--method", "warp", "--no-mark"])
    assert done.exit_code == 1, done.output
    assert "1 of 3 swaps are there (0 were there before), 2 failed" in done.stdout
    assert "wall.png: NoFaceError" in done.stderr and "cut.png: ImageReadError" in done.stderr
    expected = swap(small["ann"], small["grace"], method="warp", mask=MaskOptions("hull", keep=("mouth",)))
    with Image.open(tmp_path / "out/a/kept.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(expected.image))
        assert "DigitalSourceType" not in image.text
    with open(tmp_path / "out/results.csv", newline="", encoding="utf-8") as stream:
        rows = {row["output"]: row for row in csv.DictReader(stream)}
    assert float(rows["a/kept.png"]["distance"]) == pytest.approx(expected.faces[0].distance, abs=1e-3)
    assert float(rows["a/kept.png"]["seconds"]) > 0
    assert rows["a/kept.png"]["worker"].split(":")[-1] != str(os.getpid())
    again = CliRunner().invoke(cli.app, ["batch", str(tmp_path / "none.csv"), "-o", str(tmp_path / "out")])
    assert again.exit_code == 1 and "none.csv" in str(again.exception)
    assert CliRunner().invoke(cli.app, ["batch", *arguments, "--workers", "0"]).exit_code == 2
