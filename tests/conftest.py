"""Fixtures every test may use: two public photographs, their faces, tiny weights, and no network."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from matplotlib import cbook
from PIL import Image
from skimage import data

from stylegan_swap.faces.detection.detect import Face, detect_faces, largest_face
from stylegan_swap.methods.default.network import NetworkConfig, SwapNetwork
from stylegan_swap.weights import store as weights
from stylegan_swap.weights.store import save_weights

# Fixtures of one room that tests of several rooms use.
pytest_plugins = ["tests.metrics.fixtures", "tests.training.fixtures"]

# The notice of a first use has tests of its own; elsewhere it would be written into the user's cache.
os.environ["STYLEGAN_SWAP_QUIET"] = "1"

FACES_ENVIRONMENT = "STYLEGAN_SWAP_FACES"
_LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """No test talks to another machine; what tries to fails with the address in the message."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, _only_loopback(getattr(socket.socket, name)))
    yield
    patch.undo()


def _only_loopback(connect):
    def guarded(self, address, *rest):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(_LOOPBACK):
            raise AssertionError(f"a test tried to connect to {address}")
        return connect(self, address, *rest)

    return guarded


def _frozen(pixels: np.ndarray) -> np.ndarray:
    """Shared by the whole session, so nobody may write into it."""
    pixels = np.ascontiguousarray(pixels)
    pixels.setflags(write=False)
    return pixels


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """Eileen Collins, uint8 RGB [512, 512, 3]: face of about 100 px, smiling with teeth, no glasses."""
    return _frozen(data.astronaut())


@pytest.fixture(scope="session")
def hopper() -> np.ndarray:
    """Grace Hopper, uint8 RGB [600, 512, 3]: face of about 200 px, mouth closed, glasses."""
    with Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        return _frozen(np.array(image.convert("RGB")))


@pytest.fixture(scope="session")
def astronaut_path(astronaut, tmp_path_factory) -> Path:
    return _saved(astronaut, tmp_path_factory, "astronaut.png")


@pytest.fixture(scope="session")
def hopper_path(hopper, tmp_path_factory) -> Path:
    return _saved(hopper, tmp_path_factory, "hopper.png")


def _saved(pixels: np.ndarray, tmp_path_factory, name: str) -> Path:
    path = tmp_path_factory.mktemp("photos") / name
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def astronaut_face(astronaut) -> Face:
    return largest_face(detect_faces(astronaut))


@pytest.fixture(scope="session")
def hopper_face(hopper) -> Face:
    return largest_face(detect_faces(hopper))


@pytest.fixture(scope="session")
def two_faces(astronaut, hopper) -> np.ndarray:
    """Astronaut left (face 0), Hopper right (face 1, the larger), uint8 RGB [600, 1024, 3]."""
    below = hopper.shape[0] - astronaut.shape[0]
    return _frozen(np.hstack([np.pad(astronaut, ((0, below), (0, 0), (0, 0)), mode="edge"), hopper]))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """Folder with random weights of the 64-pixel network, noise and seed included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = NetworkConfig.preset("tiny")
        network = SwapNetwork(config)
        # Noise weights start at zero; a trained network has others.
        for name, parameter in network.generator.named_parameters():
            if name.endswith("noise.weight"):
                torch.nn.init.constant_(parameter, 0.1)
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    save_weights(folder, network.state_dict(), config.to_dict(), dtype="float32")
    return folder


@pytest.fixture
def without_default_weights(monkeypatch, tmp_path) -> Path:
    """An installation from which somebody deleted the default weights: the folder the library looks into."""
    folder = tmp_path / "checkpoints"
    default = Path("default", weights.MODEL_FILE)
    original = weights.shipped_folder()
    for file in ("registry.toml", *(path.relative_to(original) for path in original.glob("*/*.*"))):
        if file != default:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(original / file, folder / file)
    monkeypatch.setattr(weights, "shipped_folder", lambda: folder)
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder by name that the first of the run's processes fills; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each process a folder of its own, side by side.
    common = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def shared(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = common / f"shared-{name}", common / f"shared-{name}.done"
        with FileLock(common / f"shared-{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return shared


@pytest.fixture(scope="session")
def faces_folder() -> Path:
    """The licensed photographs, for tests marked ``faces``."""
    folder = os.environ.get(FACES_ENVIRONMENT)
    if not folder or not Path(folder, "manifest.csv").is_file():
        pytest.skip(f"{FACES_ENVIRONMENT} names no folder of licensed photographs")
    return Path(folder)
