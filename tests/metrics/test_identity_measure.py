"""Identity of a result: dlib's own numbers, the ends of the scale, ArcFace, and what must not matter."""

from __future__ import annotations

import builtins

import dlib
import numpy as np
import pytest
import torch

from inversion.irse import IRSE50
from stylegan_swap.errors import CheckpointError
from stylegan_swap.metrics.identity import (
    ArcFaceRecogniser,
    DlibRecogniser,
    IdentityMeasure,
    dlib_chip,
    relative,
)
from stylegan_swap.metrics.sample import Sample, View, measured
from stylegan_swap.nn.recognisers.arcface_irse import ArcFaceIdentity
from stylegan_swap.nn.recognisers.dlib_resnet import find_dlib_weights


@pytest.fixture(scope="module")
def recogniser() -> DlibRecogniser:
    return DlibRecogniser()


@pytest.fixture(scope="module")
def her(astronaut, astronaut_face) -> View:
    return View(astronaut, astronaut_face.landmarks, "astronaut", "collins")


@pytest.fixture(scope="module")
def other(hopper, hopper_face) -> View:
    return View(hopper, hopper_face.landmarks, "hopper", "hopper")


def changed(view: View, pixels: np.ndarray) -> View:
    return View(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), view.landmarks, view.name)


def test_the_descriptor_is_dlibs(recogniser, other):
    points = [dlib.point(round(float(x)), round(float(y))) for x, y in other.landmarks]
    shape = dlib.full_object_detection(dlib.rectangle(100, 100, 300, 300), points)
    network = dlib.face_recognition_model_v1(str(find_dlib_weights()))
    expected = np.array(network.compute_face_descriptor(np.array(other.pixels), shape))
    assert np.abs(recogniser.embed(other) - expected).max() < 1e-4


def test_without_dlib_the_fixed_chip_is_nearly_the_same(recogniser, other, monkeypatch):
    exact = dlib_chip(other)
    found = builtins.__import__

    def without_dlib(name, *rest, **more):
        if name == "dlib":
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_dlib)
    fixed = dlib_chip(other)
    assert fixed.shape == exact.shape == (1, 3, 150, 150)
    assert 0 < float((fixed - exact).abs().mean()) < 0.15
    vector = DlibRecogniser().embed(View(other.pixels, other.landmarks))
    assert recogniser.distance(vector, recogniser.embed(other)) < 0.35


def test_the_ends_of_the_scale(recogniser, her, other):
    measure = IdentityMeasure(recogniser)
    copy = measure(Sample(identity=her, attribute=other, result=other))
    perfect = measure(Sample(identity=her, attribute=other, result=her))
    assert copy["attr_distance"] == 0 and copy["attr_cosine"] == pytest.approx(1)
    assert copy["id_relative"] == 1 and copy["id_distance"] > recogniser.same_person
    assert perfect["id_distance"] == 0 and perfect["id_cosine"] == pytest.approx(1)
    assert perfect["id_relative"] == 0 and perfect["attr_distance"] == copy["id_distance"]
    assert abs(perfect["attr_cosine"]) < 0.5


def test_a_miss_is_worse_than_any_face(recogniser, her, other):
    measure = IdentityMeasure(recogniser)
    copy = measure(Sample(her, other, other))
    miss = measured(measure, Sample(her, other, View(other.pixels, None)))
    assert {c.name for c in measure.columns} == set(copy) == set(miss)
    for column in measure.columns:
        # A copy of the attribute photo already has the worst of what says "it is still them".
        sign = 1 if column.better == "higher" else -1
        assert sign * miss[column.name] <= sign * copy[column.name] + 1e-6


def test_light_and_format_do_not_change_a_person_much_and_a_blend_does(recogniser, her, other):
    measure = IdentityMeasure(recogniser)

    def distance(pixels):
        return measure(Sample(her, other, changed(her, pixels)))["id_distance"]

    pixels = her.pixels.astype(np.float32)
    assert distance(pixels * 1.1) < 0.1 and distance(pixels * 0.9) < 0.1
    noise = np.random.default_rng(0).normal(0, 1, pixels.shape)
    steps = [distance(pixels + level * noise) for level in (0, 5, 20, 60)]
    assert steps == sorted(steps) and steps[0] == 0 and steps[1] < 0.2


def test_a_fade_from_one_to_the_other_is_monotone(recogniser, her, other):
    one, two = her.crop(256), other.crop(256)
    points = her.alignment(256).to_crop(her.landmarks)
    measure = IdentityMeasure(recogniser)
    values = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        mixed = changed(View(one, points), one + share * (two - one))
        values.append(measure(Sample(her, other, mixed))["id_relative"])
    assert values == sorted(values) and values[0] < 0.2 and values[-1] > 0.7


def test_the_relative_form():
    for a, b, expected in ((0, 1, 0), (1, 0, 1), (2, 2, 0.5), (0, 0, 0.5), (1, 3, 0.25)):
        assert relative(a, b) == expected


def test_each_view_is_embedded_once(recogniser, her, monkeypatch):
    recogniser.embed(her)
    monkeypatch.setattr("stylegan_swap.metrics.identity.dlib_chip", None)
    assert recogniser.embed(her).shape == (128,)


def test_a_view_without_a_face_is_named(recogniser, her):
    with pytest.raises(ValueError, match=r"blank\.png: no face"):
        recogniser.embed(View(her.pixels, None, "blank.png"))


def test_arcface_has_its_own_headings_and_no_threshold(her, other, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        recogniser = ArcFaceRecogniser(ArcFaceIdentity(IRSE50()))
    measure = IdentityMeasure(recogniser)
    values = measure(Sample(her, other, other))
    assert values["attr_distance_arcface"] == pytest.approx(0, abs=1e-6)
    assert values["id_distance_arcface"] == pytest.approx(1 - values["id_cosine_arcface"])
    assert all(column.floor is None for column in measure.columns) and recogniser.same_person is None
    with pytest.raises(CheckpointError, match="no such file"):
        ArcFaceRecogniser.load(tmp_path / "model_ir_se50.pth")
