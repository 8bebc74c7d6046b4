"""Networks of others from files that the user has put there: LPIPS with its backbone, and ArcFace IR-SE50.

The backbones of LPIPS were trained on ImageNet and come with its conditions, as ``model_ir_se50.pth`` has its
own, so the library neither ships nor downloads them; what asks for them does without where they are missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from inversion.irse import IRSE50
from stylegan_swap.errors import CheckpointError, MissingDependencyError
from stylegan_swap.nn.recognisers.arcface_irse import ArcFaceIdentity
from stylegan_swap.weights.readers.torch_file import read_tensors

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
    directory = Path(torch.hub.get_dir()) / "checkpoints" if folder is None else Path(folder)
    file = directory / name
    if not file.is_file():
        raise MissingDependencyError(
            f"{name} is not in {directory}: it is never downloaded; put it there, or do without this measure "
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
    state = read_tensors(file)
    try:
        _load_backbone(network.net, state)
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(f"{file}: not the weights of LPIPS's {net} backbone: {error}") from error
    return network.eval().requires_grad_(False)


def _load_backbone(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put torchvision's ``features.N.weight`` where LPIPS keeps layer N, ``sliceK.N.weight``."""
    sources = {name: f"features.{name.split('.', 1)[1]}" for name in network.state_dict()}
    network.load_state_dict({name: state[source] for name, source in sources.items()})


def load_arcface(path: str | Path) -> ArcFaceIdentity:
    """Load ``model_ir_se50.pth``, or a safetensors file of it.

    Raises:
        CheckpointError: the file is missing, unsafe, or not IR-SE-50.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: there is no such file; give model_ir_se50.pth")
    state = read_tensors(Path(path))
    # Building draws random weights, which the stored ones replace: the caller's draws stay theirs.
    with torch.random.fork_rng(devices=[]):
        network = IRSE50()
    try:
        network.load_published(state)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return ArcFaceIdentity(network)
