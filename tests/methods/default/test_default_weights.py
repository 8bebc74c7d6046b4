"""What ships under the name ``default``: its files, what its card says, and that ``swap()`` uses it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_swap import Swapper, swap
from stylegan_swap.editing.fitting.labels import measure_face
from stylegan_swap.faces.detection.detect import detect_faces, largest_face
from stylegan_swap.weights.store import registered_weights, shipped_folder

FOLDER = shipped_folder() / "default"
LARGEST = 24e6


@pytest.fixture(scope="module")
def card() -> str:
    """The card with every run of white space as one blank."""
    return " ".join((FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def default() -> Swapper:
    return Swapper.from_pretrained(device="cpu")


def test_files():
    assert {path.name for path in FOLDER.iterdir()} == {
        *("model.safetensors", "config.json", "MODEL_CARD.md", "samples.png", "directions.safetensors")
    }
    assert (FOLDER / "model.safetensors").stat().st_size <= LARGEST
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= LARGEST + 2e6


def test_the_directions_are_those_of_these_weights(default):
    """After a training: stylegan-swap directions fit FOLDER -o checkpoints/default/directions.safetensors."""
    assert {"yaw", "pitch", "smile", "mouth_open"} <= set(default.directions)
    assert (FOLDER / "directions.safetensors").stat().st_size < 2e5
    for direction in default.directions.values():
        assert direction.network
        assert direction.measured["correlation"] > 0.3


def test_a_smile_is_edited_in(default, hopper):
    """Measured on the edited photo, not on what the generator draws: the corners rise and sink."""
    lifts = []
    for strength in (-2.0, 0.0, 2.0):
        result = default.edit(hopper, {"smile": strength})
        face = largest_face(detect_faces(np.asarray(result.image)))
        lifts.append(measure_face(face.landmarks)["smile"])
    assert lifts[0] + 0.3 < lifts[1] < lifts[2] - 0.3


def test_the_list_names_licence_and_hash():
    entry = registered_weights()["default"]
    assert (entry.file, entry.licence) == ("default/model.safetensors", "Apache-2.0")
    assert hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest() == entry.sha256


def test_the_configuration_says_what_was_trained():
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert config["format"] == 1
    assert config["network"]["size"] >= 128


@pytest.mark.parametrize(
    "words",
    [
        "Apache-2.0",
        "Face Research Lab London Set (DeBruine & Jones, CC BY 4.0",
        "https://doi.org/10.6084/m9.figshare.5047666",
        "Young Adult White Faces with Manipulated Versions (DeBruine, CC BY 4.0",
        "https://doi.org/10.6084/m9.figshare.4220517",
        "public domain",
        "CC0",
        "iBUG 300-W",
        "**Not for.**",
        "**Limits.**",
        "**Recipe.**",
        "**Hardware.**",
    ],
)
def test_the_card_gives_credit_and_says_what_it_is_for(card, words):
    assert words in card


def test_the_cards_numbers_are_filled_in(card):
    assert "@@" not in card


def test_the_samples_are_a_picture_marked_as_synthetic():
    with Image.open(FOLDER / "samples.png") as image:
        assert image.mode == "RGB"
        assert min(image.size) >= 512
        assert np.asarray(image).std() > 20
    assert b"trainedAlgorithmicMedia" in (FOLDER / "samples.png").read_bytes()


def test_swap_uses_them_without_a_word(recwarn, default, astronaut, hopper):
    result = swap(astronaut, hopper, device="cpu")
    assert (result.method, result.notes) == ("default", [])
    assert not recwarn.list
    assert result.faces[0].wplus is not None
    assert np.array_equal(np.asarray(result.image), np.asarray(default(astronaut, hopper).image))


def test_the_result_is_nearer_to_the_identity_than_the_photo_was(default, astronaut, hopper):
    people = [default.prepare(photo) for photo in (astronaut, hopper)]
    apart = float(torch.linalg.vector_norm(people[0].embedding - people[1].embedding))
    for person, photo in ((people[0], hopper), (people[1], astronaut)):
        assert default(person, photo).faces[0].distance < 0.85 * apart


def test_new_people_are_faces_and_differ(default):
    from stylegan_swap.faces.detection.detect import detect_faces

    faces = [np.asarray(image.resize((256, 256))) for image in default.generate(n=3, seed=0)]
    for face in faces:
        assert len(detect_faces(face)) == 1
    assert np.abs(faces[0].astype(int) - faces[1]).mean() > 5


def test_every_copy_of_the_list_is_beside_its_card():
    for entry in registered_weights().values():
        assert (shipped_folder() / Path(entry.file).parent / "MODEL_CARD.md").is_file()
