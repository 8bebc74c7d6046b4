"""MegaFS as a method: hierarchical encoder, latent swap, soft-eroded blend.

Source: Zhu et al. 2021, "One Shot Face Swapping on Megapixels", CVPR. Its weights are CC BY-NC 4.0 and are
not part of this library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from inversion import Latents
from stylegan_swap.faces.masks.soft_erosion import KERNEL, soft_erosion
from stylegan_swap.methods.base.network_method import LatentMethod
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.methods.megafs.network import MegaFSConfig, MegaFSNetwork

# The side of the crop that the erosion's kernel was chosen at.
KERNEL_AT = 1024


class MegaFSMethod(LatentMethod[MegaFSNetwork, Tensor]):
    """MegaFS behind the ``Method`` protocol; people are their codes ``[n, L, D]``.

    With ``parity`` faces are shrunk without a filter, the image is stretched to the full range of
    each picture by itself (which shifts colours where one pixel lies far out), and the mask is softly eroded.
    Otherwise faces are shrunk with a filter, the image is clipped, and the mask is the hull with the
    library's soft edge, or the parser's, softly eroded. ``structure`` turns every row that MegaFS swaps,
    colours too.

    Args:
        network: the network.
        invert_twice: invert the pasted result once more and synthesise it with its own codes.
        **arguments: see ``NetworkMethod``.
    """

    name = "megafs"
    paper = "Zhu et al., One Shot Face Swapping on Megapixels, CVPR 2021"
    fetch = (
        ", which are not this library's to ship: fetch ftm_final.pth (or injection_final.pth, lcr_final.pth) "
        "and stylegan2-ffhq-config-f.pth from github.com/zyainfal/One-Shot-Face-Swapping-on-Megapixels (CC "
        "BY-NC 4.0), or run `stylegan-swap download megafs-ftm megafs-generator`; give their folder as the "
        "method"
    )
    config_class, network_class = MegaFSConfig, MegaFSNetwork

    def __init__(self, network: MegaFSNetwork, *, invert_twice: bool = False, **arguments: Any) -> None:
        super().__init__(network, **arguments)
        self.invert_twice = invert_twice

    def _prepare(self, x_id: Tensor, landmarks: Tensor | None) -> Tensor:
        return self._invert(x_id).wplus

    def _invert(self, x: Tensor) -> Latents:
        with self.precision():
            latents = self.network.encoder(self._encoder_input(x)).to(torch.float32)
        self._require_finite(("the encoder", latents.wplus), ("the encoder", latents.structure))
        return latents

    def _swap(
        self, person: Tensor, x_attr: Tensor, landmarks: Tensor | None, options: Mapping[str, Any]
    ) -> AlignedSwap:
        attribute = self._invert(x_attr)
        noise = self._noise(options["seed"])
        identity = person.to(self.device).expand_as(attribute.wplus)
        with self.precision():
            image, wplus = self.network(identity, attribute, strength=options["structure"], noise=noise)
        self._require_finite(("the swapper", wplus), ("the generator", image))
        image, mask = self._in_range(image), self._mask(x_attr, landmarks)
        if self.invert_twice:
            pasted = image * mask + x_attr.to(image) * (1 - mask)
            with self.precision():
                image = self._in_range(self.network.synthesise(self._invert(pasted), noise=noise))
        return AlignedSwap(image, mask, wplus.float())

    def _in_range(self, image: Tensor) -> Tensor:
        return stretched(image.float()) if self.parity else image.float().clamp(-1, 1)

    def _mask(self, x_attr: Tensor, landmarks: Tensor | None) -> Tensor:
        if self.parser is None and not self.parity:
            return self._soft_mask(x_attr, landmarks)
        # Odd, and exactly the published kernel at the published side.
        kernel = max(3, 2 * round((KERNEL - 1) / 2 * x_attr.shape[-1] / KERNEL_AT) + 1)
        return soft_erosion(self._hard_mask(x_attr, landmarks), kernel)[0]


def stretched(image: Tensor) -> Tensor:
    """Each image to the full range [-1, 1] by its own least and largest value, as MegaFS's script does."""
    low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
    return 2 * (image - low) / (high - low).clamp(min=torch.finfo(image.dtype).tiny) - 1
