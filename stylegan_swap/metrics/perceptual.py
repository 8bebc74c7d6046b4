"""LPIPS, FID and KID as papers report them, where the backbones' weight files are present.

The backbones were trained on ImageNet and come with its conditions, so the library neither ships nor
downloads them; ``kid`` and ``two_sample`` do without. Definitions: ``docs/evaluation/realism.md``.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from stylegan_swap.errors import MissingDependencyError
from stylegan_swap.weights.backbones import backbone_file
from stylegan_swap.weights.readers.torch_file import read_tensors

# The name under which torch-fidelity publishes the file.
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"


@torch.inference_mode()
def lpips_distance(a: Tensor, b: Tensor, network: nn.Module) -> Tensor:
    """LPIPS of pairs of images, ``[batch]``; 0 = the same.

    Args:
        a: ``[batch, 3, H, W]``, RGB in [-1, 1].
        b: as ``a``.
        network: from ``lpips_network``.

    Raises:
        ValueError: the batches differ in shape.
    """
    if a.shape != b.shape:
        raise ValueError(f"LPIPS compares equal shapes, got {tuple(a.shape)} and {tuple(b.shape)}")
    return network(a, b).reshape(-1)


def inception(folder: str | Path | None = None) -> nn.Module:
    """The Inception network of FID (the TensorFlow weights of 2015, 2048 features, as torch-fidelity has it).

    Raises:
        MissingDependencyError: torch-fidelity is not installed or the file is not there.
        CheckpointError: the file is damaged or holds more than tensors.
    """
    file = backbone_file(INCEPTION_FILE, folder)
    if importlib.util.find_spec("torch_fidelity") is None:
        raise MissingDependencyError(
            "FID and KID need the package torch-fidelity: pip install torch-fidelity"
        )
    from torchmetrics.image.fid import NoTrainInceptionV3

    # torch-fidelity opens the file itself, once it is known to hold tensors and nothing else.
    read_tensors(file)
    return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(file))


def fid(swaps: Iterable[Tensor], photos: Iterable[Tensor], network: nn.Module) -> float:
    """Fréchet distance of Gaussians fitted to features: Heusel et al. (NeurIPS 2017).

    |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½). Biased: it falls with the number of images, so compare values of
    equal size, 10,000 each in papers. Arithmetic: torchmetrics.

    Args:
        swaps: uint8 batches ``[batch, 3, H, W]``, RGB.
        photos: as ``swaps``.
        network: from ``inception``, or any module of such batches to features ``[batch, d]``.

    Raises:
        RuntimeError: fewer than two images of either kind.
    """
    metric = FrechetInceptionDistance(feature=network)
    metric.set_dtype(torch.float64)
    _fill(metric, swaps, photos)
    return float(metric.compute())


def kid(
    swaps: Iterable[Tensor],
    photos: Iterable[Tensor],
    network: nn.Module,
    *,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Kernel distance of Binkowski et al. (ICLR 2018): mean and deviation over 100 subsets.

    Args:
        swaps: uint8 batches ``[batch, 3, H, W]``, RGB.
        photos: as ``swaps``.
        network: see ``fid``.
        subset_size: faces per subset.
        seed: of the subsets.

    Raises:
        ValueError: there are fewer images than ``subset_size``.
    """
    with warnings.catch_warnings():
        # The warning: all features are held in memory, 80 MB for 10,000 images.
        warnings.filterwarnings("ignore", message=".*large memory footprint.*")
        metric = KernelInceptionDistance(feature=network, subset_size=subset_size)
    _fill(metric, swaps, photos)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def _fill(
    metric: FrechetInceptionDistance | KernelInceptionDistance,
    swaps: Iterable[Tensor],
    photos: Iterable[Tensor],
) -> None:
    with torch.inference_mode():
        for batch in swaps:
            metric.update(batch, real=False)
        for batch in photos:
            metric.update(batch, real=True)
