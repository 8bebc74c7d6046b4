"""Building and planning: balance of methods, pairs and sides, order per rater, and lists that do not fit."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pytest
from evaluation.study.raters import make_results, make_study
from PIL import Image
from typer.testing import CliRunner

from stylegan_swap.cli.study import study_app
from stylegan_swap.evaluation.study.build import Options, build_study, destroyed
from stylegan_swap.evaluation.study.manifest import PICTURES, StudyError, load_study
from stylegan_swap.evaluation.study.plan import balanced_order, make_plan

METHODS = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return load_study(make_study(tmp_path_factory.mktemp("building"), METHODS, 14, size=64, seed=3))


def test_every_stretch_is_balanced():
    for groups, pairs in ((1, 5), (3, 14), (6, 20), (10, 4)):
        order = balanced_order(groups, pairs)
        assert len(set(order)) == groups * pairs == len(order)
        for start in range(len(order)):
            part = [order[(start + step) % len(order)] for step in range(min(len(order), 9))]
            counts = Counter(group for group, _ in part)
            assert max(counts.values()) - min(counts[group] for group in range(groups)) <= 1


def test_items_sides_and_order_over_raters(study):
    items = {item.id: item for item in study.items}
    shown, left = Counter(), Counter()
    orders = set()
    for rater in range(21):
        steps = make_plan(study, rater)
        assert steps == make_plan(study, rater)
        assert len(steps) == (18 + 3) * 3 + 8
        real = {step.source: step for step in steps if step.role == "item"}
        assert len(real) == 18
        groups = Counter(items[source].methods for source in real)
        assert set(groups.values()) == {6}
        for group in groups:
            swapped = [real[source].swapped for source in real if items[source].methods == group]
            assert sum(swapped) == 3
        pairs = Counter(items[source].pair for source in real)
        assert max(pairs.values()) <= 2
        shown.update(list(real))
        for step in real.values():
            methods = items[step.source].methods
            left[methods[1] if step.swapped else methods[0]] += 1
            assert step.pictures == items[step.source].pictures[:: -1 if step.swapped else 1]
        orders.add(tuple(real))
    assert len(orders) == 21
    # 21 raters × 18 = 9 × 42 items.
    assert set(shown.values()) == {9} and len(shown) == len(study.items) == 42
    assert len(set(left.values())) == 1


def test_checks_and_repeats_within_a_plan(study):
    for rater in range(10):
        steps = make_plan(study, rater)
        first = {step.source: (place, step) for place, step in reversed(list(enumerate(steps)))}
        repeated = {step.source for step in steps if step.role == "duplicate"}
        assert len(repeated) == 3
        for place, step in enumerate(steps):
            if step.role == "duplicate":
                where, original = first[step.source]
                assert original.role == "item" and place - where > 6
                assert step.pictures == original.pictures[::-1] and step.swapped != original.swapped
        checks = [(place, step) for place, step in enumerate(steps) if step.role == "check"]
        assert len({step.source for _, step in checks}) == 8
        assert sum(step.swapped for _, step in checks) == 4
        assert {step.question for _, step in checks} == set(study.questions)
        thirds = Counter(3 * place // len(steps) for place, _ in checks)
        assert min(thirds[third] for third in range(3)) >= 1
        for step in steps:
            assert (step.reference is None) == (step.question == "natural")


def test_opinion_checks_ask_for_both_ends(tmp_path):
    study = load_study(make_study(tmp_path, METHODS, 5, kind="mos", items=9))
    expected = {check.id: check.expected for check in study.checks}
    for rater in range(6):
        steps = make_plan(study, rater)
        ends = Counter(expected[step.source] for step in steps if step.role == "check")
        assert ends == {"high": 4, "low": 4}
        assert all(len(step.pictures) == 1 and not step.swapped for step in steps)


def test_pictures_are_small_and_nameless(study, tmp_path):
    make_results(tmp_path, METHODS, 3, side=300)
    build_study(
        tmp_path / "out",
        tmp_path / "study",
        tmp_path / "identities",
        tmp_path / "attributes",
        options=Options(size=128, checks=2),
    )
    files = sorted((tmp_path / "study" / PICTURES).iterdir())
    built = load_study(tmp_path / "study")
    assert {file.name for file in files} == built.pictures and built.methods == METHODS
    assert len(files) == 3 * (3 + 2) + 4
    for file in files:
        with Image.open(file) as image:
            assert image.format == "JPEG" and max(image.size) == 128 and not image.getexif()


def test_a_destroyed_picture_is_far_from_the_photo():
    ramp = np.repeat(np.linspace(0, 255, 100).astype(np.uint8)[None, :, None], 90, 0).repeat(3, 2)
    broken = destroyed(ramp, np.random.default_rng(0))
    assert broken.shape == (88, 96, 3) and broken.dtype == np.uint8
    assert np.abs(broken.astype(float) - ramp[:88, :96]).mean() > 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[0].pop(), "lacks the columns"),
        (lambda rows: rows[1].__setitem__(1, "person2.png"), "has other photos than alpha's"),
        (lambda rows: rows[1].__setitem__(4, "../identities/person0.png"), "lies outside"),
        (lambda rows: rows[1].__setitem__(4, "beta/results/gone.png"), "no such file"),
        (lambda rows: rows.append(rows[1]), "number comes twice"),
        (lambda rows: [row.__setitem__(4, "") for row in rows[1:]], "no pair has a result of every method"),
    ],
)
def test_lists_that_do_not_fit(tmp_path, change, message):
    make_results(tmp_path, METHODS, 3)
    path = tmp_path / "out" / "beta" / "pairs.csv"
    rows = list(csv.reader(path.read_text().splitlines()))
    change(rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    roots = (tmp_path / "identities", tmp_path / "attributes")
    from stylegan_swap.errors import StyleganSwapError

    with pytest.raises(StyleganSwapError, match=message) as error:
        build_study(tmp_path / "out", tmp_path / "study", *roots)
    assert "\n" not in str(error.value)


def test_lists_that_a_spreadsheet_saved_again(tmp_path):
    make_results(tmp_path, METHODS, 3)
    roots = (tmp_path / "identities", tmp_path / "attributes")
    build_study(tmp_path / "out", tmp_path / "first", *roots)
    path = tmp_path / "out" / "beta" / "pairs.csv"
    path.write_text(path.read_text().replace(",", ";"), "utf-8-sig")
    build_study(tmp_path / "out", tmp_path / "second", *roots)
    first, second = load_study(tmp_path / "first"), load_study(tmp_path / "second")
    assert [(item.pair, item.methods) for item in first.items] == [
        (item.pair, item.methods) for item in second.items
    ]


def test_failures_of_a_method_leave_the_pair_out(tmp_path):
    make_results(tmp_path, METHODS, 4)
    path = tmp_path / "out" / "beta" / "pairs.csv"
    path.write_text(path.read_text().replace("ok,beta/results/00002.png", "no face,"))
    roots = (tmp_path / "identities", tmp_path / "attributes")
    built = build_study(tmp_path / "out", tmp_path / "study", *roots)
    assert {item.pair for item in built.items} == {"0", "1", "3"}


def test_the_commands(tmp_path):
    make_results(tmp_path, METHODS, 4)
    study = tmp_path / "study"
    arguments = ["build", str(tmp_path / "out"), "-o", str(study), "--items", "6", "--question", "natural"]
    roots = ["--identities", str(tmp_path / "identities"), "--attributes", str(tmp_path / "attributes")]
    done = CliRunner().invoke(study_app, arguments + roots)
    assert done.exit_code == 0, done.output
    assert "3 methods, 4 photo pairs, 12 items; 17 questions per rater" in done.output
    again = CliRunner().invoke(study_app, arguments + roots)
    assert isinstance(again.exception, StudyError) and "is not empty" in str(again.exception)
    early = CliRunner().invoke(study_app, ["analyse", str(study)])
    assert isinstance(early.exception, StudyError) and "holds no answers" in str(early.exception)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "has version 2"),
        ({"format": "x"}, "is not a study"),
        ({"seed": 5}, "was changed"),
        ({"items": []}, "is damaged"),
        ({"kind": "3afc"}, "is damaged"),
    ],
)
def test_damaged_studies_are_told(tmp_path, change, message):
    folder = make_study(tmp_path, METHODS[:2], 3, checks=1)
    path = folder / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StudyError, match=message):
        load_study(folder)
