"""The measures on people whose answer is known: neutral and smiling photographs of the London set."""

from __future__ import annotations

import csv
import itertools
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from stylegan_swap.faces.geometry.head_pose import head_pose
from stylegan_swap.metrics.expression import ExpressionMeasure
from stylegan_swap.metrics.gaze import GazeMeasure
from stylegan_swap.metrics.identity import DlibRecogniser, IdentityMeasure
from stylegan_swap.metrics.pose import PoseMeasure, frontal_bias
from stylegan_swap.metrics.retrieval import Gallery, retrieval
from stylegan_swap.metrics.robustness import RobustIdentityMeasure
from stylegan_swap.metrics.sample import Sample, View, look

pytestmark = pytest.mark.faces
PEOPLE = 8


@pytest.fixture(scope="module")
def recogniser() -> DlibRecogniser:
    return DlibRecogniser()


@pytest.fixture(scope="module")
def london(faces_folder) -> dict[str, dict[str, View]]:
    """Person → expression → view, at 512 px."""
    people: dict[str, dict[str, View]] = {}
    with open(faces_folder / "manifest.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if not row["file"].startswith("london/"):
                continue
            if row["person"] in people or len(people) < PEOPLE:
                with Image.open(faces_folder / row["file"]) as image:
                    pixels = np.array(image.convert("RGB").resize((512, 512), Image.Resampling.LANCZOS))
                view = look(pixels, row["file"], row["person"])
                people.setdefault(row["person"], {})[row["expression"]] = view
    return {person: views for person, views in people.items() if len(views) == 2}


def pairs(london) -> list[tuple[View, View, View]]:
    """Identity (neutral), the same person smiling, and the next person neutral."""
    views = list(london.values())
    return [
        (one["neutral"], one["smiling"], other["neutral"])
        for one, other in zip(views, views[1:] + views[:1], strict=True)
    ]


def mean(measure, samples, column) -> float:
    return float(np.mean([measure(sample)[column] for sample in samples]))


def recoded(view: View) -> View:
    _, data = cv2.imencode(".jpg", view.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])
    return look(np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]), view.name)


def test_everybody_is_recognised(london, recogniser):
    assert len(london) == PEOPLE
    samples = [Sample(neutral, other, smiling) for neutral, smiling, other in pairs(london)]
    for sample in samples:
        assert IdentityMeasure(recogniser)(sample)["id_distance"] < recogniser.same_person
    measure = IdentityMeasure(recogniser)
    assert mean(measure, samples, "id_distance") == pytest.approx(0.23, abs=0.05)
    assert mean(measure, samples, "id_cosine") == pytest.approx(0.94, abs=0.04)
    assert mean(measure, samples, "id_relative") == pytest.approx(0.21, abs=0.05)
    strangers = [
        recogniser.distance(recogniser.embed(a["neutral"]), recogniser.embed(b["neutral"]))
        for a, b in itertools.combinations(london.values(), 2)
    ]
    assert np.mean(strangers) == pytest.approx(0.84, abs=0.08) and min(strangers) > 0.45
    assert mean(RobustIdentityMeasure(recogniser), samples[:4], "id_distance_worst") == pytest.approx(
        0.39, abs=0.08
    )


def test_everybody_is_retrieved_and_copies_are_not(london, recogniser):
    gallery = Gallery([view for views in london.values() for view in views.values()], recogniser)
    swaps = [Sample(neutral, other, smiling) for neutral, smiling, other in pairs(london)]
    copies = [Sample(neutral, other, other) for neutral, _, other in pairs(london)]
    assert retrieval(swaps, gallery) == {"top1": 1, "top5": 1, "verified": 1, "top1_is_attribute": 0}
    failed = retrieval(copies, gallery)
    assert failed["top1"] == 0 and failed["top1_is_attribute"] == 1 and failed["verified"] < 0.2


def test_no_portrait_flips_but_without_the_initial_guess_many_do(faces_folder):
    stored = json.loads((faces_folder / "landmarks68.json").read_text(encoding="utf-8"))
    faces = [np.array(points) for points in stored.values()]
    with_guess = [head_pose(points) for points in faces]
    assert not any(pose.flipped for pose in with_guess)
    assert max(max(abs(pose.yaw), abs(pose.pitch)) for pose in with_guess) < 30
    without = [head_pose(points, initial_guess=False).flipped for points in faces]
    assert np.mean(without) == pytest.approx(0.46, abs=0.2)


def test_finding_the_face_again_is_little_noise(london):
    views = [view for both in london.values() for view in both.values()]
    again = [Sample(view, view, recoded(view)) for view in views[:8]]
    assert mean(PoseMeasure(), again, "pose_error") < 0.8
    assert mean(ExpressionMeasure(), again, "expression_error") < 0.35
    assert mean(GazeMeasure(), again, "gaze_error") < 0.03


def test_the_frontal_bias_takes_the_shape_out_of_the_pitch(london):
    bias = frontal_bias([both["smiling"] for both in london.values()])
    others = [Sample(other, neutral, other) for neutral, _, other in pairs(london)]
    measure = PoseMeasure(bias)
    assert mean(measure, others, "pitch_error_corrected") < mean(measure, others, "pitch_error")


def test_a_smile_is_an_expression_and_another_person_is_less_of_one(london):
    smiles = [Sample(neutral, neutral, smiling) for neutral, smiling, _ in pairs(london)]
    others = [Sample(other, neutral, other) for neutral, _, other in pairs(london)]
    measure = ExpressionMeasure()
    for column in ("expression_error", "mouth_opening_error", "corner_lift_error"):
        assert mean(measure, smiles, column) > mean(measure, others, column)
    assert mean(measure, smiles, "corner_lift_error") == pytest.approx(0.07, abs=0.04)
