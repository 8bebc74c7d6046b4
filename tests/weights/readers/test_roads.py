"""Every road that opens somebody's file refuses one with a program in it, and runs nothing of it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_swap.editing.published import load_directions
from stylegan_swap.errors import StyleganSwapError
from stylegan_swap.methods.base.published_files.detect import convert_file
from stylegan_swap.methods.base.published_files.open import open_weights
from stylegan_swap.metrics.identity import ArcFaceRecogniser
from stylegan_swap.metrics.perceptual import INCEPTION_FILE, inception
from stylegan_swap.nn.recognisers.dlib_resnet import load_dlib_resnet
from stylegan_swap.training.loop.checkpoint import load_checkpoint
from stylegan_swap.training.start_weights import read_start
from stylegan_swap.weights.backbones import LPIPS_FILES, lpips_network
from stylegan_swap.weights.landmark_net import load_landmark_net
from stylegan_swap.weights.store import load_weights


class Program:
    """Creates a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


# Road → the name its file must have, and what opens it.
ROADS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "train --start": ("start.pt", read_start),
    "train --start of a pickle": ("start.pkl", read_start),
    "train --resume": ("last.ckpt", lambda file: load_checkpoint(torch.nn.Module(), file, "swap")),  # type: ignore[arg-type]
    "evaluate --arcface": ("model_ir_se50.pth", ArcFaceRecogniser.load),
    "LPIPS": (LPIPS_FILES["alex"], lambda file: lpips_network("alex", file.parent)),
    "FID": (INCEPTION_FILE, lambda file: inception(file.parent)),
    "weights": ("net.pt", load_weights),
    "landmarks": ("net.pth", load_landmark_net),
    "convert": ("net.pth", convert_file),
    "methods": ("net.pt", open_weights),
    "directions": ("age.pt", load_directions),
    "directions of NumPy": ("age.npy", load_directions),
    "dlib": ("dlib.dat", load_dlib_resnet),
}


def write(file: Path, program: Program, layout: str) -> None:
    """Write the program as the field's files hold their values."""
    if layout == "numpy":
        with file.open("wb") as stream:
            np.save(stream, np.array([program], object), allow_pickle=True)
    elif layout == "pickle":
        file.write_bytes(pickle.dumps(program))
    else:
        content = {"state_dict": {"w": program}, "config": {}, "g_ema": program}
        torch.save(content, file, _use_new_zipfile_serialization=layout == "zip")


@pytest.mark.parametrize("road", sorted(ROADS))
def test_a_program_is_refused_and_not_run(road: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    if road == "FID":
        # The file is read before the package that may be missing here.
        monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    name, read = ROADS[road]
    file, program = tmp_path / name, Program(tmp_path / "canary")
    for layout in ("zip", "older", "pickle", "numpy"):
        write(file, program, layout)
        with pytest.raises(StyleganSwapError) as caught:
            read(file)
        assert str(file) in str(caught.value), layout
        assert not program.canary.exists(), layout


def test_the_program_would_run_elsewhere(tmp_path: Path):
    pickle.loads(pickle.dumps(Program(tmp_path / "canary")))  # noqa: S301
    assert (tmp_path / "canary").exists()
