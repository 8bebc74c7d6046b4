"""Training of RAFSwap: the region-aware encoder and the mask predictor before and behind a frozen generator.

Xu et al. 2022, "Region-Aware Face Swapping" (CVPR), and the published trainer class: the picture is composed
under the predicted mask first, then judged by identity 0.15, squared difference 1 where the answer is known,
LPIPS 0.8 and the codes' distance from the average 0.0005; a fifth of the pairs are of one person. Ours:
regions drawn from the 68 landmarks in place of parsing maps; the answer is known for reverse triplets, too;
without a published generator it learns along, with the term ``inversion`` on the image before it is composed,
and the term ``mask`` (0 in the paper) keeps the mask from shrinking to nothing meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_swap.faces.masks.regions import region_masks
from stylegan_swap.losses.latent_norm import w_norm
from stylegan_swap.losses.mask import mask_loss
from stylegan_swap.methods.rafswap.method import REGION_SIZE
from stylegan_swap.methods.rafswap.network import RAFSwapConfig, RAFSwapNetwork, RAFSwapOutput
from stylegan_swap.nn.resize import resize
from stylegan_swap.training.latent_stage import LatentOptions, LatentStage, encoder_input
from stylegan_swap.training.pair_stage import Batch, PairWeights, Swapped, real_photographs

# A predicted mask of exactly 0 or 1 would have an infinite logit.
LEAST_MASK = 1e-4


class Weights(PairWeights):
    """The paper's factors; ``inversion`` and ``mask`` are ours."""

    pixel: float = 1.0
    perceptual: float = 0.8
    identity: float = 0.15
    w_norm: float = 0.0005
    inversion: float = 1.0
    mask: float = 0.0


class Options(LatentOptions):
    """Options of RAFSwap's training.

    Attributes:
        weights: factors of the terms; ``inversion`` counts where the generator learns along.
        shares: no triplets and a fifth of one person, as published.
    """

    weights: Weights = Weights()
    shares: tuple[float, float, float] | None = (0.0, 0.2, 0.8)


@dataclass(frozen=True)
class RAFSwapSwap(Swapped):
    """A swap with its codes ``wplus`` ``[batch, L, D]``."""

    wplus: Tensor


class Stage(LatentStage[RAFSwapSwap]):
    """Training of :class:`RAFSwapNetwork`; arguments as in ``PairStage``."""

    options_class, config_class, network_class = Options, RAFSwapConfig, RAFSwapNetwork
    options: Options
    network: RAFSwapNetwork

    def swap(self, batch: Batch) -> RAFSwapSwap:
        """Swap the batch, composed at the predicted mask's side."""
        output = self._output(self.network, batch)
        side = output.mask.shape[-1]
        image, attribute = resize(output.image.float(), side), resize(batch["attribute"], side)
        composite = output.mask * image + (1 - output.mask) * attribute
        return RAFSwapSwap(image, output.mask, composite, output.wplus)

    def losses(self, batch: Batch, swapped: RAFSwapSwap) -> dict[str, Tensor]:
        """The paper's terms, and ours for a generator that learns along."""
        composite, side = swapped.composite, swapped.composite.shape[-1]
        answer, weights = resize(real_photographs(batch), side), self.options.weights
        terms = {
            "pixel": self.pixel(composite, answer) * batch["has_target"],
            "perceptual": self.look(composite, answer),
            "identity": self.likeness(composite, self.identity_embedding(batch)),
            "w_norm": w_norm(swapped.wplus, self.network.latent_avg),
        }
        if weights.mask:
            logits = torch.logit(swapped.mask.float(), LEAST_MASK)
            terms["mask"] = mask_loss(logits, resize(batch["mask"], side))
        if self.options.train_generator and weights.inversion:
            terms["inversion"] = self.pixel(swapped.image, answer) + 0.8 * self.look(swapped.image, answer)
        return terms

    def preview(self, network: nn.Module, batch: Batch) -> Swapped:
        """The predicted mask, a pixel wider and kept near the face, as the method composes."""
        output = self._output(cast(RAFSwapNetwork, network), batch)
        image = output.image.float()
        mask = resize(F.max_pool2d(output.mask.float(), 3, 1, 1), image.shape[-1]) * batch["reach"]
        return Swapped(image, mask, mask * image + (1 - mask) * batch["attribute"])

    def _output(self, network: RAFSwapNetwork, batch: Batch) -> RAFSwapOutput:
        size = batch["attribute"].shape[-1]
        identity_regions = _regions(batch["identity_landmarks"], size)
        attribute_regions = _regions(batch["attribute_landmarks"], size)
        identity = network.encoder.describe(encoder_input(batch["identity"]), identity_regions)
        wplus = network.codes(encoder_input(batch["attribute"]), attribute_regions, identity)
        output: RAFSwapOutput = network(wplus)
        return output


def _regions(landmarks: Tensor, size: int) -> Tensor:
    """Lips, nose, brows and eyes ``[batch, 4, 64, 64]`` of landmarks in pixels of ``size``."""
    masks = [region_masks(face, size, REGION_SIZE) for face in landmarks.cpu().numpy()]
    return torch.from_numpy(np.stack(masks)).to(landmarks.device)
