"""Several people of one photo: who is found, who becomes whom, and who stays as they are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from stylegan_swap import Swapper, swap
from stylegan_swap.cli import main as cli
from stylegan_swap.cli.swap import replacements
from stylegan_swap.errors import FaceSelectionError, ImageReadError, NoFaceError, UnsupportedOptionError
from stylegan_swap.swapping.people import assign

# Left and right half of the fixture `two_faces`: the astronaut (face 0) and Hopper (face 1).
SEAM = 512


@pytest.fixture(scope="module")
def warp() -> Swapper:
    return Swapper.from_pretrained("warp", device="cpu")


@pytest.fixture(scope="module")
def astronaut_elsewhere(astronaut) -> Image.Image:
    """Another picture of the astronaut: mirrored, smaller, darker."""
    return Image.fromarray((astronaut[:, ::-1] * 0.8).astype(np.uint8)).resize((400, 400))


@pytest.fixture(scope="module")
def exchanged(warp, astronaut, hopper, two_faces, astronaut_elsewhere):
    """Both people swap their faces in one call."""
    people = [(astronaut_elsewhere, hopper), (hopper, astronaut)]
    return warp(warp.prepare_people(people), two_faces)


def changed(result, photo) -> np.ndarray:
    return (np.asarray(result.image) != photo).any(axis=-1)


def test_everyone_gets_their_own_identity(exchanged, warp, two_faces, astronaut, hopper):
    """The same picture as two swaps of one face each, one after the other."""
    first = np.asarray(warp(hopper, two_faces, face=0).image)
    second = np.asarray(warp(astronaut, two_faces, face=1).image)
    both = np.asarray(exchanged.image)
    assert np.array_equal(both[:, :SEAM], first[:, :SEAM])
    assert np.array_equal(both[:, SEAM:], second[:, SEAM:])
    assert [bool(face.box[0] < SEAM) for face in exchanged.faces] == [True, False]
    whose = [warp.prepare(photo).embedding for photo in (hopper, astronaut)]
    for face, person, other in zip(exchanged.faces, whose, whose[::-1], strict=True):
        assert np.array_equal(face.reference, person) and not np.array_equal(face.reference, other)
    assert exchanged.notes == []


def test_who_is_not_meant_stays_bit_for_bit(warp, two_faces, hopper, astronaut_elsewhere):
    result = warp.prepare_people([(astronaut_elsewhere, hopper)])
    result = warp(result, two_faces)
    touched = changed(result, two_faces)
    assert touched[:, :SEAM].sum() > 1000
    assert not touched[:, SEAM:].any()
    assert len(result.faces) == 1


def test_numbers_name_faces_too(exchanged, two_faces, astronaut, hopper):
    result = swap({0: hopper, 1: astronaut}, two_faces, method="warp")
    assert np.array_equal(np.asarray(result.image), np.asarray(exchanged.image))


def test_prepared_once_for_many_photos(warp, two_faces, hopper, astronaut):
    """A person who is prepared already is taken as they are, and the people can be used again."""
    people = warp.prepare_people({1: warp.prepare(astronaut)})
    results = [np.asarray(warp(people, photo).image) for photo in (two_faces, two_faces[:, ::-1].copy())]
    assert not (results[0] != two_faces)[:, :SEAM].any()
    # In the mirrored photo face 1 is the astronaut herself.
    assert not (results[1] != two_faces[:, ::-1])[:, :SEAM].any()
    assert (results[1] != two_faces[:, ::-1])[:, SEAM:].any()


def test_who_is_missing_is_named(warp, astronaut, hopper, hopper_path, astronaut_path):
    people = [(hopper_path, astronaut), (astronaut_path, hopper)]
    with pytest.raises(FaceSelectionError) as error:
        warp(warp.prepare_people(people), astronaut)
    text = str(error.value)
    assert str(hopper_path) in text and str(astronaut_path) not in text
    assert "not found among 1 face" in text and "every face is somebody else's" in text
    with pytest.raises(FaceSelectionError, match=r"hopper.*closest distance 0\.[6-9]\d.*limit is 0\.6"):
        warp({hopper_path: astronaut}, astronaut)


def test_missing_people_can_be_skipped(warp, astronaut, hopper, hopper_path):
    people = warp.prepare_people([(hopper_path, astronaut), (astronaut, hopper)], missing="skip")
    result = warp(people, astronaut)
    assert len(result.faces) == 1
    assert changed(result, astronaut).any()
    assert len(result.notes) == 1 and f"not found and skipped: {hopper_path}" in result.notes[0]
    nobody = warp.prepare_people([(hopper_path, astronaut)], missing="skip")
    with pytest.raises(FaceSelectionError, match="hopper"):
        warp(nobody, astronaut)


def test_one_face_is_never_given_twice(warp, astronaut, hopper, astronaut_elsewhere):
    """Two references to one person, who is in the photo once."""
    people = warp.prepare_people([(astronaut, hopper), (astronaut_elsewhere, hopper)])
    with pytest.raises(FaceSelectionError, match="every face is somebody else's"):
        warp(people, astronaut)


def test_matching_takes_as_many_as_it_can_and_then_the_nearest():
    # Each row prefers face 0; only the first has no other choice.
    assert assign(np.array([[0.5, 0.9], [0.3, 0.55]])) == [0, 1]
    # Greedy matching would pair 0.2 and end at 0.2 + 0.59.
    assert assign(np.array([[0.2, 0.3], [0.25, 0.59]])) == [1, 0]
    assert assign(np.array([[0.61, 0.9]])) == [None]
    assert assign(np.array([[0.6]])) == [0]
    assert assign(np.array([[0.4], [0.3], [0.5]])) == [None, 0, None]
    assert assign(np.zeros((0, 3))) == []
    assert assign(np.zeros((2, 0))) == [None, None]


@pytest.mark.parametrize(
    ("people", "options", "text"),
    [
        ([], {}, "nobody to replace"),
        ([(0, "a.png"), (0, "b.png")], {}, "face 0 is to become two people"),
        ([(0, "a.png")], {"missing": "ignore"}, "missing must be 'error' or 'skip'"),
    ],
)
def test_wrong_use_is_told_before_reading(warp, people, options, text):
    with pytest.raises(UnsupportedOptionError, match=text):
        warp.prepare_people(people, **options)


def test_paths_are_read_before_the_work(warp, astronaut, monkeypatch):
    monkeypatch.setattr("stylegan_swap.swapping.people.detect_faces", None)
    with pytest.raises(ImageReadError, match=r"nobody\.png"):
        warp.prepare_people([(astronaut, "nobody.png")])


def test_a_reference_without_a_face(warp, astronaut):
    with pytest.raises(NoFaceError, match="array"):
        warp.prepare_people([(np.full((80, 80, 3), 128, np.uint8), astronaut)])


def test_people_and_face_do_not_go_together(warp, astronaut):
    with pytest.raises(UnsupportedOptionError, match="leave 'face' out"):
        warp({0: astronaut}, astronaut, face="all")


def test_people_of_other_weights_are_refused(warp, tiny_checkpoint, astronaut):
    tiny = Swapper.from_pretrained(tiny_checkpoint, device="cpu")
    with pytest.raises(UnsupportedOptionError, match="prepare it again"):
        warp(tiny.prepare_people({0: astronaut}), astronaut)
    with pytest.raises(UnsupportedOptionError, match="different methods"):
        warp.prepare_people([(0, warp.prepare(astronaut)), (1, tiny.prepare(astronaut))])


def run(*arguments: object):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_on_the_command_line(tmp_path, exchanged, two_faces, astronaut_path, hopper_path):
    both, out, mask = tmp_path / "both.png", tmp_path / "out.png", tmp_path / "mask.png"
    Image.fromarray(two_faces).save(both)
    pairs = ("--map", f"{astronaut_path}={hopper_path}", "--map", f"1={astronaut_path}")
    # The watermark would change the file's pixels.
    options = ("--method", "warp", "--save-mask", mask, "--keep", "mouth", "--no-mark")
    done = run("swap", *pairs, both, "-o", out, *options)
    assert done.exit_code == 0, done.output
    assert "face 1: distance" in done.stdout
    with Image.open(out) as image, Image.open(mask) as levels:
        pixels, covered = np.asarray(image), np.asarray(levels)[..., 0]
    # As without --keep, but for the two mouths.
    differs = (pixels != np.asarray(exchanged.image)).any(axis=-1)
    assert 0 < differs.sum() < 0.35 * (covered > 0).sum()
    for face in exchanged.faces:
        x, y = face.landmarks[48:].mean(0).round().astype(int)
        assert covered[y, x] == 0 and np.array_equal(pixels[y, x], two_faces[y, x])
    missing = run("swap", *pairs, "--map", f"{hopper_path}={hopper_path}", both, "-o", tmp_path / "b.png")
    assert isinstance(missing.exception, FaceSelectionError) and str(hopper_path) in str(missing.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--map", "a=b"),
        ("--map", "a=b", "c.png", "d.png"),
        ("--map", "a=b", "c.png", "-s", "d.png"),
        ("--map", "a", "c.png"),
        ("--map", "=b", "c.png"),
        ("a.png", "b.png", "--mask-padding", "much"),
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments):
    assert run("swap", *arguments).exit_code == 2


def test_pairs_with_equal_signs_and_several_photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.png").write_bytes(b"x")
    found = replacements(["a=b.png=c.png", "2=d.png", "e.png=f=g.png", "2=h.png"])
    assert found == [("a=b.png", ["c.png"]), (2, ["d.png", "h.png"]), ("e.png", ["f=g.png"])]
