"""Training of MegaFS: first the encoder as an inversion, then the swapper between frozen networks.

Zhu et al. 2021, "One Shot Face Swapping on Megapixels" (CVPR), has both stages one after the other, here
``options.inversion_kimg`` says when the second begins. The authors published no code for it; the objectives
are those of the paper. Ours: the heat maps of eyes and mouth (98-point HRNet, its last 38 channels) become
the points of LandmarkNet's eyes and mouth; the factors, since the printed ones are tied to these maps; the
answer of a reverse triplet is the real photograph, of a cross pair the attribute photo as in the paper; LPIPS
and the generator as ``training.latent_stage`` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn

from inversion.latents import Latents
from stylegan_swap.losses.landmarks import inner_landmark_loss
from stylegan_swap.methods.megafs.network import MegaFSConfig, MegaFSNetwork
from stylegan_swap.training.latent_stage import LatentOptions, LatentStage, encoder_input
from stylegan_swap.training.pair_stage import Batch, PairWeights, Swapped, real_photographs

# The swap that replaces rows of codes has nothing to learn.
PARAMETERLESS = "lcr"


class InversionWeights(PairWeights):
    """Factors of the first stage: reconstruction, perceptual, identity, eyes and mouth."""

    pixel: float = 1.0
    perceptual: float = 0.8
    identity: float = 1.0
    landmarks: float = 0.1


class SwapWeights(PairWeights):
    """Factors of the second stage: the same four, and ``norm``, which keeps codes near the identity's."""

    pixel: float = 8.0
    perceptual: float = 4.0
    identity: float = 8.0
    landmarks: float = 0.5
    norm: float = 0.1


class Options(LatentOptions):
    """Options of MegaFS's training.

    Attributes:
        weights: factors of the second stage.
        inversion_weights: factors of the first.
        inversion_kimg: thousands of images of the first stage; 0 begins with the second, from an encoder in
            ``start``.
    """

    weights: SwapWeights = SwapWeights()
    inversion_weights: InversionWeights = InversionWeights()
    inversion_kimg: float = Field(200.0, ge=0)


@dataclass(frozen=True)
class MegaFSSwap(Swapped):
    """A swap with its codes; in the first stage the image is the photograph's reconstruction.

    Attributes:
        identity: codes of the identity photo ``[batch, L, D]``, of the photo itself in the first stage.
        wplus: codes of the image, alike.
    """

    identity: Tensor
    wplus: Tensor


class Stage(LatentStage[MegaFSSwap]):
    """Training of :class:`MegaFSNetwork`; arguments as in ``PairStage``."""

    options_class, config_class, network_class = Options, MegaFSConfig, MegaFSNetwork
    options: Options
    network: MegaFSNetwork

    @property
    def inverting(self) -> bool:
        """Whether the first stage is running."""
        return self.kimg < self.options.inversion_kimg or self.network.config.swap == PARAMETERLESS

    def optimizers_by_name(self) -> dict[str, torch.optim.Optimizer]:
        """One Adam per stage, and the discriminator's where there is one."""
        optimisers = super().optimizers_by_name()
        del optimisers["network"]
        optimisers["encoder"] = self.adam_for(self.network.encoder, self.network.generator)
        if self.network.config.swap != PARAMETERLESS:
            optimisers["swapper"] = self.adam_for(self.network.swapper)
        return optimisers

    def trained_now(self) -> str:
        """The encoder, with the generator where it learns along, then the swapper alone."""
        return "encoder" if self.inverting else "swapper"

    @property
    def factors(self) -> PairWeights:
        """The first stage has factors of its own."""
        return self.options.inversion_weights if self.inverting else self.options.weights

    def swap(self, batch: Batch) -> MegaFSSwap:
        """Reconstruct the photographs, or, in the second stage, swap."""
        network, attribute = self.network, batch["attribute"]
        # A frozen encoder keeps the statistics of its batch norms, too.
        network.encoder.train(self.inverting)
        if self.inverting:
            latents = network.encoder(encoder_input(real_photographs(batch)))
            image = network.synthesise(latents).float()
            everywhere = torch.ones_like(image[:, :1])
            return MegaFSSwap(image, everywhere, image, latents.wplus, latents.wplus)
        with torch.no_grad():
            identity = network.encoder(encoder_input(batch["identity"])).wplus
            latents = network.encoder(encoder_input(attribute))
        image, wplus = network(identity, latents)
        image, face = image.float(), batch["mask"]
        return MegaFSSwap(image, face, face * image + (1 - face) * attribute, identity, wplus)

    def losses(self, batch: Batch, swapped: MegaFSSwap) -> dict[str, Tensor]:
        """The four terms of the stage, and the second's norm."""
        image, answer = swapped.image, real_photographs(batch)
        person = self.embedding(answer) if self.inverting else self.identity_embedding(batch)
        with torch.no_grad():
            points = self.landmark_points(answer)
        terms = {
            "pixel": self.pixel(image, answer),
            "perceptual": self.look(image, answer),
            "identity": self.likeness(image, person),
            "landmarks": inner_landmark_loss(self.landmark_points(image), points),
        }
        if not self.inverting:
            rows = self.network.swapper.fused_rows
            offset = swapped.identity[:, rows] - swapped.wplus[:, rows]
            terms["norm"] = offset.square().sum(2).add(1e-10).sqrt().mean(1)
        return terms

    def preview(self, network: nn.Module, batch: Batch) -> Swapped:
        """The swap inside the hull of the attribute's face; before there is one, the face redrawn."""
        averaged = cast(MegaFSNetwork, network)
        attribute: Latents = averaged.encoder(encoder_input(batch["attribute"]))
        if self.inverting:
            image = averaged.synthesise(attribute)
        else:
            image, _ = averaged(averaged.encoder(encoder_input(batch["identity"])).wplus, attribute)
        image, mask = image.float(), batch["mask"]
        return Swapped(image, mask, mask * image + (1 - mask) * batch["attribute"])
