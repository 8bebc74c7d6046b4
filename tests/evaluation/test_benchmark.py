"""The benchmark: rows, resuming, broken inputs, and numbers that baselines must get."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from stylegan_swap.cli.main import app
from stylegan_swap.errors import ImageReadError, ImageWriteError, StyleganSwapWarning
from stylegan_swap.evaluation import benchmark
from stylegan_swap.evaluation.benchmark import (
    ROWS,
    Settings,
    columns_of,
    default_measures,
    read_rows,
    run_method,
    start_run,
)
from stylegan_swap.evaluation.pairs import cross_pairs, faceforensics_pairs, people_of, read_pairs
from stylegan_swap.evaluation.table import summarise
from stylegan_swap.metrics.sample import look


@pytest.fixture(scope="module")
def folder(tmp_path_factory, astronaut, hopper):
    """Two good photos, one without a face, one that is no picture; five pairs."""
    folder = tmp_path_factory.mktemp("benchmark")
    Image.fromarray(astronaut).save(folder / "collins.png")
    Image.fromarray(hopper).save(folder / "hopper.png")
    Image.fromarray(np.full((200, 200, 3), 120, np.uint8)).save(folder / "grey.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    with open(folder / "pairs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(
            [
                ("identity", "attribute"),
                ("collins.png", "hopper.png"),
                ("hopper.png", "collins.png"),
                ("grey.png", "hopper.png"),
                ("hopper.png", "broken.jpg"),
                ("hopper.png", "missing.png"),
            ]
        )
    return folder


@pytest.fixture(scope="module")
def measures(astronaut, hopper):
    return default_measures([look(astronaut, "collins.png", "c"), look(hopper, "hopper.png", "h")])


PEOPLE = {"collins.png": "c", "hopper.png": "h", "grey.png": "g"}


@pytest.fixture(scope="module")
def copied(folder, measures, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, run_method("copy", read_pairs(folder / "pairs.csv"), PEOPLE, measures, out)


def test_a_copy_is_perfect_but_for_the_person(copied):
    _, rows = copied
    for row in rows[:2]:
        assert row["status"] == "ok"
        for zero in ("pose_error", "yaw_error", "expression_error", "mouth_opening_error", "gaze_error"):
            assert row[zero] == 0
        assert row["background_changed"] == 0 and row["seam"] == 1
        assert row["top1"] == 0 and row["top1_is_attribute"] == 1 and row["verified"] == 0
        assert row["attr_distance"] == 0 and row["id_distance"] > 0.6


def test_broken_inputs_are_counted_named_and_get_the_worst_values(copied, measures):
    _, rows = copied
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "error", "error"]
    for row, name in zip(rows[2:], ("array", "broken.jpg", "missing.png"), strict=True):
        assert name in row["reason"]
        assert all(row[column.name] == column.worst for column in columns_of(measures))
    summary = summarise({"copy": rows}, columns_of(measures), PEOPLE, resamples=50)
    found = summary["methods"]["copy"]
    assert found["counts"] == {"ok": 2, "miss": 0, "error": 3}
    assert summary["pairs"] == 5 and found["measures"]["pose_error"]["value"] == pytest.approx(3 * 180 / 5)
    json.dumps(summary)


def test_a_killed_run_goes_on_where_it_ended(copied, folder, measures, monkeypatch, tmp_path):
    out, rows = copied
    target = tmp_path / "copy" / ROWS
    target.parent.mkdir()
    content = (out / "copy" / ROWS).read_bytes()
    second_row = content.index(b"\n", content.index(b"\n") + 1) + 1
    target.write_bytes(content[: second_row + 40])  # one whole row, and a part of the next
    swapped = []
    original = benchmark.measure_pair
    monkeypatch.setattr(benchmark, "measure_pair", lambda *a: swapped.append(a[1].number) or original(*a))
    again = run_method("copy", read_pairs(folder / "pairs.csv"), PEOPLE, measures, tmp_path)
    assert swapped == [1, 2, 3, 4]
    without_time = [{key: value for key, value in row.items() if key != "seconds"} for row in again]
    assert without_time == [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
    assert len(read_rows(target, columns_of(measures))) == 5


def test_another_list_of_pairs_does_not_mix(tmp_path):
    start_run(tmp_path, Settings([("a", "b")], 0, "1"))
    start_run(tmp_path, Settings([("a", "b")], 0, "2"))
    with pytest.raises(ImageWriteError, match="other pairs"):
        start_run(tmp_path, Settings([("a", "c")], 0, "1"))


def test_other_columns_do_not_mix(copied, measures):
    out, _ = copied
    with pytest.raises(ImageWriteError, match="other columns"):
        read_rows(out / "copy" / ROWS, columns_of(measures)[1:])


def test_pairs_of_two_folders(folder, tmp_path):
    pairs = cross_pairs(folder, folder)
    names = {(pair.identity_name, pair.attribute_name) for pair in pairs}
    assert len(pairs) == 4 * 3 and ("hopper.png", "collins.png") in names and len(names) == 12
    few = cross_pairs(folder, folder, limit=5, seed=3)
    assert [pair.number for pair in few] == list(range(5))
    assert few == cross_pairs(folder, folder, limit=5, seed=3) != cross_pairs(folder, folder, limit=5, seed=4)
    for wrong, what in ((tmp_path, "no photos"), (tmp_path / "none", "no such folder")):
        with pytest.raises(ImageReadError, match=what):
            cross_pairs(wrong, folder)


def test_lists_and_manifests_that_are_none(tmp_path):
    (tmp_path / "pairs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ImageReadError, match="identity and attribute"):
        read_pairs(tmp_path / "pairs.csv")
    assert people_of(tmp_path) == {}
    (tmp_path / "manifest.csv").write_text("name\nx\n")
    with pytest.raises(ImageReadError, match="file and person"):
        people_of(tmp_path)
    (tmp_path / "manifest.csv").write_text("file,person\nx.png,someone\n")
    assert people_of(tmp_path) == {"x.png": "someone"}


def test_lists_and_manifests_of_spreadsheets(tmp_path):
    (tmp_path / "pairs.csv").write_text("identity;attribute\r\na.png;b, c.png\r\n", "utf-8-sig")
    [pair] = read_pairs(tmp_path / "pairs.csv")
    assert (pair.identity_name, pair.attribute) == ("a.png", tmp_path / "b, c.png")
    (tmp_path / "manifest.csv").write_text("file\tperson\r\nx.png\tsomeone\r\n", "utf-16")
    assert people_of(tmp_path) == {"x.png": "someone"}


def test_evaluate_writes_rows_summary_and_report(folder, tmp_path):
    pairs = tmp_path / "two.csv"
    pairs.write_text("identity,attribute\ncollins.png,hopper.png\nhopper.png,collins.png\n")
    out = tmp_path / "out"
    found = CliRunner().invoke(
        app,
        [
            "evaluate",
            "--pairs",
            str(pairs),
            "--photos",
            str(folder),
            "--method",
            "paste,warp",
            "--out",
            str(out),
        ],
    )
    assert found.exit_code == 0, found.output
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["methods"]) == ["paste", "warp"]
    paste, warp = (summary["methods"][name]["measures"] for name in ("paste", "warp"))
    assert (
        paste["id_distance"]["value"] < 0.45
        and paste["pose_error"]["value"] > 2 * warp["pose_error"]["value"]
    )
    page = (out / "report.html").read_text()
    assert "warp" in page and "id_distance" in page and "data:image" in page
    wrong = CliRunner().invoke(app, ["evaluate", "--identities", str(folder)])
    assert wrong.exit_code == 2


def test_evaluate_reports_what_a_swap_costs(folder, tmp_path):
    pairs = tmp_path / "one.csv"
    pairs.write_text("identity,attribute\nhopper.png,collins.png\ncollins.png,hopper.png\n")
    out = tmp_path / "out"
    found = CliRunner().invoke(
        app,
        [
            "evaluate",
            "--pairs",
            str(pairs),
            "--photos",
            str(folder),
            "--method",
            "copy,warp",
            "--out",
            str(out),
        ],
    )
    assert found.exit_code == 0, found.output
    with open(out / "summary.csv", newline="") as file:
        table = {(line["measure"], line["method"]): line["value"] for line in csv.DictReader(file)}
    assert 0 < float(table["swap_seconds", "copy"]) < float(table["swap_seconds", "warp"]) < 30
    assert float(table["parameters", "warp"]) == 0 and table["id_distance", "warp"]
    assert ("kid_dlib", "warp") not in table  # two swaps are no sample


def test_a_damaged_photo_costs_its_pairs_only(folder, tmp_path):
    (tmp_path / "broken.png").write_bytes((folder / "hopper.png").read_bytes()[:5000])
    pairs, out = tmp_path / "pairs.csv", tmp_path / "out"
    rows = [f"{folder / 'collins.png'},{folder / 'hopper.png'}", f"broken.png,{folder / 'hopper.png'}"]
    pairs.write_text("\n".join(["identity,attribute", *rows]))
    with pytest.warns(StyleganSwapWarning, match=r"1 photographs .* left out: broken\.png \("):
        found = CliRunner().invoke(
            app, ["evaluate", "--pairs", str(pairs), "--method", "copy", "--out", str(out)]
        )
    assert found.exit_code == 0, found.output
    with open(out / "copy" / "pairs.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["ok", "error"]


def test_faceforensics_is_a_preset(tmp_path, astronaut, hopper):
    images = tmp_path / "original_sequences" / "youtube" / "c23" / "images"
    for video, pixels in (("000", astronaut), ("001", hopper)):
        (images / video).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(pixels).save(images / video / f"{number:04d}.png")
    (tmp_path / "test.json").write_text('[["000", "001"]]')
    pairs, people = faceforensics_pairs(tmp_path, tmp_path / "test.json", tmp_path / "cache", "images")
    assert len(pairs) == 20 and len({pair.identity_name for pair in pairs}) == 20
    assert set(people.values()) == {"000", "001"}
    assert all(people[pair.identity_name] != people[pair.attribute_name] for pair in pairs)
    assert all(pair.identity.is_file() and pair.attribute.is_file() for pair in pairs)
    wrong = CliRunner().invoke(app, ["evaluate", "--faceforensics", str(tmp_path)])
    assert wrong.exit_code == 2
