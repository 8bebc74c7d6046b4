"""LPIPS, the perceptual distance of papers, with its backbone from a file that the user has put there.

Beside the road: projection, training and ``metrics.perceptual`` ask for it, and do without where the file is
missing. The backbones were trained on ImageNet and come with its conditions, so the library neither ships nor
downloads them.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from stylegan_swap.errors import CheckpointError, MissingDependencyError

# The names under which torchvision publishes the files.
LPIPS_FILES = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}


def backbone_file(name: str, folder: str | Path | None = None) -> Path:
    """Find a weight file that the user has put there.

    Args:
        name: of the file.
        folder: where to look; None is torch's own ``hub/checkpoints``.

    Raises:
        MissingDependencyError: it is not there; says what to put where.
    """
    place = Path(torch.hub.get_dir()) / "checkpoints" if folder is None else Path(folder)
    file = place / name
    if not file.is_file():
        raise MissingDependencyError(
            f"{name} is not in {place}: it is never downloaded; put it there, or do without this measure "
            "(two_sample and kid_dlib need no foreign weights)"
        )
    return file


def lpips_network(net: str = "alex", folder: str | Path | None = None) -> nn.Module:
    """LPIPS of Zhang et al. (CVPR 2018), version 0.1, with its backbone from a local file.

    Args:
        net: ``"alex"`` (for evaluation, as the authors advise) or ``"vgg"``.
        folder: see ``backbone_file``.

    Returns:
        A module of two image batches ``[batch, 3, H, W]``, RGB in [-1, 1], to distances ``[batch, 1, 1, 1]``.

    Raises:
        ValueError: there is no such backbone.
        MissingDependencyError: the file is not there.
        CheckpointError: the file is damaged or of another network.
    """
    if net not in LPIPS_FILES:
        raise ValueError(f"LPIPS has no backbone {net!r} here: choose {' or '.join(LPIPS_FILES)}")
    file = backbone_file(LPIPS_FILES[net], folder)
    import lpips

    with warnings.catch_warnings():
        # lpips still asks torchvision for a network in the words of an older version.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        _load_backbone(network.net, state)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file}: not the weights of LPIPS's {net} backbone: {error}") from error
    return network.eval().requires_grad_(False)


def _load_backbone(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put torchvision's ``features.N.weight`` where LPIPS keeps layer N, ``sliceK.N.weight``."""
    wanted = {name: f"features.{name.split('.', 1)[1]}" for name in network.state_dict()}
    network.load_state_dict({name: state[source] for name, source in wanted.items()})
