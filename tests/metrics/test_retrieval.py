"""Retrieval with made-up descriptors, where every answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stylegan_swap.metrics.retrieval import COLUMNS, Gallery, retrieval
from stylegan_swap.metrics.sample import Sample, View

PIXELS = np.zeros((4, 4, 3), np.uint8)
POINTS = np.zeros((68, 2), np.float32)


class OnALine:
    """Recogniser of people who are numbers: a view's name ends in ``@`` and its number."""

    name = "line"
    same_person: float | None = 0.6
    furthest = 100.0

    def embed(self, view):
        assert view.landmarks is not None
        return np.array([float(view.name.split("@")[1])])

    def distance(self, a, b):
        return abs(float(a[0] - b[0]))

    def cosine(self, a, b):
        return 0.0


def view(person: str, number: float, photo: str = "", found: bool = True) -> View:
    return View(PIXELS, POINTS if found else None, f"{person}{photo}@{number}", person)


PEOPLE = [view(name, number) for number, name in enumerate("abcdefghij")]


def gallery(photos=PEOPLE) -> Gallery:
    return Gallery(photos, OnALine())


def swap(person: int, attribute: int, found: float, seen: bool = True) -> Sample:
    return Sample(PEOPLE[person], PEOPLE[attribute], view("result", found, found=seen))


def test_one_search():
    for found, expected in (
        (0.1, (1, 1, 1, 0)),
        (0.5, (0, 1, 1, 0)),  # as near to b: a tie counts against
        (0.7, (0, 1, 0, 0)),
        (2.4, (0, 1, 0, 0)),  # b to e are nearer: a is the fifth
        (2.5, (0, 0, 0, 0)),  # f as well, by a tie
        (9.0, (0, 0, 0, 1)),
    ):
        values = tuple(retrieval([swap(0, 9, found)], gallery())[column.name] for column in COLUMNS)
        assert values == expected


def test_rates_are_shares_of_all_samples_and_a_miss_is_wrong():
    samples = [swap(0, 9, 0.0), swap(1, 9, 1.2), swap(2, 9, 9.0), swap(3, 9, 3.0, seen=False)]
    values = retrieval(samples, gallery())
    assert values == {"top1": 0.5, "top5": 0.5, "verified": 0.5, "top1_is_attribute": 0.5}
    assert retrieval([samples[3]], gallery()) == {column.name: column.worst for column in COLUMNS}


def test_the_enrolled_photo_is_another_one_where_there_is_one():
    first, second = view("a", 0), view("a", 3, "-smiling")
    searched = gallery([first, second, PEOPLE[1]])
    assert searched.people == ("a", "b")
    assert searched.enrolled("a", Sample(first, PEOPLE[1], first)) is second
    assert searched.enrolled("a", Sample(second, PEOPLE[1], first)) is first
    assert searched.enrolled("b", Sample(first, PEOPLE[1], first)) is PEOPLE[1]
    # The result equals the identity photo, but the enrolled one is 3 away and b only 1.
    assert retrieval([Sample(first, PEOPLE[1], view("result", 0))], searched)["top1"] == 0


def test_verification_needs_a_threshold():
    class Unknown(OnALine):
        same_person = None

    searched = Gallery(PEOPLE, Unknown())
    samples = [swap(0, 9, 0.2), swap(0, 9, 0.2, seen=False)]
    values = retrieval(samples, searched)
    assert math.isnan(values["verified"]) and values["top1"] == 0.5
    assert retrieval(samples, searched, threshold=0.3)["verified"] == 0.5
    assert retrieval(samples, searched, threshold=0.1)["verified"] == 0


def test_a_gallery_that_cannot_be_searched_is_refused():
    with pytest.raises(ValueError, match="gallery is empty"):
        gallery([])
    with pytest.raises(ValueError, match="a person and a name"):
        gallery([PEOPLE[0], PEOPLE[0]])
    with pytest.raises(ValueError, match="no face was found; leave"):
        gallery([view("a", 0, found=False)])
    stranger = Sample(view("zoe", 5), PEOPLE[1], view("result", 5, found=False))
    with pytest.raises(ValueError, match="'zoe' is not in the gallery of 10 people: enrol"):
        retrieval([stranger], gallery())
    with pytest.raises(ValueError, match="at least one sample"):
        retrieval([], gallery())
