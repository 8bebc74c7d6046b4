"""ArcFace with the IR-SE50 backbone as a recogniser of aligned faces."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from inversion.irse import IRSE50, crop_identity


class ArcFaceIdentity(nn.Module):
    """ArcFace IR-SE-50 on aligned images, for parity with pSp, e4e and their descendants.

    The file ``model_ir_se50.pth`` is not free of conditions and does not come with the library;
    ``weights.backbones.load_arcface`` reads it.

    Args:
        network: the recogniser with its weights.
    """

    embedding_dim = 512

    def __init__(self, network: IRSE50) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def embed(self, x: Tensor) -> Tensor:
        """Return unit embeddings ``[batch, 512]`` of FFHQ-aligned images ``[batch, 3, S, S]`` in [-1, 1]."""
        return self.network(crop_identity(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return :meth:`embed`."""
        return self.embed(x)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return 1 − cosine ``[batch]``, 0..2."""
        return 1 - self.similarity(a, b)

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the cosine ``[batch]``; the mean person lies near 0 here."""
        return F.cosine_similarity(a, b, dim=-1)
