"""dlib's recogniser in torch: parity with dlib, reading, the fixed chip, statistics; ArcFace."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import dlib
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from stylegan_swap.errors import CheckpointError, MissingDependencyError
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.nn.recognisers import dlib_resnet
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity, embedding_statistics, face_chip
from stylegan_swap.nn.recognisers.dlib_resnet import (
    DlibResNet,
    find_dlib_weights,
    load_dlib_resnet,
    save_identity,
)
from stylegan_swap.weights.backbones import load_arcface


@lru_cache(maxsize=1)
def identity() -> DlibIdentity:
    return DlibIdentity()


@lru_cache(maxsize=1)
def astronaut() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dlib's chip, dlib's descriptor, and the photograph's landmarks."""
    photo = np.ascontiguousarray(skimage.data.astronaut())
    folder = find_dlib_weights().parent
    box = dlib.get_frontal_face_detector()(photo, 1)[0]
    shape = dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))(photo, box)
    chip = dlib.get_face_chip(photo, shape, 150, 0.25)
    network = dlib.face_recognition_model_v1(str(find_dlib_weights()))
    points = np.array([[p.x, p.y] for p in shape.parts()], np.float64)
    return chip, np.array(network.compute_face_descriptor(chip)), points


def as_image(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(pixels, np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


@torch.no_grad()
def test_agrees_with_dlib():
    chip, descriptor, _ = astronaut()
    own = identity().network(as_image(chip))[0].numpy()
    assert np.abs(own - descriptor).max() < 1e-5


@torch.no_grad()
def test_features_are_those_on_the_way_to_the_embedding():
    chip, _, _ = astronaut()
    features, embedding = identity().network.describe(as_image(chip))
    assert [tuple(f.shape[1:]) for f in features] == [(32, 35, 35), (64, 17, 17), (128, 8, 8), (256, 4, 4)]
    assert all(float(f.min()) == 0 < float(f.max()) for f in features)
    network = identity().network
    rest = network.blocks[-1](features[-1]).mean((2, 3))
    assert torch.allclose(network.head(rest), embedding, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("size", [128, 256, 600])
def test_the_fixed_chip_of_an_aligned_photo_shows_the_same_person(size: int):
    _, descriptor, points = astronaut()
    crop = ffhq_alignment(points, size).crop(np.ascontiguousarray(skimage.data.astronaut()))
    embedding = identity().embed(as_image(crop))
    reference = torch.from_numpy(descriptor).float()[None]
    assert float(identity().distance(embedding, reference)) < 0.3
    assert float(identity().similarity(embedding, reference)) > 0.9


@torch.no_grad()
def test_the_chip_is_the_affine_map_of_the_design():
    for size in (72, 144, 288):
        # The image is its own coordinates at 144 pixels, so the chip must show where it was sampled.
        at_144 = (torch.arange(size) + 0.5) * 144 / size - 0.5
        image = torch.stack(torch.meshgrid(at_144, at_144, indexing="ij"))[None]
        image = torch.cat([image, image[:, :1]], 1)
        chip = face_chip(image)
        inner = torch.arange(10, 140)
        assert torch.allclose(chip[0, 1, 75, inner], (inner + 35.30) / 1.5198, atol=0.08)
        assert torch.allclose(chip[0, 0, inner, 75], (inner + 56.20) / 1.5150, atol=0.08)
        with pytest.raises(ValueError, match="square"):
            face_chip(image[..., 1:])


def test_gradients_reach_the_image_and_not_the_weights():
    image = torch.zeros(1, 3, 96, 96, requires_grad=True)
    identity().embed(image).sum().backward()
    assert image.grad is not None and float(image.grad.abs().max()) > 0
    assert not any(p.requires_grad for p in identity().parameters())


@torch.no_grad()
def test_under_autocast_the_embedding_keeps_its_precision_and_features_give_it_up():
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = identity().embed(image)
        features = identity().features(image)
    assert torch.equal(inside, identity().embed(image))
    assert features[-1].dtype == torch.bfloat16
    exact = identity().features(image)[-1]
    assert torch.allclose(features[-1].float(), exact, atol=0.05 * float(exact.max()))


@torch.no_grad()
def test_a_converted_file_needs_no_dlib_and_keeps_the_person(tmp_path):
    path = tmp_path / "identity.safetensors"
    save_identity(identity().network, path)
    assert path.stat().st_size < 11.3e6
    image = as_image(astronaut()[0])
    restored = DlibIdentity.load(path)
    assert restored.network.head.weight.dtype == torch.float32
    assert float((restored.network(image) - identity().network(image)).abs().max()) < 2e-3
    save_identity(identity().network, path, torch.float32)
    assert torch.equal(DlibIdentity.load(path).network(image), identity().network(image))


def test_a_dat_file_cut_short_is_named(tmp_path):
    for length in (0, 100, 20_000, 22_400_000):
        path = tmp_path / "cut.dat"
        path.write_bytes(find_dlib_weights().read_bytes()[:length])
        with pytest.raises(CheckpointError, match=r"cut\.dat.*22,466,066"):
            load_dlib_resnet(path)


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_dlib_resnet(tmp_path / "absent.dat")
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"not a file of tensors")
    with pytest.raises(CheckpointError, match=r"other\.safetensors.*damaged"):
        load_dlib_resnet(path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="save_identity"):
        load_dlib_resnet(path)
    save_file({"a": torch.zeros(1)}, path, metadata={"format": dlib_resnet.FORMAT})
    with pytest.raises(CheckpointError, match="not dlib's"):
        load_dlib_resnet(path)


def test_weights_are_found_without_importing_their_package():
    code = (
        "import sys; from stylegan_swap.nn.recognisers.dlib_resnet import find_dlib_weights;"
        "assert find_dlib_weights().is_file(); assert 'face_recognition_models' not in sys.modules;"
        "assert 'dlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_without_the_package_the_remedy_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install face_recognition_models"):
        find_dlib_weights()


def test_other_chips_are_refused():
    with pytest.raises(ValueError, match="150"):
        DlibResNet()(torch.zeros(1, 3, 112, 112))


def test_statistics_standardise():
    statistics = embedding_statistics()
    mean, std = statistics.mean, statistics.std
    assert mean.shape == std.shape == (128,)
    assert float(std.min()) > 0.02 and float(std.max()) < 0.1
    assert torch.allclose(identity().standardise(mean + 2 * std), torch.full((128,), 2.0), atol=1e-4)
    with torch.no_grad():
        person = identity().standardise(identity().network(as_image(astronaut()[0])))
    assert 0.5 < float(person.square().mean()) < 2


@pytest.mark.faces
@torch.no_grad()
def test_statistics_are_those_of_many_people():
    folder = os.environ.get("STYLEGAN_SWAP_FACES")
    if not folder:
        pytest.skip("STYLEGAN_SWAP_FACES is not set: no photographs")
    landmarks = json.loads((Path(folder) / "landmarks68.json").read_text(encoding="utf-8"))
    files = sorted(f for f in landmarks if f.startswith("congress/"))[::20]
    crops = []
    for file in files:
        photo = np.asarray(Image.open(Path(folder) / file).convert("RGB"))
        crops.append(as_image(ffhq_alignment(np.array(landmarks[file]), 160).crop(photo)))
    people = identity().standardise(identity().embed(torch.cat(crops)))
    assert len(people) > 30
    assert float(people.mean(0).abs().mean()) < 0.25
    assert 0.8 < float(people.std(0).mean()) < 1.2


def test_similarity_and_distance():
    statistics = embedding_statistics()
    mean, std = statistics.mean, statistics.std
    a, b = mean + std, mean - std
    assert float(identity().similarity(a[None], a[None])) == pytest.approx(1)
    assert float(identity().similarity(a[None], b[None])) == pytest.approx(-1)
    assert float(identity().distance(a[None], b[None])) == pytest.approx(2 * float(std.norm()), rel=1e-5)


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


def test_arcface_refuses_unsafe_and_foreign_files(tmp_path, capsys):
    path = tmp_path / "model_ir_se50.pth"
    with pytest.raises(CheckpointError, match="no such file"):
        load_arcface(path)
    torch.save({"weight": Malicious()}, path)
    with pytest.raises(CheckpointError, match="refused"):
        load_arcface(path)
    assert "executed" not in capsys.readouterr().out
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="mapping"):
        load_arcface(path)
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="not IR-SE-50"):
        load_arcface(path)


@pytest.mark.slow
@torch.no_grad()
def test_arcface_loads_the_published_layout_also_without_counters(tmp_path):
    from inversion import IRSE50, crop_identity

    torch.manual_seed(0)
    network = IRSE50().eval()
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "model_ir_se50.pth")
    loaded = load_arcface(tmp_path / "model_ir_se50.pth")
    image = torch.rand(2, 3, 256, 256) * 2 - 1
    embedding = loaded.embed(image)
    assert torch.equal(embedding, network(crop_identity(image)))
    assert torch.allclose(embedding.norm(dim=1), torch.ones(2))
    assert torch.allclose(loaded.distance(embedding, -embedding), torch.full((2,), 2.0), atol=1e-5)


def test_glasses_are_put_on_and_taken_off():
    statistics, network = embedding_statistics(), identity()

    def reading(embedding: torch.Tensor) -> torch.Tensor:
        return embedding @ statistics.glasses_reader - statistics.glasses_bare

    people = (
        statistics.mean + torch.randn(6, 128, generator=torch.Generator().manual_seed(0)) * statistics.std
    )
    people = people - (reading(people) - torch.linspace(-0.4, 1.4, 6))[:, None] * statistics.glasses_shift
    bare = network.with_glasses(people, torch.zeros(6, dtype=torch.bool))
    worn = network.with_glasses(people, torch.ones(6, dtype=torch.bool))
    torch.testing.assert_close(reading(bare), torch.linspace(-0.4, 1.4, 6).clamp(max=0), atol=1e-4, rtol=0)
    torch.testing.assert_close(reading(worn), torch.linspace(-0.4, 1.4, 6).clamp(min=1), atol=1e-4, rtol=0)
    # What is not wanted otherwise stays as it was, and nobody becomes somebody else.
    assert torch.equal(bare[0], people[0]) and torch.equal(worn[-1], people[-1])
    assert (worn - bare).norm(dim=1).max() < 0.6


@torch.no_grad()
def test_glasses_are_read_on_real_faces(hopper, hopper_face, astronaut_face):
    statistics, network = embedding_statistics(), identity()

    def reading(photo: np.ndarray, landmarks: np.ndarray) -> float:
        embedding = network.embed(as_image(ffhq_alignment(landmarks, 256).crop(photo)))
        return float(embedding[0] @ statistics.glasses_reader - statistics.glasses_bare)

    worn, bare = (
        reading(hopper, hopper_face.landmarks),
        reading(skimage.data.astronaut(), astronaut_face.landmarks),
    )
    # Rimless glasses on the one, none on the other.
    assert worn > bare + 0.1, (worn, bare)
