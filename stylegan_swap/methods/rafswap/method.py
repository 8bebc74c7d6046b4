"""RAFSwap as a method: region tokens of the identity in the attribute's features, and a predicted mask.

Between ``api`` (photographs) and ``models.rafswap`` (tensors). Source: Xu et al. 2022, "Region-Aware Face
Swapping", CVPR. Its weights carry no licence and are not part of this library.
"""

from __future__ import annotations

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
from stylegan_swap.methods.base.memory import outlasts_memory
from stylegan_swap.methods.base.network_method import INPUT_SIZE, PublishedMethod, one_per_face, resized
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.methods.rafswap.encoder import RegionIdentity
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork

REGION_SIZE = 64


class RAFSwapMethod(PublishedMethod[RAFSwapNetwork, RegionIdentity]):
    """RAFSwap behind the ``Method`` protocol.

    With ``parity`` the picture is composed at the predicted mask's 256 pixels, as the official script
    does; otherwise at the generator's own size, with the mask enlarged and kept to the face.
    A parser, where there is one, also draws the regions; otherwise the landmarks do.

    Args:
        model: the network.
        **options: see ``PublishedMethod``.
    """

    name = "rafswap"
    paper = "Xu et al., Region-Aware Face Swapping, CVPR 2022"
    fetch = (
        "fetch its checkpoint (iteration_200.pt in the official example) from github.com/xc-csc101/RAFSwap, "
        "or run `stylegan-swap download rafswap`; give the file as the method"
    )
    options = frozenset({"seed"})
    config_class = RAFSwapConfig
    network_class = RAFSwapNetwork

    def __init__(self, model: RAFSwapNetwork, **options: Any) -> None:
        super().__init__(model, **options)
        if self.parity:
            self.size = model.mask.size

    @outlasts_memory
    def prepare(self, x_id: Tensor, landmarks: Tensor | None = None) -> RegionIdentity:
        """See ``Method.prepare``."""
        return self._described(x_id, self._regions(x_id, landmarks))

    def combine(self, prepared: list[RegionIdentity]) -> RegionIdentity:
        """The mean of the tokens and of the whole faces' vectors."""
        tokens = torch.cat([person.tokens for person in prepared]).mean(0, keepdim=True)
        overall = torch.cat([person.overall for person in prepared]).mean(0, keepdim=True)
        return RegionIdentity(tokens, overall)

    @outlasts_memory
    def invert(self, x: Tensor) -> Latents:
        """Codes of aligned faces ``[batch, 3, s, s]``, RGB in [-1, 1], each with its own identity."""
        regions = self._regions(x, None)
        identity = self._described(x, regions)
        with torch.no_grad(), self._precision():
            wplus = self.model.codes(self._encoder_input(x), regions, identity).float()
        self._require(("the encoder", wplus))
        return Latents(wplus)

    @outlasts_memory
    def swap_aligned(
        self,
        prepared: RegionIdentity,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        *,
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
    ) -> AlignedSwap:
        """See ``Method.swap_aligned``; there is no dial, the codes come out mixed.

        Raises:
            ValueError: the number of people is neither 1 nor the batch size.
        """
        count = len(x_attr)
        one_per_face(len(prepared), count)
        x_attr = x_attr.detach()
        points = None
        if landmarks is not None or self.parser is None or not self.parity:
            points = torch.from_numpy(np.stack(points_of(x_attr, landmarks)))
        identity = RegionIdentity(
            prepared.tokens.to(self.device).expand(count, -1, -1),
            prepared.overall.to(self.device).expand(count, -1),
        )
        regions = self._regions(x_attr, points)
        with torch.no_grad(), self._precision():
            wplus = self.model.codes(self._encoder_input(x_attr), regions, identity)
            output = self.model(wplus, noise=self._noise(count, seed))
        self._require(("the encoder", wplus), ("the generator", output.image), ("the mask head", output.mask))
        image, mask = output.image.float(), F.max_pool2d(output.mask.float(), 3, 1, 1)
        if self.parity:
            image = F.adaptive_avg_pool2d(image, mask.shape[-1])
        else:
            mask = resized(mask, image.shape[-1], antialias=False)
            assert points is not None
            side = x_attr.shape[-1]
            reach = [torch.from_numpy(reach_mask(face, side)) for face in points.numpy()]
            mask = mask * resized(torch.stack(reach)[:, None].to(mask), mask.shape[-1], antialias=True)
        return AlignedSwap(image.clamp(-1, 1), mask, wplus.float())

    def _described(self, x: Tensor, regions: Tensor) -> RegionIdentity:
        with torch.no_grad(), self._precision():
            identity = self.model.encoder.describe(self._encoder_input(x), regions)
        self._require(("the encoder", identity.tokens), ("the encoder", identity.overall))
        return RegionIdentity(identity.tokens.float(), identity.overall.float())

    def _regions(self, x: Tensor, landmarks: Tensor | None) -> Tensor:
        """Lips, nose, brows and eyes, ``[batch, 4, 64, 64]``, 0 and 1."""
        if self.parser is None:
            faces = points_of(x, landmarks)
            drawn = [torch.from_numpy(region_masks(face, x.shape[-1], REGION_SIZE)) for face in faces]
            return torch.stack(drawn).to(self.device)
        labels = self.parser(x)
        masks = torch.cat([class_mask(labels, names, self.parser.order) for names in REGIONS.values()], 1)
        # In two steps, as the published data was made.
        return F.interpolate(F.interpolate(masks, (INPUT_SIZE, INPUT_SIZE)), (REGION_SIZE, REGION_SIZE)).to(
            self.device
        )
