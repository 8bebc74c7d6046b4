"""From a folder of photographs to measured directions, with a generator whose codes are known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inversion import Latents
from stylegan_swap.editing.fitting import from_folder
from stylegan_swap.editing.fitting.from_folder import fit_folder
from stylegan_swap.editing.fitting.labels import MEASURED, manifest_labels, measure_face
from stylegan_swap.errors import ImageReadError, UnsupportedOptionError
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.geometry.landmark_warp import warp_to_landmarks
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.nn.stylegan2.generator import Generator

SIDE = 256
LOWERED = [*range(5, 12), *range(55, 60), 65, 66, 67]
PEOPLE, PEOPLE_VALIDATED = 24, 5


class Drawing:
    """Draws a face whose mouth opens by 3 pixels per unit of a code's first number; the second does nothing.

    A photo carries its code in the grey of two corners, which is how ``invert`` finds it.
    """

    name, size, prior = "drawing", SIDE, None

    def __init__(self, face: torch.Tensor, landmarks: torch.Tensor) -> None:
        self.face, self.landmarks = face, landmarks
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.generator = Generator(8, 2, 1, channels={4: 2, 8: 2})

    def opened(self, latents: Latents) -> torch.Tensor:
        points = self.landmarks.repeat(len(latents), 1, 1)
        points[:, LOWERED, 1] += 3 * latents.wplus[:, :1, 0].clamp(-1, 5)
        return points

    def generate(self, latents: Latents, n: int, truncation_psi: float, seed: int) -> torch.Tensor:
        points = self.opened(latents)
        return warp_to_landmarks(self.face.expand(n, -1, -1, -1), self.landmarks.expand(n, -1, -1), points)[0]

    def invert(self, x: torch.Tensor) -> Latents:
        corners = [x[:, :, 6:18, 6:18].mean((1, 2, 3)), x[:, :, 6:18, -18:-6].mean((1, 2, 3))]
        return Latents((torch.stack(corners, 1) * 6)[:, None])


class Describes:
    """Instead of dlib's network: the mean colour."""

    mean = torch.zeros(1)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


@pytest.fixture(scope="module")
def drawing(astronaut, astronaut_face) -> Drawing:
    alignment = ffhq_alignment(astronaut_face.landmarks, SIDE)
    points = torch.from_numpy(alignment.to_crop(astronaut_face.landmarks))[None]
    return Drawing(from_pixels(alignment.crop(astronaut)), points)


@pytest.fixture(scope="module")
def folder(drawing, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    draw = np.random.default_rng(0)
    rows, landmarks = [], {}
    for number in range(PEOPLE + PEOPLE_VALIDATED):
        code = torch.tensor([[draw.uniform(0, 4), draw.uniform(-4, 4)]], dtype=torch.float32)[None]
        light = torch.from_numpy(draw.normal(0, 0.05, (1, 3, 1, 1))).float()
        image = drawing.generate(Latents(code), 1, 1.0, 0) + light
        for corner, value in ((slice(0, 30), code[0, 0, 0]), (slice(-30, None), code[0, 0, 1])):
            image[..., :30, corner] = value / 6
            # The mean colour, which is held constant, must not give the code away.
            image[..., -30:, corner] = -value / 6
        name = f"{number:02}.png"
        Image.fromarray(np.rint(to_pixels(image)[0]).astype(np.uint8)).save(folder / name)
        points = drawing.opened(Latents(code))[0].numpy() + draw.normal(0, 0.3, (68, 2))
        landmarks[name] = points.tolist()
        split = "train" if number < PEOPLE else "val"
        age = "NA" if number == 0 else f"{20 + 5 * float(code[0, 0, 1]):.2f}"
        rows.append([name, name, split, age, "open" if code[0, 0, 0] > 2 else "closed"])
    with (folder / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["file", "person", "split", "age", "mouth"], *rows])
    (folder / "landmarks68.json").write_text(json.dumps(landmarks))
    return folder


def test_the_direction_is_found_and_does_what_it_says(drawing, folder):
    said = []
    fitted = fit_folder(
        drawing, Describes(), folder, attributes=("mouth_open",), progress=lambda text: said.append(text)
    )
    assert fitted.notes == ()
    found = fitted.directions["mouth_open"]
    unit = found.vector.flatten() / found.vector.norm()
    assert float(unit[0]) > 0.97
    result = fitted.validations["mouth_open"]
    assert result.correlation > 0.8
    assert 0.6 < result.slope < 1.3
    assert found.measured["correlation"] == result.correlation
    assert found.measured["n"] == PEOPLE
    assert found.network.startswith("8:4x2:")
    assert found.unit == "σ"
    # One deviation of the opening is about this many units of the code.
    assert 0.5 < found.scale < 3
    assert said[0] == "reading the photographs of split train"


def test_what_the_generator_does_not_show_is_left_out(drawing, folder):
    """The second number of a code follows age, but changes nothing that is drawn."""
    fitted = fit_folder(drawing, Describes(), folder, attributes=(), columns=("age",), validation=None)
    assert fitted.directions == {}
    assert len(fitted.notes) == 1
    assert fitted.notes[0].startswith("age: left out")


def test_glasses_are_seen_in_the_photograph_itself(drawing, folder, monkeypatch):
    seen = []

    def dark(image, landmarks):
        seen.append((image.shape, landmarks.shape))
        return image[-20:, :20].mean() < 100

    monkeypatch.setitem(from_folder.PICTURED, "glasses", dark)
    labels = from_folder._labelled(
        drawing, Describes(), folder, "train", ("smile", "glasses"), (), lambda text: None
    ).labels
    assert list(labels) == ["smile", "glasses"] and seen == [((SIDE, SIDE, 3), (68, 2))] * PEOPLE
    assert set(labels["glasses"]) == {0.0, 1.0}


def test_columns_of_a_manifest(folder):
    files = [f"{number:02}.png" for number in range(6)]
    labels = manifest_labels(folder / "manifest.csv", files, ["age", "mouth"])
    assert set(labels) == {"age", "open"}
    assert np.isnan(labels["age"][0])
    assert np.isfinite(labels["age"][1:]).all()
    assert set(labels["open"]) <= {0.0, 1.0}
    with pytest.raises(UnsupportedOptionError, match="no column 'hair'"):
        manifest_labels(folder / "manifest.csv", files, ["hair"])
    with pytest.raises(UnsupportedOptionError, match="holds 29 words"):
        manifest_labels(folder / "manifest.csv", files, ["person"])
    with pytest.raises(ImageReadError, match="cannot be read"):
        manifest_labels(folder / "none.csv", files, ["age"])


def test_a_manifest_with_semicolons_and_decimal_commas(tmp_path):
    (tmp_path / "manifest.csv").write_text("file;age\na.png;30,5\nb.png;\n", "utf-8-sig")
    ages = manifest_labels(tmp_path / "manifest.csv", ["a.png", "b.png"], ["age"])["age"]
    np.testing.assert_array_equal(ages, [30.5, np.nan])


def test_measures_of_a_face(drawing):
    closed, opened = (
        measure_face(drawing.opened(Latents(torch.tensor([[[value, 0.0]]])))[0].numpy())
        for value in (0.0, 3.0)
    )
    assert set(closed) == set(MEASURED)
    assert opened["mouth_open"] > closed["mouth_open"] + 0.05
    assert opened["eyes_open"] == pytest.approx(closed["eyes_open"])
    lifted = drawing.landmarks[0].numpy().copy()
    lifted[[48, 54, 60, 64], 1] -= 5
    lifted[[48, 60], 0] -= 5
    lifted[[54, 64], 0] += 5
    assert measure_face(lifted)["smile"] > closed["smile"] + 1
