"""ArcFace with the IR-SE50 backbone as a recogniser of aligned faces."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from inversion.irse import IRSE50, crop_identity
from stylegan_swap.errors import CheckpointError


class ArcFaceIdentity(nn.Module):
    """ArcFace IR-SE-50 on aligned images, for parity with pSp, e4e and their descendants.

    The file ``model_ir_se50.pth`` is not free of conditions and does not come with the library.

    Args:
        network: the recogniser with its weights.
    """

    embedding_dim = 512

    def __init__(self, network: IRSE50) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: str | Path) -> ArcFaceIdentity:
        """Load ``model_ir_se50.pth`` (tensors only, nothing in it is executed) or a safetensors file.

        Raises:
            CheckpointError: if the file is missing, unsafe, or not IR-SE-50.
        """
        state = _read_state(Path(path))
        # Building draws random weights, which the stored ones replace: the caller's draws stay theirs.
        with torch.random.fork_rng(devices=[]):
            network = IRSE50()
        try:
            network.load_published(state)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from error
        return cls(network)

    def embed(self, x: Tensor) -> Tensor:
        """Return unit embeddings ``[batch, 512]`` of FFHQ-aligned images ``[batch, 3, S, S]`` in [-1, 1]."""
        return self.network(crop_identity(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return :meth:`embed`."""
        return self.embed(x)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return 1 − cosine ``[batch]``, 0..2."""
        return 1 - F.cosine_similarity(a, b, dim=-1)


def _read_state(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; expected model_ir_se50.pth.")
    try:
        if path.suffix == ".safetensors":
            return load_file(str(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as a file of tensors: {error}") from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: expected a mapping of names to tensors, as in model_ir_se50.pth.")
    return state
