"""The swap stage: encoder, swapper, attribute encoder and generator learn together.

Above the road: its network is the one that ``methods.default`` runs. A batch mixes reverse triplets and
pairs of one person, whose answer is a photograph, with cross pairs, which are judged by identity,
expression, colour and a discriminator; see docs/training.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from stylegan_swap.errors import StyleganSwapWarning
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.losses.adversarial import discriminator_adversarial, generator_adversarial
from stylegan_swap.losses.colour import brightness_loss, hue_loss
from stylegan_swap.losses.expression import expression_loss
from stylegan_swap.losses.features import feature_loss
from stylegan_swap.losses.gradient_penalty import lazy_adam, r1_penalty
from stylegan_swap.losses.identity import RandomView, identity_loss, push_away_loss
from stylegan_swap.losses.landmarks import landmark_loss
from stylegan_swap.losses.mask import mask_loss
from stylegan_swap.losses.pixel import pixel_loss, pixel_weights
from stylegan_swap.methods.default.network import IdentityCodes, SwapNetwork, SwapOutput
from stylegan_swap.methods.default.options import SwapOptions
from stylegan_swap.methods.default.sheet import SwapSheet
from stylegan_swap.methods.default.start import start_from
from stylegan_swap.methods.default.triplets import CROSS, SwapDraws
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.resize import resize
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.nn.stylegan2.prior import CodePrior
from stylegan_swap.training.ada.ada import AdaptiveProbability, Augmentation
from stylegan_swap.training.config import DataSettings, TrainConfig
from stylegan_swap.training.data.open_photos import open_photos
from stylegan_swap.training.data.photos import Photos
from stylegan_swap.training.stage import Stage
from stylegan_swap.training.start_weights import read_start
from stylegan_swap.weights.landmark_net import load_landmark_net
from stylegan_swap.weights.store import save_weights

Batch = dict[str, Tensor]
# Directions in which random people differ, and from how many photos they are read.
PRIOR_RANK, PRIOR_PHOTOS = 64, 400


class SwapStage(Stage):
    """Training of :class:`SwapNetwork` on photographs of many people, one or a few of each.

    Args:
        config: with ``stage: swap``; its options are :class:`SwapOptions`.
        photos: training photographs; None opens those of the configuration.
        identity: recogniser; None loads the configured one, or dlib's.
    """

    def __init__(
        self, config: TrainConfig, photos: Photos | None = None, identity: DlibIdentity | None = None
    ) -> None:
        super().__init__(config.run, config.data)
        self.options = config.options_as(SwapOptions)
        if photos is not None:
            self.photos = photos
        if identity is None:
            identity = DlibIdentity.load(config.identity) if config.identity else DlibIdentity()
        self.network = SwapNetwork(config.network_config(), identity).channels_last()
        if config.start:
            start_from(self.network, read_start(config.start))
        size = self.network.config.size
        if self.photos.side < size:
            warnings.warn(
                f"the photographs are crops of {self.photos.side} pixels, the network's images {size}: it "
                f"will learn blur; pack them again with --side {size}",
                StyleganSwapWarning,
                stacklevel=2,
            )
        base = self.options.discriminator_channels
        channels = {2**k: max(base * 32 // max(2**k, 32), 8) for k in range(2, size.bit_length())}
        self.discriminator = Discriminator(size, channels)
        self.augment = Augmentation(self.options.ada_items)
        self.probability = AdaptiveProbability(self.options.ada_target, self.options.ada_kimg)
        # In tuples: frozen networks and tables are neither trained nor stored with the stage.
        self._landmark_net = (load_landmark_net(self.options.landmark_net),)
        self._people = (_embeddings(identity, self.photos),)
        self._glasses = (torch.tensor([self.photos.wears_glasses(n) for n in range(len(self.photos))]),)

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        """The endless stream of triplets and pairs."""
        return SwapDraws(self.photos, self.network.config.size, self.seed)

    def optimizers_by_name(self) -> dict[str, torch.optim.Optimizer]:
        """Adam for the network and for the discriminator."""
        options = self.options
        rate, lazy = lazy_adam(options.discriminator_learning_rate, (0.0, 0.99), options.r1_every)
        return {
            # Most terms know the answer, and then some momentum is faster than a GAN's none.
            "network": torch.optim.Adam(
                self.network.parameters(), options.learning_rate, betas=(0.5, 0.99), eps=1e-8, fused=True
            ),
            "discriminator": torch.optim.Adam(
                self.discriminator.parameters(), rate, betas=lazy, eps=1e-8, fused=True
            ),
        }

    def averaged_modules(self) -> dict[str, nn.Module]:
        """The network: sheets, measures and export show its running average."""
        return {"network": self.network}

    def portable_modules(self) -> dict[str, nn.Module]:
        """The discriminator and the state of its augmentation."""
        return {"discriminator": self.discriminator, "probability": self.probability}

    def export(self, folder: Path) -> None:
        """Write the averaged network as a checkpoint that ``Swapper.from_pretrained`` reads.

        With the distribution of the training photos' codes, for ``generate``.
        """
        network = cast(SwapNetwork, self.ema["network"])
        config = replace(network.config, prior_rank=min(PRIOR_RANK, 2 * len(self.photos) - 1))
        prior = CodePrior(config.n_latent, config.style_dim, config.prior_rank)
        prior.fit(_codes(network, self.photos))
        state = network.state_dict() | {f"prior.{k}": v for k, v in prior.state_dict().items()}
        save_weights(folder, state, config.to_dict())

    @property
    def resolution(self) -> int:
        """Side of the generator's images at this point of the run."""
        size = self.network.config.size
        return size // 2 if int(self.images_seen) < 1000 * self.options.half_size_kimg else size

    @cached_property
    def sheet(self) -> SwapSheet:
        """The fixed pairs of pictures and measures."""
        photos = self.photos
        if self.options.validation is not None:
            side = self.photos.side
            photos = open_photos(DataSettings(folder=self.options.validation, split="val", side=side))
        return SwapSheet(photos, self.network.config.size)

    def contact_sheet(self) -> np.ndarray:
        """Identity, attribute, image, composite and mask of fixed pairs, uint8 ``[H, W, 3]``."""
        return self.sheet.draw(cast(SwapNetwork, self.ema["network"]), self.resolution)

    def measure(self) -> dict[str, float]:
        """Distances and expression error of fixed pairs, as ``evaluate`` measures them."""
        return self.sheet.measure(cast(SwapNetwork, self.ema["network"]), self.resolution)

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the network and, once it has started, one of the discriminator."""
        options, kimg = self.options, float(self.images_seen) / 1000
        strength = (kimg - options.adversarial_from_kimg) / options.adversarial_ramp_kimg
        adversarial = strength >= 0 and int(self.steps_done) % options.discriminate_every == 0
        output, composite, terms = self._swap(batch, kimg, self.resolution)
        weights = options.weights
        logs = {name: value.detach().mean() for name, value in terms.items()}
        factors = {name: getattr(weights, name) for name in terms}
        loss = sum(factor * terms[name].mean() for name, factor in factors.items() if factor)
        if adversarial and weights.adversarial:
            term = generator_adversarial(self.discriminator(self._augmented(composite)))
            loss = loss + weights.adversarial * min(strength, 1.0) * term.mean()
            logs["adversarial"] = term.detach().mean()
        self.minimise(loss, "network")
        logs["loss"] = loss.detach()
        logs["mask_area"] = output.mask.detach().mean()
        if adversarial and weights.adversarial:
            photo = resize(self._photographs(batch), self.resolution)
            logs |= self._discriminate(photo, composite.detach())
        return logs

    def _swap(
        self, batch: Batch, kimg: float, resolution: int
    ) -> tuple[SwapOutput, Tensor, dict[str, Tensor]]:
        """Swap the batch: the output, the composite that a user would see, and the terms."""
        network, recogniser, options = self.network, self.network.identity, self.options
        attribute, mask, target = (
            resize(batch[name], resolution) for name in ("attribute", "mask", "target")
        )
        cross = batch["kind"] == CROSS
        known, trust = batch["has_target"].float(), batch["trust"]
        people = self._people[0].to(attribute.device)
        glasses = self._glasses[0].to(attribute.device)
        worn, seen_worn = glasses[batch["identity_photo"]], glasses[batch["attribute_photo"]]
        wanted = people[batch["identity_photo"]]
        # The result wears what the attribute photo wears.
        wanted = torch.where((worn == seen_worn)[:, None], wanted, recogniser.with_glasses(wanted, seen_worn))
        codes, wanted, virtual = self._virtual(
            network.identity_codes(
                batch["identity"], batch["identity_landmarks"], batch["identity_usable"], worn
            ),
            wanted,
            people,
            cross,
        )
        own_colour = cross & (torch.rand(len(cross), device=cross.device) < options.appearance_share)
        # A morph towards the photo's person, in the attribute's colours, answers neither of these two.
        unanswered = virtual | own_colour
        trust = torch.where(unanswered, 0, trust)
        target = torch.where(unanswered.view(-1, 1, 1, 1), attribute, target)
        guide = batch["mask"] if kimg < options.guided_mask_kimg else None
        output = network(
            codes,
            batch["attribute"],
            batch["attribute_landmarks"],
            appearance=own_colour.float(),
            noise="random",
            mask=guide,
            resolution=resolution,
        )
        seen = mask if guide is not None else resize(output.mask.detach().float(), resolution)
        image = output.image.float()
        composite = seen * image + (1 - seen) * attribute

        view = RandomView(len(target), target.device)
        features, embedding = recogniser.describe(view(composite))
        with torch.no_grad():
            target_features = recogniser.features(view(target))
            # Read by the same network as the result's, so that its habits cancel out.
            reader = self._landmark_net[0].to(attribute.device)
            target_points = reader(target).points
            attribute_points = torch.where(known.view(-1, 1, 1) > 0, target_points, reader(attribute).points)
        points = reader(composite).points
        scale = resolution / batch["target"].shape[-1]
        weights = pixel_weights(mask, (batch["target_landmarks"] + 0.5) * scale - 0.5)
        # Without any answer there still is one outside the face.
        weights = torch.where(trust.view(-1, 1, 1, 1) > 0, weights, (1 - mask) * 0.3)
        likeness = identity_loss(recogniser, embedding, wanted)
        strangers = (cross & ~virtual).float()
        terms = {
            "pixel": pixel_loss(image, target, weights) * trust.clamp_min(0.3),
            "features": feature_loss(features[:3], target_features[:3]) * trust,
            "landmarks": landmark_loss(points, target_points) * trust,
            "identity": likeness * (1 - 0.5 * known),
            "push_away": push_away_loss(recogniser, embedding, people[batch["attribute_photo"]]) * strangers,
            "brightness": brightness_loss(composite, attribute, mask) * (~own_colour & cross),
            "hue": hue_loss(composite, attribute, mask) * (~own_colour & cross),
            "expression": expression_loss(points, attribute_points) * (1 - known),
            "mask": mask_loss(output.mask_logits, batch["mask"]),
        }
        if options.return_share:
            terms["pixel"] = terms["pixel"] + self._returned(
                batch, composite.detach(), points.detach(), cross & ~own_colour
            )
        if options.inversion_share:
            terms["inversion"] = self._inverted(batch, resolution)
        return output, composite, terms

    def _inverted(self, batch: Batch, resolution: int) -> Tensor:
        """Redraw some photos from their codes, without attribute features."""
        count = max(1, round(self.options.inversion_share * len(batch["target"])))
        photo = self._photographs(batch)[:count]
        codes = self.network.invert(photo).wplus
        image = self.network.generator(
            codes, noise="random", return_features=False, resolution=resolution
        ).image.float()
        recogniser, photo = self.network.identity, resize(photo, resolution)
        with torch.no_grad():
            wanted = recogniser.features(photo)[:3]
        pixel = (image - photo).abs().mean((1, 2, 3))
        return pixel + 0.5 * feature_loss(recogniser.features(image)[:3], wanted)

    @staticmethod
    def _photographs(batch: Batch) -> Tensor:
        """The real photo of every item: the attribute of a cross pair, else the target."""
        return torch.where((batch["kind"] == CROSS).view(-1, 1, 1, 1), batch["attribute"], batch["target"])

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
        self, codes: IdentityCodes, wanted: Tensor, people: Tensor, cross: Tensor
    ) -> tuple[IdentityCodes, Tensor, Tensor]:
        """Replace some identities of cross pairs by mixtures of two people, who have no photo; and which."""
        batch, device = len(wanted), wanted.device
        chosen = cross & (torch.rand(batch, device=device) < self.options.virtual_share)
        other = people[torch.randint(len(people), (batch,), device=device)]
        share = torch.rand(batch, 1, device=device) * 0.6 + 0.2
        mixed = torch.where(chosen[:, None], torch.lerp(wanted, other, share), wanted)
        embedding = torch.where(chosen[:, None], self.network.identity.standardise(mixed), codes.embedding)
        wplus = codes.wplus
        if wplus is not None:
            wplus = torch.where(chosen.view(-1, 1, 1), torch.zeros_like(wplus), wplus)
        photo = codes.photo
        if photo is not None:
            photo = photo.without(chosen | (torch.rand(batch, device=device) < self.options.detail_drop))
        return replace(codes, embedding=embedding, wplus=wplus, photo=photo), mixed, chosen

    def _discriminate(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        options = self.options
        logits_fake = self.discriminator(self._augmented(fake))
        logits_real = self.discriminator(self._augmented(real))
        for_real, for_fake = discriminator_adversarial(logits_real, logits_fake)
        self.minimise(for_real.mean() + for_fake.mean(), "discriminator")
        if options.ada_target:
            self.probability.observe(logits_real)
        logs = {
            "d_real": logits_real.detach().float().mean(),
            "d_fake": logits_fake.detach().float().mean(),
            "d_right": ((logits_real > 0).float().mean() + (logits_fake < 0).float().mean()) / 2,
            "ada_p": self.probability.p.float(),
        }
        if options.r1_gamma and int(self.steps_done) // options.discriminate_every % options.r1_every == 0:
            with torch.autocast(real.device.type, enabled=False):
                photo = real.detach().requires_grad_()
                logits = self.discriminator(self._augmented(photo))
                penalty = r1_penalty(logits, photo, options.r1_gamma, options.r1_every).mean()
            self.minimise(penalty, "discriminator")
            logs["r1"] = penalty.detach()
        return logs

    def _augmented(self, x: Tensor) -> Tensor:
        return self.augment(resize(x, self.discriminator.size), self.probability.value)


@torch.no_grad()
def _embeddings(identity: DlibIdentity, photos: Photos) -> Tensor:
    """Descriptor of every photo, ``[photos, 128]``, averaged over the photo and its mirror image."""
    numbers = range(len(photos))
    return torch.cat([(identity.embed(x) + identity.embed(x.flip(3))) / 2 for x in _faces(photos, numbers)])


@torch.no_grad()
def _codes(network: SwapNetwork, photos: Photos) -> Tensor:
    """W+ of up to 400 photos spread over the set, and of their mirror images, on the CPU."""
    numbers = np.linspace(0, len(photos) - 1, min(len(photos), PRIOR_PHOTOS)).round().astype(int)
    device = next(network.parameters()).device
    parts = [
        network.invert(view.to(device)).wplus.float().cpu()
        for x in _faces(photos, numbers)
        for view in (x, x.flip(3))
    ]
    return torch.cat(parts)


def _faces(photos: Photos, numbers: Iterable[int], batch: int = 32) -> Iterator[Tensor]:
    """Whole crops in batches, ``[batch, 3, side, side]`` in [-1, 1]."""
    wanted = list(numbers)
    for start in range(0, len(wanted), batch):
        yield torch.cat([from_pixels(photos.image(int(n))) for n in wanted[start : start + batch]])
