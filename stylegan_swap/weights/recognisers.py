"""Recognisers of faces by name, for losses, training and measures."""

from __future__ import annotations

from pathlib import Path

from stylegan_swap.errors import CheckpointError
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.recognisers.protocol import IdentityNetwork
from stylegan_swap.weights.backbones import load_arcface

NAMES = ("dlib", "arcface-irse50")


def recogniser(name: str = "dlib", file: str | Path | None = None) -> IdentityNetwork:
    """Load a recogniser by name, frozen.

    Args:
        name: one of ``NAMES``.
        file: its weights; None takes dlib's from its package. ArcFace's file (``model_ir_se50.pth``) is not
            free of conditions, does not come with the library and must be given.

    Raises:
        ValueError: there is no such recogniser.
        CheckpointError: the file is missing, damaged, or of another network.
        MissingDependencyError: dlib's weights are not installed.
    """
    if name not in NAMES:
        raise ValueError(f"There is no recogniser {name!r}; choose one of {', '.join(NAMES)}.")
    if name == "dlib":
        return DlibIdentity.load(file) if file else DlibIdentity()
    if file is None:
        raise CheckpointError(f"{name}: needs its weights; give the file model_ir_se50.pth")
    return load_arcface(file)
