"""Training of FSLSD: landmark encoder, target encoder and decoder around a frozen pSp encoder and generator.

Xu et al. 2022, "High-resolution Face Swapping via Latent Semantics Disentanglement" (CVPR), §3.4: adversarial
1, identity 2, landmarks 0.1, reconstruction 2 with LPIPS 0.8 in it, style 0.2; the decoder's image and the
generator's own ("side") both answer. The authors published no code for it. Ours: LandmarkNet's 68 points in
place of the 106-point detector; the answer of a reverse triplet is the real photograph; without a published
generator the encoder and the generator learn along, with the term ``inversion``; the edit that removes hair,
which comes ready-made as well, stays as it is and is off in our presets; video terms are not trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from stylegan_swap.losses.histogram import histogram_loss
from stylegan_swap.losses.landmarks import landmark_loss
from stylegan_swap.methods.fslsd.method import dilated
from stylegan_swap.methods.fslsd.network import FSLSDConfig, FSLSDNetwork, FSLSDOutput
from stylegan_swap.methods.fslsd.point_maps import point_maps
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.training.config import TrainConfig
from stylegan_swap.training.latent_stage import INPUT_SIDE, LatentOptions, LatentStage, encoder_input
from stylegan_swap.training.pair_stage import Batch, PairWeights, Swapped, real_photographs


class Weights(PairWeights):
    """The paper's factors; ``inversion`` counts where the generator learns along."""

    adversarial: float = 1.0
    pixel: float = 2.0
    perceptual: float = 1.6
    identity: float = 2.0
    landmarks: float = 0.1
    style: float = 0.2
    inversion: float = 2.0


class Options(LatentOptions):
    """Options of FSLSD's training.

    Attributes:
        weights: factors of the terms.
        r1_gamma: 10 every 16 steps, as published.
    """

    weights: Weights = Weights()
    r1_gamma: float = 10.0


@dataclass(frozen=True)
class FSLSDSwap(Swapped):
    """A swap with what its losses read besides.

    Attributes:
        side: the generator's own image, shaped as ``image``.
        attribute_codes: codes of the attribute photo ``[batch, L, D]``.
    """

    side: Tensor
    attribute_codes: Tensor


class Stage(LatentStage[FSLSDSwap]):
    """Training of :class:`FSLSDNetwork`; arguments as in ``PairStage``."""

    options_class, config_class, network_class = Options, FSLSDConfig, FSLSDNetwork
    frozen_parts = ("encoder",)
    options: Options
    network: FSLSDNetwork

    def build(self, config: TrainConfig, identity: DlibIdentity) -> FSLSDNetwork:
        """The network; its edit is never trained."""
        network = cast(FSLSDNetwork, super().build(config, identity))
        network.swapper.edit.requires_grad_(False)
        return network

    def swap(self, batch: Batch) -> FSLSDSwap:
        """Swap the batch; the decoder makes the whole picture."""
        # A frozen encoder keeps the statistics of its batch norms, too.
        self.network.encoder.train(self.options.train_generator)
        output, attribute_codes = self._output(self.network, batch)
        image = output.image.float()
        return FSLSDSwap(image, dilated(batch["mask"]), image, output.side.float(), attribute_codes)

    def losses(self, batch: Batch, swapped: FSLSDSwap) -> dict[str, Tensor]:
        """The paper's terms but the adversarial one."""
        image, side, answer = swapped.image, swapped.side, real_photographs(batch)
        with torch.no_grad():
            points = self.landmark_points(answer)
        terms = {
            "pixel": self.pixel(image, answer) + self.pixel(side, answer),
            "perceptual": self.look(image, answer) + self.look(side, answer),
            "identity": self.likeness(image, self.identity_embedding(batch)),
            "landmarks": landmark_loss(self.landmark_points(image), points)
            + landmark_loss(self.landmark_points(side), points),
            "style": histogram_loss(image, batch["attribute"], batch["mask"]),
        }
        if self.options.train_generator and self.options.weights.inversion:
            redrawn = self.network.generator(swapped.attribute_codes, return_features=False).image
            attribute = batch["attribute"]
            terms["inversion"] = self.pixel(redrawn, attribute) + 0.8 * self.look(redrawn, attribute)
        return terms

    def preview(self, network: nn.Module, batch: Batch) -> Swapped:
        """The decoder's picture near the face."""
        output, _ = self._output(cast(FSLSDNetwork, network), batch)
        image, mask = output.image.float(), batch["reach"]
        return Swapped(image, mask, mask * image + (1 - mask) * batch["attribute"])

    def _output(self, network: FSLSDNetwork, batch: Batch) -> tuple[FSLSDOutput, Tensor]:
        # The identity's maps first, then the attribute's.
        points = torch.cat([batch["identity_landmarks"], batch["attribute_landmarks"]], 1)
        scale = INPUT_SIDE / batch["attribute"].shape[-1]
        direction = network.landmark_encoder(point_maps((points + 0.5) * scale - 0.5, INPUT_SIDE))
        identity, attribute = (
            network.invert(encoder_input(batch[name])) for name in ("identity", "attribute")
        )
        output: FSLSDOutput = network(
            identity, attribute, direction, batch["attribute"], dilated(batch["mask"])
        )
        return output, attribute
