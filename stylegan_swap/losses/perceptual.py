"""Perceptual term: two images look alike to a network that was not trained for this.

Training of encoders uses this. LPIPS where the user has put its backbone, dlib's features
(``features``) everywhere else: nothing is ever downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from stylegan_swap.errors import MissingDependencyError
from stylegan_swap.losses.features import feature_loss
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.weights.backbones import lpips_network

# dlib's maps of 35, 17 and 8 pixels; that of 4 pixels is mostly about who it is.
_LEVELS = 3


class PerceptualLoss(nn.Module):
    """Distance of two batches of aligned faces, ``[batch]``, 0 for equal ones.

    Its network is frozen, follows the module to devices, and is no part of the state dict.

    Args:
        identity: dlib's recogniser, used where LPIPS cannot be; None loads it when needed.
        kind: ``"auto"`` for LPIPS (AlexNet) where its file is and dlib's features elsewhere, or
            ``"lpips"`` or ``"dlib"`` for the one and no other.
        folder: where the LPIPS backbone lies; None is torch's own ``hub/checkpoints``.

    Attributes:
        kind: ``"lpips"`` or ``"dlib"``: which of the two it is. They differ by a factor and a weight
            for one is not a weight for the other; log this beside the number.

    Raises:
        ValueError: there is no such kind.
        MissingDependencyError: the network asked for is not there.
        CheckpointError: the file of the backbone is damaged.
    """

    network: nn.Module

    def __init__(
        self, identity: DlibIdentity | None = None, kind: str = "auto", folder: str | Path | None = None
    ) -> None:
        super().__init__()
        if kind not in ("auto", "lpips", "dlib"):
            raise ValueError(f"PerceptualLoss: kind must be 'auto', 'lpips' or 'dlib', got {kind!r}.")
        network: nn.Module | None = None
        if kind != "dlib":
            try:
                # Building draws random weights, which the stored ones replace.
                with torch.random.fork_rng(devices=[]):
                    network = lpips_network("alex", folder)
            except MissingDependencyError:
                if kind == "lpips":
                    raise
        self.kind = "dlib" if network is None else "lpips"
        if network is None:
            network = DlibIdentity() if identity is None else identity
        # Past nn.Module's own __setattr__ it is no submodule: neither state dict nor optimiser sees it.
        object.__setattr__(self, "network", network)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PerceptualLoss:
        self.network._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Compare results with photographs.

        Args:
            image: ``[batch, 3, S, S]``, RGB around [-1, 1], aligned.
            target: like ``image``; it gets no gradient.

        Raises:
            ValueError: the shapes differ.
        """
        if image.shape != target.shape:
            raise ValueError(
                f"PerceptualLoss compares equal shapes, got {list(image.shape)} and {list(target.shape)}."
            )
        network = self.network
        if isinstance(network, DlibIdentity):
            with torch.no_grad():
                target_features = network.features(target)
            return feature_loss(network.features(image)[:_LEVELS], target_features[:_LEVELS])
        return network(image, target.detach()).flatten(1).mean(1)
