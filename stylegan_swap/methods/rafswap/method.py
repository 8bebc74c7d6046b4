"""RAFSwap as a method: region tokens of the identity in the attribute's features, and a predicted mask.

Source: Xu et al. 2022, "Region-Aware Face Swapping", CVPR. Its weights carry no licence and are not part of
this library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion import Latents
from stylegan_swap.faces.masks.mask import reach_mask
from stylegan_swap.faces.masks.parsing import REGIONS, class_mask
from stylegan_swap.faces.masks.regions import region_masks
from stylegan_swap.faces.tensors import points_of
from stylegan_swap.methods.base.network_method import INPUT_SIZE, LatentMethod, stacked_masks
from stylegan_swap.methods.base.options import SEED
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.methods.rafswap.encoder import RegionIdentity
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork
from stylegan_swap.nn.resize import resize

REGION_SIZE = 64


class RAFSwapMethod(LatentMethod[RAFSwapNetwork, RegionIdentity]):
    """RAFSwap behind the ``Method`` protocol; its codes come out mixed, so there is no dial.

    With ``parity`` the picture is composed at the predicted mask's 256 pixels, as the official script
    does; otherwise at the generator's own size, with the mask enlarged and kept to the face.
    A parser, where there is one, also draws the regions; otherwise the landmarks do.
    """

    name = "rafswap"
    paper = "Xu et al., Region-Aware Face Swapping, CVPR 2022"
    fetch = (
        ", which are not this library's to ship: fetch its checkpoint (iteration_200.pt in the official "
        "example) from github.com/xc-csc101/RAFSwap, or run `stylegan-swap download rafswap`; give the file "
        "as the method"
    )
    options = (SEED,)
    config_class, network_class = RAFSwapConfig, RAFSwapNetwork

    def __init__(self, network: RAFSwapNetwork, **arguments: Any) -> None:
        super().__init__(network, **arguments)
        if self.parity:
            self.size = network.mask.size

    def _prepare(self, x_id: Tensor, landmarks: Tensor | None) -> RegionIdentity:
        return self._described(x_id, self._regions(x_id, landmarks))

    def _invert(self, x: Tensor) -> Latents:
        # A face's own codes: those of a swap with its own identity.
        regions = self._regions(x, None)
        identity = self._described(x, regions)
        with self.precision():
            wplus = self.network.codes(self._encoder_input(x), regions, identity).float()
        self._require_finite(("the encoder", wplus))
        return Latents(wplus)

    def _swap(
        self, person: RegionIdentity, x_attr: Tensor, landmarks: Tensor | None, options: Mapping[str, Any]
    ) -> AlignedSwap:
        count = len(x_attr)
        points = None
        if landmarks is not None or self.parser is None or not self.parity:
            points = torch.from_numpy(np.stack(points_of(x_attr, landmarks)))
        # Codes of the attribute face with the identity's tokens in them, and the picture they draw.
        identity = RegionIdentity(
            person.tokens.to(self.device).expand(count, -1, -1),
            person.overall.to(self.device).expand(count, -1),
        )
        regions = self._regions(x_attr, points)
        with self.precision():
            wplus = self.network.codes(self._encoder_input(x_attr), regions, identity)
            output = self.network(wplus, noise=self._noise(options["seed"]))
        self._require_finite(
            ("the encoder", wplus), ("the generator", output.image), ("the mask head", output.mask)
        )
        # Compose at the mask's side, or enlarge the mask and keep it near the face.
        image, mask = output.image.float(), F.max_pool2d(output.mask.float(), 3, 1, 1)
        if self.parity:
            image = F.adaptive_avg_pool2d(image, mask.shape[-1])
        else:
            assert points is not None
            mask = resize(mask, image.shape[-1], antialias=False)
            reach = stacked_masks([reach_mask(face, x_attr.shape[-1]) for face in points.numpy()])
            mask = mask * resize(reach.to(mask), mask.shape[-1], antialias=True)
        return AlignedSwap(image.clamp(-1, 1), mask, wplus.float())

    def _described(self, x: Tensor, regions: Tensor) -> RegionIdentity:
        with self.precision():
            identity = self.network.encoder.describe(self._encoder_input(x), regions)
        self._require_finite(("the encoder", identity.tokens), ("the encoder", identity.overall))
        return RegionIdentity(identity.tokens.float(), identity.overall.float())

    def _regions(self, x: Tensor, landmarks: Tensor | None) -> Tensor:
        """Lips, nose, brows and eyes, ``[batch, 4, 64, 64]``, 0 and 1."""
        if self.parser is None:
            faces = points_of(x, landmarks)
            regions = [torch.from_numpy(region_masks(face, x.shape[-1], REGION_SIZE)) for face in faces]
            return torch.stack(regions).to(self.device)
        labels = self.parser(x)
        masks = torch.cat([class_mask(labels, names, self.parser.order) for names in REGIONS.values()], 1)
        # In two steps, as the published data was made.
        coarse = F.interpolate(F.interpolate(masks, (INPUT_SIZE, INPUT_SIZE)), (REGION_SIZE, REGION_SIZE))
        return coarse.to(self.device)
