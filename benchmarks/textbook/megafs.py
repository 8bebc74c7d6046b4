"""A network of MegaFS's shape by the textbook: HieRFE channels first, cells, textbook generator."""

from __future__ import annotations

import copy

from torch import Tensor

from inversion import Latents
from stylegan_swap.methods.megafs.network import MegaFSNetwork
from textbook.generator import TextbookGenerator


class TextbookMegaFS:
    """Attribute photo and identity codes → image, as the published script does it.

    Args:
        network: whose weights to use; its encoder is copied, since ours is laid out anew.
    """

    def __init__(self, network: MegaFSNetwork) -> None:
        self.encoder = copy.deepcopy(network.encoder)
        for parameter in self.encoder.parameters():
            parameter.data = parameter.data.contiguous()
        self.swapper = network.swapper
        self.generator = TextbookGenerator(network.generator)

    def __call__(self, identity: Tensor, photo: Tensor) -> Tensor:
        """Codes ``[batch, L, D]`` and photos ``[batch, 3, 256, 256]`` → ``[batch, 3, S, S]``."""
        latents: Latents = self.encoder(photo)
        return self.generator(self.swapper(identity, latents.wplus), latents.structure)
