"""End to end without a browser: raters of known taste answer over HTTP, the analysis finds it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from evaluation.study.raters import Rater, careful, careless, knowing, make_study, serving
from PIL import Image

from stylegan_swap.evaluation.study.analysis import analyse_study, table, write_analysis
from stylegan_swap.evaluation.study.manifest import load_study

STRENGTHS = {"azure": 1.1, "brick": 0.1, "coral": -1.2}


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A study with 16 careful raters, 3 who press anything, one who always presses left, one who stops."""
    folder = make_study(
        tmp_path_factory.mktemp("recovery"),
        tuple(STRENGTHS),
        12,
        questions=("identity", "natural"),
        ties=False,
        seed=4,
    )
    rng = np.random.default_rng(11)
    reverse = {name: -value for name, value in STRENGTHS.items()}
    with serving(folder) as url:
        for number in range(19):
            by_identity, by_nature = careful(folder, STRENGTHS, rng), careful(folder, reverse, rng)
            guess = careless(rng)

            def choose(step, by_identity=by_identity, by_nature=by_nature, guess=guess, number=number):
                if number % 6 == 5:
                    return guess(step)
                return (by_identity if step["reference"] else by_nature)(step)

            Rater(url).answer_all(choose)
        Rater(url).answer_all(lambda step: "left")
        stops = Rater(url)
        stops.join()
        stops.answer(0, "left")
    return folder


def test_strengths_lie_in_their_intervals(answered):
    analysis = analyse_study(answered, draws=300)
    for question, sign in (("identity", 1), ("natural", -1)):
        found = analysis["questions"][question]
        order = sorted(STRENGTHS, key=lambda name: -sign * STRENGTHS[name])
        assert [row["method"] for row in found["strengths"]] == order
        for row in found["strengths"]:
            low, high = row["interval"]
            assert low < sign * STRENGTHS[row["method"]] < high
            # Wide intervals would hold anything: 16 raters with 18 comparisons give about ±0.4.
            assert 0.2 < high - low < 1.3
        assert sum(row["share_of_strength"] for row in found["strengths"]) == pytest.approx(1)
        assert found["comparisons"] == 16 * 18
        low, high = found["left_side"]["interval"]
        assert low < 0.5 < high
        assert 0.05 < found["krippendorff_alpha"] < 0.7
        assert sum(row["wins"] + row["losses"] for row in found["shares"]) == 16 * 18


def test_the_inattentive_are_dropped_and_counted(answered):
    raters = analyse_study(answered, draws=100)["raters"]
    assert (raters["answered"], raters["kept"]) == (21, 16)
    assert set(raters["dropped"]) == {"5", "11", "17", "19", "20"}
    assert "attention checks passed" in raters["dropped"]["19"]
    assert (
        raters["dropped"]["20"] == "only 0 attention checks answered" or "only 1" in raters["dropped"]["20"]
    )


def test_files_and_table(answered, tmp_path):
    analysis = analyse_study(answered, draws=100)
    written, picture = write_analysis(tmp_path, analysis)
    assert json.loads(written.read_text()) == json.loads(json.dumps(analysis))
    with Image.open(picture) as image:
        assert image.format == "PNG" and image.width > 800
    text = table(analysis)
    assert text.index("azure") < text.index("brick") < text.index("coral")
    assert "21 answered, 16 kept" in text
    again = analyse_study(answered, draws=100)
    assert again == analysis, "the bootstrap is seeded"


def test_opinions(tmp_path):
    truth = {"azure": 4.2, "brick": 3.0, "coral": 1.8}
    folder = make_study(tmp_path, tuple(truth), 8, kind="mos", items=12, questions=("natural",), seed=1)
    look, rng = knowing(load_study(folder)), np.random.default_rng(2)
    with serving(folder) as url:
        for number in range(12):
            # Each rater has a scale of their own, which only z is free of.
            shift = (number % 3 - 1) * 0.4

            def choose(step, shift=shift):
                kind, name = look(step["pictures"][0])
                value = {"good": 5, "bad": 1}[name] if kind == "check" else truth[name] + shift
                return str(int(np.clip(np.rint(value + rng.normal(0, 0.4)), 1, 5)))

            Rater(url).answer_all(choose)
        for _ in range(2):
            Rater(url).answer_all(careless(rng))
    analysis = analyse_study(folder)
    assert analysis["raters"]["kept"] == 12
    rows = analysis["questions"]["natural"]["methods"]
    assert [row["method"] for row in rows] == list(truth)
    for row in rows:
        assert row["mean"] == pytest.approx(truth[row["method"]], abs=0.2)
        assert row["interval"][0] < row["mean"] < row["interval"][1]
        spread = (row["interval"][1] - row["interval"][0]) / 1.2
        assert row["z_interval"][1] - row["z_interval"][0] < spread, "z takes the raters' scales out"
    assert sum(row["z"] for row in rows) == pytest.approx(0, abs=1e-9)
    write_analysis(tmp_path, analysis)
    assert "azure" in table(analysis)
