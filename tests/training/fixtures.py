"""A training set of two public photographs, enough for every kind of item."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from stylegan_swap.training.data.crops import crop_face
from stylegan_swap.training.data.head_turn import another_view, mirrored
from stylegan_swap.training.data.morph import Portrait
from stylegan_swap.training.data.photos import Photos


@pytest.fixture(scope="session")
def astronaut_crop(astronaut, astronaut_face):
    return crop_face(
        astronaut, astronaut_face.landmarks, 256, name="a.png", person="eileen", expression="smiling"
    )


@pytest.fixture(scope="session")
def hopper_crop(hopper, hopper_face):
    return crop_face(hopper, hopper_face.landmarks, 256, name="g.png", person="grace", expression="neutral")


def portrait_of(crop) -> Portrait:
    return Portrait(crop.image().astype(np.float32), crop.landmarks)


@pytest.fixture(scope="session")
def astronaut_portrait(astronaut_crop) -> Portrait:
    return portrait_of(astronaut_crop)


@pytest.fixture(scope="session")
def hopper_portrait(hopper_crop) -> Portrait:
    return portrait_of(hopper_crop)


@pytest.fixture(scope="session")
def few_photos(astronaut_crop, hopper_crop) -> Photos:
    """Three people in four photos: eileen twice (the second in the mirror), grace, and eileen's double."""
    second = _changed(astronaut_crop, mirrored(portrait_of(astronaut_crop)), "a2.png", "eileen")
    double = _changed(hopper_crop, another_view(portrait_of(hopper_crop), yaw=8), "d.png", "doris")
    second = dataclasses.replace(second, expression="neutral")
    return Photos([astronaut_crop, second, hopper_crop, double])


def _changed(crop, portrait: Portrait, name: str, person: str):
    pixels = cv2.cvtColor(np.rint(portrait.image).astype(np.uint8), cv2.COLOR_RGB2BGR)
    return dataclasses.replace(
        crop,
        name=name,
        person=person,
        jpeg=cv2.imencode(".png", pixels)[1].tobytes(),
        landmarks=portrait.landmarks,
        glasses=False,
    )


@pytest.fixture
def photo_folder(tmp_path, astronaut, hopper, astronaut_face, hopper_face) -> Path:
    """A folder with manifest and landmarks: one person to train with, one to validate."""
    import csv
    import json

    from PIL import Image

    folder = tmp_path / "faces"
    (folder / "nasa").mkdir(parents=True)
    Image.fromarray(astronaut).save(folder / "nasa" / "eileen.png")
    Image.fromarray(hopper).save(folder / "grace.png")
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "person", "expression", "split"])
        writer.writerow(["nasa/eileen.png", "eileen", "smiling", "train"])
        writer.writerow(["grace.png", "grace", "neutral", "val"])
    landmarks = {
        "nasa/eileen.png": astronaut_face.landmarks.tolist(),
        "grace.png": hopper_face.landmarks.tolist(),
    }
    (folder / "landmarks68.json").write_text(json.dumps(landmarks), encoding="utf-8")
    return folder
