"""PairStage: what every training of a face swap shares. A method says how it swaps and what it minimises.

The base draws triplets and pairs (``data.triplets``), weighs and ramps the terms, teaches a discriminator
with R1 and adaptive augmentation, averages the weights, draws contact sheets, measures, and exports a
folder that ``swap(method=FOLDER)`` loads. A method's ``training.py`` defines::

    class Stage(PairStage[Swapped]):
        options_class, config_class = Options, Config
        def build(self, config, identity) -> nn.Module: ...
        def swap(self, batch) -> Swapped: ...
        def losses(self, batch, swapped) -> dict[str, Tensor]: ...
        def preview(self, network, batch) -> Swapped: ...
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from stylegan_swap.errors import StyleganSwapWarning
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.losses.adversarial import discriminator_adversarial, generator_adversarial
from stylegan_swap.losses.gradient_penalty import lazy_adam, r1_penalty
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.resize import resize
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.training.ada.ada import AdaptiveProbability, Augmentation
from stylegan_swap.training.config import DataSettings, FilePath, Settings, TrainConfig
from stylegan_swap.training.data.open_photos import open_photos
from stylegan_swap.training.data.photos import Photos
from stylegan_swap.training.data.triplets import CROSS, DrawOptions, SwapDraws
from stylegan_swap.training.sheet import PairSheet
from stylegan_swap.training.stage import Stage
from stylegan_swap.weights.landmark_net import load_landmark_net
from stylegan_swap.weights.store import save_weights

Batch = dict[str, Tensor]


class PairWeights(Settings):
    """Factors of the loss terms by name; 0 leaves a term out. A method adds its own terms."""

    adversarial: float = Field(default=0.0, ge=0)


class Ramp(Settings):
    """How a term comes in.

    Attributes:
        from_kimg: thousands of images before it counts.
        over_kimg: thousands of images over which its weight rises from 0.
    """

    from_kimg: float = Field(0.0, ge=0)
    over_kimg: float = Field(1.0, gt=0)


class PairOptions(Settings):
    """Options of every stage that learns from pairs.

    Attributes:
        weights: factors of the terms; a term that is named in ``ramps`` reaches its factor gradually.
        ramps: name of a term → when it comes in.
        learning_rate: Adam's, of the network.
        shares: of reverse triplets, same person and cross pairs; None takes those of ``data.triplets``.
        discriminator_learning_rate: Adam's, of the discriminator.
        discriminator_channels: channels at 32 pixels and below; they halve with every doubling.
        adversarial_from_kimg: thousands of images before the discriminator starts.
        adversarial_ramp_kimg: thousands of images over which its weight on the network rises.
        discriminate_every: steps between two adversarial steps; 1 is every step.
        r1_gamma: strength of the gradient penalty.
        r1_every: discriminator steps between two penalties.
        ada_target: overtraining indicator that augmentation holds; 0 fixes the probability at 0.
        ada_kimg: thousands of images in which the probability can rise by 1.
        ada_items: pipeline of the augmentation, see ``ada``.
        landmark_net: weights of LandmarkNet; None takes those that come with the library.
        validation: photographs of other people for sheets and measures, a folder (its split ``val``) or a
            packed file; None takes those of the training.
    """

    weights: PairWeights = PairWeights()
    ramps: dict[str, Ramp] = Field(default_factory=dict)
    learning_rate: float = Field(0.002, gt=0)
    shares: tuple[float, float, float] | None = None
    discriminator_learning_rate: float = Field(0.002, gt=0)
    discriminator_channels: int = Field(128, ge=4)
    adversarial_from_kimg: float = Field(5.0, ge=0)
    adversarial_ramp_kimg: float = Field(20.0, gt=0)
    discriminate_every: int = Field(1, ge=1)
    r1_gamma: float = Field(2.0, ge=0)
    r1_every: int = Field(16, ge=1)
    ada_target: float = Field(0.6, ge=0, le=1)
    ada_kimg: float = Field(100.0, gt=0)
    ada_items: str = "bgc"
    landmark_net: str | None = None
    validation: FilePath | None = None


@dataclass(frozen=True)
class Swapped:
    """A batch of swaps; a method's subclass adds what its losses read besides.

    Attributes:
        image: the network's image ``[batch, 3, s, s]``, RGB around [-1, 1], not clipped.
        mask: where it is used, ``[batch, 1, s', s']`` in 0..1.
        composite: the picture that a user would see, ``[batch, 3, s, s]``; the discriminator judges it.
    """

    image: Tensor
    mask: Tensor
    composite: Tensor


SwappedType = TypeVar("SwappedType", bound=Swapped)


class PairStage(Stage, Generic[SwappedType]):
    """Training of a method's network on photographs of many people, one or a few of each.

    Args:
        config: with ``stage`` a method's name; its options are those of ``options_class``.
        photos: training photographs; None opens those of the configuration.
        identity: dlib's recogniser, for pairs, measures and features; None loads the configured one, or
            dlib's.

    Attributes:
        network: what is trained, exported and, averaged, shown.
        discriminator: judge of the composites; None where ``weights.adversarial`` is 0.
        people: dlib's descriptor of every training photograph, ``[photos, 128]``.
        glasses: whether its person wears glasses, bool ``[photos]``.
    """

    options_class: ClassVar[type[PairOptions]] = PairOptions
    config_class: ClassVar[Any]
    # Most terms know the answer, and then some momentum is faster than a GAN's none.
    betas: ClassVar[tuple[float, float]] = (0.5, 0.99)

    options: PairOptions
    network: nn.Module
    discriminator: Discriminator | None
    people: Tensor
    glasses: Tensor

    def __init__(
        self, config: TrainConfig, photos: Photos | None = None, identity: DlibIdentity | None = None
    ) -> None:
        super().__init__(config.run, config.data)
        self.options = config.options_as(self.options_class)
        if photos is not None:
            self.photos = photos
        if identity is None:
            identity = DlibIdentity.load(config.identity) if config.identity else DlibIdentity()
        self.network = self.build(config, identity)
        if self.photos.side < self.size:
            warnings.warn(
                f"the photographs are crops of {self.photos.side} pixels, the network's images {self.size}: "
                f"it will learn blur; pack them again with --side {self.size}",
                StyleganSwapWarning,
                stacklevel=2,
            )
        self.discriminator = self._discriminator() if self.options.weights.adversarial else None
        self.augment = Augmentation(self.options.ada_items)
        self.probability = AdaptiveProbability(self.options.ada_target, self.options.ada_kimg)
        # In a tuple: frozen networks are neither trained nor stored with the stage.
        self._frozen = (identity, load_landmark_net(self.options.landmark_net))
        self.register_buffer("people", _embeddings(identity, self.photos), persistent=False)
        glasses = [self.photos.wears_glasses(number) for number in range(len(self.photos))]
        self.register_buffer("glasses", torch.tensor(glasses), persistent=False)

    # What a method gives.

    def build(self, config: TrainConfig, identity: DlibIdentity) -> nn.Module:
        """The network with the weights to start from; its ``config`` has ``size`` and ``to_dict()``."""
        raise NotImplementedError

    def swap(self, batch: Batch) -> SwappedType:
        """Swap a training batch (items of :class:`SwapDraws`), with gradients."""
        raise NotImplementedError

    def losses(self, batch: Batch, swapped: SwappedType) -> dict[str, Tensor]:
        """The terms, name in ``options.weights`` → ``[batch]`` or ``[]``, not weighted."""
        raise NotImplementedError

    def preview(self, network: nn.Module, batch: Batch) -> Swapped:
        """Swap a batch of :class:`PairSheet` with the averaged network, as inference would."""
        raise NotImplementedError

    # What the base gives.

    @property
    def size(self) -> int:
        """Side of the network's images."""
        return int(self.network.config.size)  # type: ignore[union-attr,arg-type]

    @property
    def kimg(self) -> float:
        """Thousands of images seen."""
        return float(self.images_seen) / 1000

    @property
    def identity(self) -> DlibIdentity:
        """Dlib's recogniser, frozen, on the stage's device."""
        return self._frozen[0].to(self.device)

    def landmark_points(self, x: Tensor) -> Tensor:
        """The 68 landmarks ``[batch, 68, 2]`` of aligned faces in units of the side, differentiable."""
        points: Tensor = self._frozen[1].to(x.device)(x).points
        return points

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        """The endless stream of triplets and pairs."""
        shares = self.options.shares
        options = None if shares is None else DrawOptions(shares=shares)
        return SwapDraws(self.photos, self.size, self.seed, options)

    def optimizers_by_name(self) -> dict[str, torch.optim.Optimizer]:
        """Adam for the network's trainable parameters and for the discriminator."""
        options = self.options
        trained = [p for p in self.network.parameters() if p.requires_grad]
        optimisers = {"network": self.adam(trained, options.learning_rate, self.betas)}
        if self.discriminator is not None:
            rate, betas = lazy_adam(options.discriminator_learning_rate, (0.0, 0.99), options.r1_every)
            optimisers["discriminator"] = self.adam(self.discriminator.parameters(), rate, betas)
        return optimisers

    @staticmethod
    def adam(
        parameters: Iterable[nn.Parameter] | list[dict[str, Any]], rate: float, betas: tuple[float, float]
    ) -> torch.optim.Optimizer:
        """Adam as all pair stages use it."""
        return torch.optim.Adam(parameters, rate, betas=betas, eps=1e-8, fused=True)

    def averaged_modules(self) -> dict[str, nn.Module]:
        """The network: sheets, measures and export show its running average."""
        return {"network": self.network}

    def portable_modules(self) -> dict[str, nn.Module]:
        """The discriminator and the state of its augmentation."""
        if self.discriminator is None:
            return {}
        return {"discriminator": self.discriminator, "probability": self.probability}

    def export(self, folder: Path) -> None:
        """Write the averaged network as a folder that ``swap(method=FOLDER)`` loads."""
        save_weights(folder, self.ema["network"].state_dict(), self.network.config.to_dict())  # type: ignore[operator,union-attr]

    @cached_property
    def sheet(self) -> PairSheet:
        """The fixed pairs of pictures and measures."""
        photos = self.photos
        if self.options.validation is not None:
            side = self.photos.side
            photos = open_photos(DataSettings(folder=self.options.validation, split="val", side=side))
        return PairSheet(photos, self.size)

    @torch.no_grad()
    def contact_sheet(self) -> np.ndarray:
        """Identity, attribute, image, composite and mask of fixed pairs, uint8 ``[H, W, 3]``."""
        return self.sheet.draw(self._shown, self.device)

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Distances and expression error of fixed pairs, as ``evaluate`` measures them."""
        return self.sheet.measure(self._shown, self.identity, self.device)

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the network and, once it has started, one of the discriminator."""
        options = self.options
        strength = (self.kimg - options.adversarial_from_kimg) / options.adversarial_ramp_kimg
        due = strength >= 0 and int(self.steps_done) % options.discriminate_every == 0
        judge = self.discriminator if due else None
        swapped = self.swap(batch)
        terms = self.losses(batch, swapped)
        logs = {name: value.detach().mean() for name, value in terms.items()}
        loss = self.weighted(terms)
        if judge is not None:
            term = generator_adversarial(judge(self._augmented(swapped.composite)))
            loss = loss + options.weights.adversarial * min(strength, 1.0) * term.mean()
            logs["adversarial"] = term.detach().mean()
        self.minimise(loss, self.trained_now())
        logs["loss"] = loss.detach()
        logs["mask_area"] = swapped.mask.detach().mean()
        if judge is not None:
            composite = swapped.composite.detach()
            photographs = resize(real_photographs(batch), composite.shape[-1])
            logs |= self._discriminate(judge, photographs, composite)
        return logs

    def trained_now(self) -> str:
        """Name of the optimiser that this step's loss moves."""
        return "network"

    @property
    def factors(self) -> PairWeights:
        """The factors in force, before ramps."""
        return self.options.weights

    def weight_of(self, name: str) -> float:
        """Factor of a term at this point of the run."""
        weight = float(getattr(self.factors, name))
        ramp = self.options.ramps.get(name)
        if ramp is None:
            return weight
        return weight * min(max((self.kimg - ramp.from_kimg) / ramp.over_kimg, 0.0), 1.0)

    def weighted(self, terms: dict[str, Tensor]) -> Tensor:
        """Sum of the terms' means times their factors, ``[]``."""
        factors = {name: self.weight_of(name) for name in terms}
        loss = sum(factor * terms[name].mean() for name, factor in factors.items() if factor)
        return torch.as_tensor(loss, device=self.device)

    def _shown(self, batch: Batch) -> Swapped:
        return self.preview(self.ema["network"], batch)

    def _discriminator(self) -> Discriminator:
        base = self.options.discriminator_channels
        sides = [2**k for k in range(2, self.size.bit_length())]
        return Discriminator(self.size, {side: max(base * 32 // max(side, 32), 8) for side in sides})

    def _discriminate(self, judge: Discriminator, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """One step of the discriminator, and the gradient penalty where it is due."""
        options = self.options
        logits_fake = judge(self._augmented(fake))
        logits_real = judge(self._augmented(real))
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
                photographs = real.detach().requires_grad_()
                logits = judge(self._augmented(photographs))
                penalty = r1_penalty(logits, photographs, options.r1_gamma, options.r1_every).mean()
            self.minimise(penalty, "discriminator")
            logs["r1"] = penalty.detach()
        return logs

    def _augmented(self, x: Tensor) -> Tensor:
        return self.augment(resize(x, self.size), self.probability.value)


def real_photographs(batch: Batch) -> Tensor:
    """The real photo of every item: the attribute of a cross pair, else the target."""
    return torch.where((batch["kind"] == CROSS).view(-1, 1, 1, 1), batch["attribute"], batch["target"])


def face_batches(photos: Photos, numbers: Iterable[int], batch: int = 32) -> Iterator[Tensor]:
    """Whole crops in batches, ``[batch, 3, side, side]`` in [-1, 1]."""
    chosen = list(numbers)
    for start in range(0, len(chosen), batch):
        yield torch.cat([from_pixels(photos.image(int(n))) for n in chosen[start : start + batch]])


@torch.no_grad()
def _embeddings(identity: DlibIdentity, photos: Photos) -> Tensor:
    """Descriptor of every photo, ``[photos, 128]``, averaged over the photo and its mirror image."""
    faces = face_batches(photos, range(len(photos)))
    return torch.cat([(identity.embed(x) + identity.embed(x.flip(3))) / 2 for x in faces])
