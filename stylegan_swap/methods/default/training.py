"""Training of the default's network: encoder, swapper, attribute encoder and generator learn together.

A batch mixes reverse triplets and pairs of one person, whose answer is a photograph, with cross pairs, which
are judged by identity, expression, colour and a discriminator; see docs/training.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from stylegan_swap.losses.colour import brightness_loss, hue_loss
from stylegan_swap.losses.expression import expression_loss
from stylegan_swap.losses.features import feature_loss
from stylegan_swap.losses.identity import RandomView, identity_loss, push_away_loss
from stylegan_swap.losses.landmarks import landmark_loss
from stylegan_swap.losses.mask import mask_loss
from stylegan_swap.losses.pixel import pixel_loss, pixel_weights
from stylegan_swap.methods.default.config import NetworkConfig
from stylegan_swap.methods.default.network import IdentityCodes, SwapNetwork, SwapOutput
from stylegan_swap.methods.default.options import SwapOptions
from stylegan_swap.methods.default.start import start_from
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.resize import resize
from stylegan_swap.nn.stylegan2.prior import CodePrior
from stylegan_swap.training.config import TrainConfig
from stylegan_swap.training.data.photos import Photos
from stylegan_swap.training.data.triplets import CROSS
from stylegan_swap.training.pair_stage import Batch, PairStage, Swapped, face_batches, real_photographs
from stylegan_swap.training.start_weights import read_start
from stylegan_swap.weights.store import save_weights

# Directions in which random people differ, and from how many photos they are read.
PRIOR_RANK, PRIOR_PHOTOS = 64, 400


@dataclass(frozen=True)
class TrainingSwap(Swapped):
    """A swap with what its losses compare it to; pictures have the side of ``composite``.

    Attributes:
        output: of the network.
        attribute: the attribute photos.
        target: the answers where ``trust`` is above 0.
        face: the attribute's face without what is in front of it, ``[batch, 1, s, s]``.
        embedding: descriptors that the results should have, ``[batch, 128]``.
        trust: how far ``target`` is the answer, ``[batch]`` in 0..1.
        virtual: whose identity is a mixture of two people, bool ``[batch]``.
        own_colour: who takes the identity's colours, bool ``[batch]``.
    """

    output: SwapOutput
    attribute: Tensor
    target: Tensor
    face: Tensor
    embedding: Tensor
    trust: Tensor
    virtual: Tensor
    own_colour: Tensor


class Stage(PairStage[TrainingSwap]):
    """Training of :class:`SwapNetwork`; arguments as in :class:`PairStage`."""

    options_class, config_class = SwapOptions, NetworkConfig
    options: SwapOptions
    network: SwapNetwork

    def build(self, config: TrainConfig, identity: DlibIdentity) -> SwapNetwork:
        """The network, started from a smaller one or from a generator where the configuration says so."""
        network = SwapNetwork(config.network_config(), identity).channels_last()
        if config.start:
            start_from(network, read_start(config.start))
        return network

    @property
    def identity(self) -> DlibIdentity:
        """The recogniser that is the encoder's trunk."""
        return self.network.identity

    @property
    def resolution(self) -> int:
        """Side of the generator's images at this point of the run."""
        return self.size // 2 if int(self.images_seen) < 1000 * self.options.half_size_kimg else self.size

    def swap(self, batch: Batch) -> TrainingSwap:
        """Swap the batch; some identities become mixtures of two people."""
        network, resolution = self.network, self.resolution
        attribute, face, target = (
            resize(batch[name], resolution) for name in ("attribute", "mask", "target")
        )
        cross = batch["kind"] == CROSS

        # Say who should be seen, wearing what the attribute photo wears.
        identity_glasses = self.glasses[batch["identity_photo"]]
        attribute_glasses = self.glasses[batch["attribute_photo"]]
        embedding = self.people[batch["identity_photo"]]
        dressed = network.identity.with_glasses(embedding, attribute_glasses)
        embedding = torch.where((identity_glasses == attribute_glasses)[:, None], embedding, dressed)
        codes, embedding, virtual = self._virtual(
            network.identity_codes(
                batch["identity"], batch["identity_landmarks"], batch["identity_usable"], identity_glasses
            ),
            embedding,
            cross,
        )
        own_colour = cross & (torch.rand(len(cross), device=cross.device) < self.options.appearance_share)
        # A morph towards the photo's person, in the attribute's colours, answers neither of these two.
        without_answer = virtual | own_colour

        guide = batch["mask"] if self.kimg < self.options.guided_mask_kimg else None
        output = network(
            codes,
            batch["attribute"],
            batch["attribute_landmarks"],
            appearance=own_colour.float(),
            noise="random",
            mask=guide,
            resolution=resolution,
        )
        blend = face if guide is not None else resize(output.mask.detach().float(), resolution)
        image = output.image.float()
        return TrainingSwap(
            image=image,
            mask=output.mask,
            composite=blend * image + (1 - blend) * attribute,
            output=output,
            attribute=attribute,
            target=torch.where(without_answer.view(-1, 1, 1, 1), attribute, target),
            face=face,
            embedding=embedding,
            trust=torch.where(without_answer, 0, batch["trust"]),
            virtual=virtual,
            own_colour=own_colour,
        )

    def losses(self, batch: Batch, swapped: TrainingSwap) -> dict[str, Tensor]:
        """Every term per image; those that need an answer count by how far it is trusted."""
        recogniser, options = self.network.identity, self.options
        composite, attribute, target, trust = (
            swapped.composite,
            swapped.attribute,
            swapped.target,
            swapped.trust,
        )
        cross, has_answer = batch["kind"] == CROSS, batch["has_target"].float()
        resolution = composite.shape[-1]

        # Recogniser and landmark reader look at the result and at what it should be.
        view = RandomView(len(target), target.device)
        features, embedding = recogniser.describe(view(composite))
        with torch.no_grad():
            target_features = recogniser.features(view(target))
            # Read by the same network as the result's, so that its habits cancel out.
            target_points = self.landmark_points(target)
            attribute_points = torch.where(
                has_answer.view(-1, 1, 1) > 0, target_points, self.landmark_points(attribute)
            )
        points = self.landmark_points(composite)

        # Without any answer there still is one outside the face.
        scale = resolution / batch["target"].shape[-1]
        weights = pixel_weights(swapped.face, (batch["target_landmarks"] + 0.5) * scale - 0.5)
        weights = torch.where(trust.view(-1, 1, 1, 1) > 0, weights, (1 - swapped.face) * 0.3)
        likeness = identity_loss(recogniser, embedding, swapped.embedding)
        attribute_people = self.people[batch["attribute_photo"]]
        strangers = (cross & ~swapped.virtual).float()
        attribute_colour = ~swapped.own_colour & cross
        terms = {
            "pixel": pixel_loss(swapped.image, target, weights) * trust.clamp_min(0.3),
            "features": feature_loss(features[:3], target_features[:3]) * trust,
            "landmarks": landmark_loss(points, target_points) * trust,
            "identity": likeness * (1 - 0.5 * has_answer),
            "push_away": push_away_loss(recogniser, embedding, attribute_people) * strangers,
            "brightness": brightness_loss(composite, attribute, swapped.face) * attribute_colour,
            "hue": hue_loss(composite, attribute, swapped.face) * attribute_colour,
            "expression": expression_loss(points, attribute_points) * (1 - has_answer),
            "mask": mask_loss(swapped.output.mask_logits, batch["mask"]),
        }
        if options.return_share:
            terms["pixel"] = terms["pixel"] + self._returned(
                batch, composite.detach(), points.detach(), attribute_colour
            )
        if options.inversion_share:
            terms["inversion"] = self._inverted(batch, resolution)
        return terms

    def preview(self, network: nn.Module, batch: Batch) -> Swapped:
        """The composite keeps the predicted mask near the face, as the method does."""
        averaged = cast(SwapNetwork, network)
        person = averaged.identity_codes(
            batch["identity"],
            batch["identity_landmarks"],
            batch["identity_usable"],
            batch["identity_glasses"],
        )
        output = averaged(
            person, batch["attribute"], batch["attribute_landmarks"], resolution=self.resolution
        )
        mask = output.mask.float() * batch["reach"]
        image = resize(output.image.float(), self.size)
        return Swapped(image, mask, mask * image + (1 - mask) * batch["attribute"])

    def export(self, folder: Path) -> None:
        """Write the averaged network, with the distribution of the photos' codes for ``generate``."""
        network = cast(SwapNetwork, self.ema["network"])
        config = network.config.changed(prior_rank=min(PRIOR_RANK, 2 * len(self.photos) - 1))
        prior = CodePrior(config.n_latent, config.style_dim, config.prior_rank)
        prior.fit(_codes(network, self.photos))
        state = network.state_dict() | {f"prior.{k}": v for k, v in prior.state_dict().items()}
        save_weights(folder, state, config.to_dict())

    def _inverted(self, batch: Batch, resolution: int) -> Tensor:
        """Redraw some photos from their codes, without attribute features."""
        count = max(1, round(self.options.inversion_share * len(batch["target"])))
        photo = real_photographs(batch)[:count]
        codes = self.network.invert(photo).wplus
        image = self.network.generator(
            codes, noise="random", return_features=False, resolution=resolution
        ).image.float()
        recogniser, photo = self.network.identity, resize(photo, resolution)
        with torch.no_grad():
            features = recogniser.features(photo)[:3]
        pixel = (image - photo).abs().mean((1, 2, 3))
        return pixel + 0.5 * feature_loss(recogniser.features(image)[:3], features)

    def _returned(self, batch: Batch, composite: Tensor, points: Tensor, among: Tensor) -> Tensor:
        """Swap some results back to the attribute person: a reverse triplet made by the network itself."""
        draws = torch.rand(len(points), device=points.device)
        rows = (among & (draws < self.options.return_share)).nonzero()[:, 0]
        loss = torch.zeros_like(draws)
        if not len(rows):
            return loss
        resolution = composite.shape[-1]
        photo, mask = batch["attribute"][rows], batch["mask"][rows]
        back = self.network(
            self.network.identity_codes(photo.flip(3)),
            composite[rows],
            points[rows] * resolution - 0.5,
            noise="random",
            mask=mask,
            resolution=resolution,
        )
        landmarks = (batch["attribute_landmarks"][rows] + 0.5) / photo.shape[-1] * resolution - 0.5
        weights = pixel_weights(resize(mask, resolution), landmarks)
        return loss.index_put((rows,), pixel_loss(back.image, resize(photo, resolution), weights))

    def _virtual(
        self, codes: IdentityCodes, embedding: Tensor, cross: Tensor
    ) -> tuple[IdentityCodes, Tensor, Tensor]:
        """Replace some identities of cross pairs by mixtures of two people, who have no photo; and which."""
        batch, device = len(embedding), embedding.device
        chosen = cross & (torch.rand(batch, device=device) < self.options.virtual_share)
        second = self.people[torch.randint(len(self.people), (batch,), device=device)]
        share = torch.rand(batch, 1, device=device) * 0.6 + 0.2
        mixed = torch.where(chosen[:, None], torch.lerp(embedding, second, share), embedding)
        standard = torch.where(chosen[:, None], self.network.identity.standardise(mixed), codes.embedding)
        wplus = codes.wplus
        if wplus is not None:
            wplus = torch.where(chosen.view(-1, 1, 1), torch.zeros_like(wplus), wplus)
        photo = codes.photo
        if photo is not None:
            photo = photo.without(chosen | (torch.rand(batch, device=device) < self.options.detail_drop))
        return replace(codes, embedding=standard, wplus=wplus, photo=photo), mixed, chosen


@torch.no_grad()
def _codes(network: SwapNetwork, photos: Photos) -> Tensor:
    """W+ of up to 400 photos spread over the set, and of their mirror images, on the CPU."""
    numbers = np.linspace(0, len(photos) - 1, min(len(photos), PRIOR_PHOTOS)).round().astype(int)
    device = next(network.parameters()).device
    parts = [
        network.invert(view.to(device)).wplus.float().cpu()
        for x in face_batches(photos, numbers)
        for view in (x, x.flip(3))
    ]
    return torch.cat(parts)
