"""The checks of a swap network: what copies, what answers perfectly and what is random is told apart."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_swap import Swapper
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.methods.baselines.method import CopyMethod
from stylegan_swap.metrics.identity import DlibRecogniser
from stylegan_swap.metrics.sample import Sample, View
from stylegan_swap.training.data.crops import crop_face
from stylegan_swap.training.data.photos import Photos

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
# Behind everything else, so that a script there never hides a package.
if BENCHMARKS not in sys.path:
    sys.path.append(BENCHMARKS)

import aligned_swap  # noqa: E402
import default_checks  # noqa: E402
from expression_following import Expressions, check_expression, correlation, slope  # noqa: E402
from findings import Finding, as_table  # noqa: E402
from mutations import blank_identity, check_blank_identity, check_generator, with_random_generator  # noqa: E402
from reverse_triplets import check_triplets, draw_triplets  # noqa: E402
from skin_chroma import between_people, check_chroma  # noqa: E402

SIZE = 64


@pytest.fixture(scope="module")
def photos(astronaut, hopper, astronaut_face, hopper_face) -> Photos:
    """Two people, nobody with glasses as far as the checks know."""
    crops = [
        crop_face(pixels, face.landmarks, 256, name=f"{person}.png", person=person)
        for pixels, face, person in ((astronaut, astronaut_face, "eileen"), (hopper, hopper_face, "grace"))
    ]
    return Photos([dataclasses.replace(crop, glasses=False) for crop in crops])


@pytest.fixture(scope="module")
def triplets(photos):
    return draw_triplets(photos, SIZE, repeats=1)


@pytest.fixture(scope="module")
def network(tiny_checkpoint) -> Swapper:
    return Swapper.from_pretrained(tiny_checkpoint, device="cpu")


def values(findings) -> dict[str, float]:
    return {finding.quantity: finding.value for finding in findings}


def verdict(findings, quantity) -> bool | None:
    return next(finding.passed for finding in findings if finding.quantity == quantity)


class KnowsTheAnswer(CopyMethod):
    """Gives the target of the triplet whose attribute it sees."""

    name = "answer"

    def __init__(self, triplets) -> None:
        self.answers = {triplet.attribute.pixels.tobytes(): triplet.target for triplet in triplets}

    def _swap(self, person, x_attr, landmarks, options):
        pixels = np.rint((x_attr[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
        image = from_pixels(self.answers[pixels.tobytes()].pixels)
        return AlignedSwap(image, torch.ones_like(x_attr[:, :1]))


def test_a_triplet_hides_the_person_and_keeps_the_surroundings(triplets):
    assert [triplet.target.person for triplet in triplets] == ["eileen", "grace"]
    for triplet in triplets:
        assert triplet.identity.person == triplet.target.person != triplet.attribute.person
        difference = np.abs(triplet.attribute.pixels.astype(int) - triplet.target.pixels).mean(-1)
        assert difference[triplet.inside].mean() > 5
        # The chin reaches down to the lower edge; hair and background above do not move.
        assert difference[:4].max() == difference[:16, :4].max() == difference[:16, -4:].max() == 0
        away = np.abs(triplet.identity.landmarks - triplet.target.landmarks)
        assert away.mean() > 0.01 * SIZE, "the identity lies on the target, pixel by pixel"


def test_triplets_repeat(photos, triplets):
    again, other = draw_triplets(photos, SIZE, repeats=1), draw_triplets(photos, SIZE, seed=1, repeats=1)
    for first, second, third in zip(triplets, again, other, strict=True):
        np.testing.assert_array_equal(first.identity.pixels, second.identity.pixels)
        np.testing.assert_array_equal(first.attribute.pixels, second.attribute.pixels)
        assert (first.identity.pixels != third.identity.pixels).any()


def test_a_copy_gains_nothing(triplets):
    findings, sheet = check_triplets(CopyMethod(), None, triplets)
    assert values(findings)["copy − input"] == 0
    assert verdict(findings, "copy − input") is False
    # Two rows of identity, input, result and target side by side.
    assert sheet.shape == (160, 2 * 4 * 160, 3)


def test_the_answer_gains_everything(triplets):
    findings, _ = check_triplets(KnowsTheAnswer(triplets), CopyMethod(), triplets)
    found = values(findings)
    assert found["answer: mean"] == 100 and 10 < found["copy: mean"] < 40
    assert found["copy: mean"] == found["input (the morphed photo): mean"]
    assert found["answer − copy"] == pytest.approx(100 - found["copy: mean"])
    assert verdict(findings, "answer − input") and verdict(findings, "answer − copy")


def test_only_the_generator_is_drawn_again(network):
    before = network.method.network.state_dict()
    after = with_random_generator(network.method).network.state_dict()
    assert before.keys() == after.keys()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"generator"}
    first = "generator.conv1.conv.weight"
    assert abs(np.corrcoef(before[first].flatten(), after[first].flatten())[0, 1]) < 0.1


def test_a_random_generator_is_seen(network, photos):
    samples = default_checks.cross_samples(network.method, photos, SIZE)
    assert [(s.identity.person, s.attribute.person) for s in samples] == [
        ("grace", "eileen"),
        ("eileen", "grace"),
    ]
    recogniser = DlibRecogniser(network.method.network.identity)
    findings, _ = check_generator(network.method, samples, recogniser)
    found = values(findings)
    assert found["PSNR of broken against unbroken, inside"] < 50
    # Weights that are random already lose nothing: the rise is what separates them from trained ones.
    rise = found["distance to the identity, broken"] - found["distance to the identity, unbroken"]
    assert found["rise of the distance"] == pytest.approx(rise)


def test_a_blank_identity_is_the_mean_person(network):
    codes = blank_identity(network.method)
    assert codes.wplus is None and codes.embedding.shape == (1, 128) and not codes.embedding.any()
    identity = network.method.network.identity
    assert torch.equal(identity.standardise(identity.mean[None]), codes.embedding)


def test_a_copy_is_no_mean_person(network, photos, monkeypatch):
    """A network that shows the attribute photo whoever is asked for."""

    def copied(prepared, x_attr, landmarks=None, **dials):
        return AlignedSwap(x_attr, torch.zeros_like(x_attr[:, :1]))

    views = default_checks.one_of_each(photos, SIZE)
    recogniser = DlibRecogniser(network.method.network.identity)
    plain, sheet = check_blank_identity(network.method, views, recogniser)
    assert sheet.shape == (160, 2 * 2 * 160, 3)
    monkeypatch.setattr(network.method, "swap_aligned", copied)
    findings, _ = check_blank_identity(network.method, views, recogniser)
    found = values(findings)
    # Landmarks are found afresh in the result, so the distance is small and not 0.
    assert found["distance of results to the attribute person"] < 0.5
    assert verdict(findings, "attribute person − mean embedding") is False
    assert verdict(findings, "distance between results") is False
    assert values(plain)["distance between results"] < found["distance between results"]


def test_a_copy_follows_the_mouth(astronaut, hopper):
    people = {
        "one": Expressions(hopper, astronaut),
        "two": Expressions(np.ascontiguousarray(hopper[:, ::-1]), np.ascontiguousarray(astronaut[:, ::-1])),
    }
    findings = check_expression(Swapper(CopyMethod()), people)
    found = values(findings)
    for who in ("same", "next"):
        assert found[f"identity the {who} person: correlation"] == pytest.approx(1)
        assert found[f"identity the {who} person: slope"] == pytest.approx(1)
        assert found[f"identity the {who} person: mean error"] == 0
    assert verdict(findings, "identity the same person: correlation") is True


def test_a_mouth_that_never_moves_fails():
    still, moving = np.full(4, 0.1), np.array([0.0, 0.2, 0.0, 0.3])
    assert np.isnan(correlation(moving, still))
    assert not Finding("", "", correlation(moving, still), requirement=(">=", 0.8)).passed
    assert correlation(moving, 0.5 * moving + 0.1) == pytest.approx(1)
    assert slope(moving, 0.5 * moving + 0.1) == pytest.approx(0.5)


def test_people_photographed_twice(tmp_path):
    from expression_following import photographed_twice

    with (tmp_path / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "person", "expression", "split"])
        for name, split in (("both", "val"), ("trained", "train")):
            writer.writerows([[f"{name}_{e}.jpg", name, e, split] for e in ("smiling", "neutral")])
        writer.writerow(["once.jpg", "once", "neutral", "val"])
    found = photographed_twice(tmp_path)
    assert found == {"both": Expressions(tmp_path / "both_neutral.jpg", tmp_path / "both_smiling.jpg")}


def test_chroma_of_a_copy_a_cast_and_a_rainbow(photos):
    views = default_checks.one_of_each(photos, 256)

    def swapped(change):
        return [
            Sample(view, view, View(change(view.pixels.astype(float)), view.landmarks, "result"))
            for view in views
        ]

    def rainbow(pixels):
        wave = 40 * np.sin(np.arange(256)[None, :, None] / 5 + np.array([0, 2.1, 4.2]))
        return np.clip(pixels + wave, 0, 255).astype(np.uint8)

    error, within = "error / spread between people", "spread within, results / photos"
    copy = check_chroma(swapped(lambda pixels: pixels.astype(np.uint8)))
    assert values(copy)[error] == 0 and values(copy)[within] == 1
    assert verdict(copy, error) is verdict(copy, within) is True
    cast = check_chroma(swapped(lambda pixels: (pixels * [0.5, 0.75, 1.0]).astype(np.uint8)))
    assert verdict(cast, error) is False
    assert verdict(check_chroma(swapped(rainbow)), within) is False


def test_spread_between_people():
    # Two people at a distance of 5: each deviates by 2.5, with n − 1 below that is 5 / √2.
    chroma = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    assert between_people(chroma, ["a", "a", "b"]) == pytest.approx(5 / np.sqrt(2))


def test_landmarks_of_a_small_crop(photos):
    large, small = (aligned_swap.photo_view(photos, 1, size) for size in (256, 64))
    away = aligned_swap.fresh_landmarks(small.pixels) - small.landmarks
    assert np.linalg.norm(away, axis=1).mean() < 2
    assert np.linalg.norm(aligned_swap.fresh_landmarks(large.pixels) - large.landmarks, axis=1).mean() < 6


def test_a_table_says_what_failed():
    lines = as_table(
        [
            Finding("first", "good", 4.0, "dB", (">=", 3.0), (3.5, 4.5)),
            Finding("first", "bad", float("nan"), requirement=("<", 1.0)),
            Finding("second", "told", 1.0),
        ]
    ).splitlines()
    assert [line.strip() for line in lines if not line.startswith("  ")] == ["", "first", "", "second"]
    assert "pass" in lines[2] and "[3.500, 4.500]" in lines[2] and "FAIL" in lines[3]
    assert not {"pass", "FAIL"} & set(lines[-1].split())
    assert json.loads(json.dumps(Finding("", "", float("nan")).as_dict()))["value"] is None


@pytest.fixture
def folder(tmp_path, photos, astronaut, hopper, astronaut_face, hopper_face) -> Path:
    from PIL import Image

    rows = []
    for name, pixels in (("eileen", astronaut), ("grace", hopper)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        rows.append([f"{name}.png", name, "", "val"])
    with (tmp_path / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "person", "expression", "split"], *rows])
    points = {"eileen.png": astronaut_face.landmarks.tolist(), "grace.png": hopper_face.landmarks.tolist()}
    (tmp_path / "landmarks68.json").write_text(json.dumps(points), encoding="utf-8")
    return tmp_path


def test_a_random_network_does_not_pass(folder, tiny_checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [str(folder), "--method", str(tiny_checkpoint), "--out", str(out), "--repeats", "1"]
    # One person without glasses is too few for intervals over people: mutations and chroma only.
    arguments += ["--device", "cpu", "--only", "mutations", "chroma"]
    assert default_checks.main(arguments) == 1
    assert "FAIL" in capsys.readouterr().out
    assert default_checks.main([*arguments, "--report-only"]) == 0
    written = json.loads((out / "checks.json").read_text(encoding="utf-8"))
    assert written["passed"] is False and written["size"] == SIZE and written["photos"] == 2
    assert {path.name for path in out.iterdir()} == {
        "checks.json",
        "random_generator.jpg",
        "blank_identity.jpg",
    }


def test_warp_instead_of_missing_weights_is_refused(folder, monkeypatch, capsys):
    monkeypatch.setattr("stylegan_swap.swapping.find_method.default_weights_available", lambda: False)
    with pytest.warns(match="default weights are missing"), pytest.raises(SystemExit) as stop:
        default_checks.main([str(folder)])
    assert stop.value.code == 2
    assert "the default weights are missing" in capsys.readouterr().err
