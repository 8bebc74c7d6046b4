"""The two-sample test of a benchmark: which pairs it is trained on, and that baselines get what they must."""

from __future__ import annotations

import csv
import json
import random

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_swap.errors import ImageReadError
from stylegan_swap.evaluation import realism
from stylegan_swap.evaluation.pairs import Pair, manifest_of
from stylegan_swap.evaluation.realism import COLUMN, training_pairs, two_sample_of_method
from stylegan_swap.evaluation.table import add_measure, as_table, summarise
from stylegan_swap.metrics.sample import Column
from stylegan_swap.metrics.two_sample import TwoSampleConfig


@pytest.fixture(scope="module")
def crowd(tmp_path_factory, astronaut, hopper):
    """Forty "people": the two photographs with other colours and sizes; a manifest with a split."""
    folder = tmp_path_factory.mktemp("crowd")
    draw = random.Random(0)
    rows = []
    for number in range(40):
        source = (astronaut[:260, 90:350], hopper[80:400, 90:430])[number % 2]
        gains = np.array([draw.uniform(0.75, 1.0) for _ in range(3)])
        picture = Image.fromarray((source * gains).astype(np.uint8))
        side = draw.randint(210, 260)
        picture.resize((side, round(side * picture.height / picture.width))).save(folder / f"{number}.png")
        split = "val" if number >= 28 else "train"
        rows.append({"file": f"{number}.png", "person": f"p{number}", "split": split})
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "person", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_training_pairs_are_of_split_train_only(crowd):
    pairs = training_pairs(crowd, manifest_of(crowd), 50, seed=1)
    assert len(pairs) == 50 and pairs == training_pairs(crowd, manifest_of(crowd), 50, seed=1)
    names = {name for pair in pairs for name in (pair.identity_name, pair.attribute_name)}
    assert all(int(name.removesuffix(".png")) < 28 for name in names) and len(names) > 20
    assert all(pair.identity_name != pair.attribute_name for pair in pairs)
    with pytest.raises(ImageReadError, match="split says train"):
        training_pairs(crowd, manifest_of(crowd)[-15:], 5)


def test_a_copy_cannot_be_told_but_a_pasted_face_can(crowd, tmp_path):
    people = {f"{n}.png": f"p{n}" for n in range(40)}
    asked = [
        Pair(i, crowd / f"{a}.png", crowd / f"{b}.png", f"{a}.png", f"{b}.png")
        for i, (a, b) in enumerate((n, 28 + (n - 28 + 1) % 12) for n in range(28, 40))
    ]
    trained = training_pairs(crowd, manifest_of(crowd), 24)
    rows = [{"number": pair.number, "result": f"{pair.attribute_name}"} for pair in asked]
    for pair in asked:
        Image.open(pair.attribute).save(tmp_path / pair.attribute_name)
    config = TwoSampleConfig.quick()
    copied = two_sample_of_method("copy", asked, rows, trained, people, tmp_path, config=config)
    assert copied.test_crops == 24 and copied.low < 0.5 < copied.high
    spoiled = tmp_path / "spoiled"
    spoiled.mkdir()
    for pair in asked:
        pixels = np.array(Image.open(pair.attribute))
        Image.fromarray(255 - pixels).save(spoiled / pair.attribute_name)
    for pair in trained:
        path = tmp_path / "copy" / "training" / f"{pair.number:05d}.png"
        Image.fromarray(255 - np.array(Image.open(path))).save(path)
    inverted = two_sample_of_method(
        "copy",
        asked,
        [{**row, "result": f"spoiled/{row['result']}"} for row in rows],
        trained,
        people,
        tmp_path,
        config=config,
    )
    assert inverted.accuracy > 0.9


def test_the_number_joins_the_table():
    column = Column("a", "lower", 9.0)
    rows = [
        {"identity": f"{n}", "attribute": "x", "status": "ok", "seconds": 0.5, "a": n / 4} for n in range(5)
    ]
    summary = summarise({"m": rows, "n": rows}, [column], {}, resamples=50)
    add_measure(summary, "n", COLUMN, 0.61, 0.5, 0.7)
    lines = list(csv.DictReader(as_table(summary).splitlines()))
    assert [(line["measure"], line["method"], line["value"]) for line in lines] == [
        ("a", "m", "0.5"),
        ("a", "n", "0.5"),
        ("two_sample_accuracy", "m", ""),
        ("two_sample_accuracy", "n", "0.61"),
    ]
    assert summary["methods"]["m"]["seconds"] == 2.5
    json.dumps(summary)


def test_foreign_backbones_join_only_where_they_are(crowd, tmp_path, monkeypatch):
    asked = [Pair(n, crowd / "0.png", crowd / f"{n}.png", "0.png", f"{n}.png") for n in range(3)]
    rows = [{"number": n, "status": "ok", "result": f"{n}.png"} for n in range(3)]
    rows[2]["status"] = "miss"
    for number in range(3):
        pixels = np.array(Image.open(crowd / f"{number}.png"))
        Image.fromarray(pixels // 2 if number else pixels).save(tmp_path / f"{number}.png")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    assert realism.perceptual_of_method(asked, rows, tmp_path) == []
    seen = []

    def apart(a, b):
        seen.append(tuple(a.shape))
        return (a - b).abs().mean().reshape(1, 1, 1, 1)

    monkeypatch.setattr(realism, "lpips_network", lambda: apart)
    ((column, value),) = realism.perceptual_of_method(asked, rows, tmp_path)
    assert column.name == "lpips" and seen == [(1, 3, 256, 256)] * 2
    assert 0.02 < value < 0.6  # one pair equal, the other half as bright
    assert realism.kid_of_method(asked, rows, tmp_path) is None
    monkeypatch.setattr(realism, "FEWEST_OF_FEW", 2)
    column, value, low, high = realism.kid_of_method(asked, rows, tmp_path)
    assert column is realism.FEW_KID_COLUMN and low <= value <= high
    monkeypatch.setattr(realism, "inception", lambda: torch.nn.Sequential(Brightness()))
    found = dict(realism.perceptual_of_method(asked, rows, tmp_path))
    assert {column.name for column in found} == {"lpips", "fid"}
    assert found[realism.FID_COLUMN] > 1
    monkeypatch.setattr(realism, "FEWEST", 2)
    assert "kid" in {column.name for column, _ in realism.perceptual_of_method(asked, rows, tmp_path)}


class Brightness(torch.nn.Module):
    """Eight features: mean levels of parts of a picture."""

    def forward(self, x):
        return torch.nn.functional.adaptive_avg_pool2d(x.float().mean(1, keepdim=True), (2, 4)).flatten(1)
