"""The GAN stage: StyleGAN2 with adaptive augmentation, from scratch or from published weights.

Beside the road: what it trains is the generator that encoders and swappers are built on. Karras et al.
(2020), "Analyzing and improving the image quality of StyleGAN" and "Training generative adversarial
networks with limited data"; the settings left at "automatic" are those of the second paper's code.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.distributed
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from stylegan_swap.errors import ConfigError, MissingDependencyError
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.losses.adversarial import discriminator_adversarial, generator_adversarial, mean_sign
from stylegan_swap.losses.gradient_penalty import lazy_adam, r1_penalty
from stylegan_swap.losses.path_length import PathLength
from stylegan_swap.metrics.kid import dlib_features, kid_dlib
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.stylegan2.discriminator import Discriminator, ResidualBlock
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.training.ada.ada import PIPELINES, AdaptiveProbability, Augmentation
from stylegan_swap.training.config import Settings, TrainConfig
from stylegan_swap.training.data.draws import FaceDraws
from stylegan_swap.training.data.photos import Photos
from stylegan_swap.training.loop.gradients import several_processes
from stylegan_swap.training.loop.tiles import tiled
from stylegan_swap.training.stage import Stage
from stylegan_swap.training.start_weights import read_start
from stylegan_swap.weights.store import save_weights

SHOWN = 16
TRUNCATION = 0.7
GROUP = 4
BETAS = (0.0, 0.99)


class GanOptions(Settings):
    """Options of the GAN stage.

    Attributes:
        learning_rate: Adam's, of both networks; None: 0.002 from 1024 px on, 0.0025 below.
        mixing: probability of making an image of two codes.
        r1_gamma: strength of the gradient penalty; None: 0.0002·size²/batch. Small sets of photographs
            repay trying half and twice.
        r1_every: discriminator steps between two penalties.
        path_weight: of the path-length regulariser; 0 leaves it out.
        path_every: generator steps between two regularisations.
        path_decay: share of the running mean that a batch replaces.
        path_shrink: the regulariser sees this part of a batch.
        ada_items: pipeline of the augmentation, see ``ada``; "none" switches it off.
        ada_target: mean sign of the logits of photographs to hold.
        ada_kimg: thousands of images in which p can rise by 1; None: 500, with ``start`` 100.
        ada_every: batches between two steps of p.
        ada_start: first p.
        discriminator_channels: channels at 32 px and below, halving from there; None: those of the
            generator.
        freeze_discriminator: layers of the discriminator, counted from the image (fromRGB, then conv1,
            conv2 and skip of each block), that keep their weights; 10 or 13 when fine-tuning (Freeze-D).
        micro_batch: images per pass; a batch larger than that is made of several passes whose gradients
            add up. None: the whole batch at once. It must divide ``run.batch``.
        measure_images: results and photographs that validation compares.
    """

    learning_rate: float | None = Field(None, gt=0)
    mixing: float = Field(0.9, ge=0, le=1)
    r1_gamma: float | None = Field(None, ge=0)
    r1_every: int = Field(16, ge=1)
    path_weight: float = Field(2.0, ge=0)
    path_every: int = Field(4, ge=1)
    path_decay: float = Field(0.01, gt=0, le=1)
    path_shrink: int = Field(2, ge=1)
    ada_items: str = "bgc"
    ada_target: float = Field(0.6, ge=-1, le=1)
    ada_kimg: float | None = Field(None, gt=0)
    ada_every: int = Field(4, ge=1)
    ada_start: float = Field(0.0, ge=0, le=1)
    discriminator_channels: int | None = Field(None, ge=4)
    freeze_discriminator: int = Field(0, ge=0)
    micro_batch: int | None = Field(None, ge=1)
    measure_images: int = Field(1000, ge=2)


class GanStage(Stage):
    """Training of a :class:`Generator` against a :class:`Discriminator`.

    ``network`` is that of a swap network, of which the generator's part counts: ``size`` (that of the
    data), ``style_dim``, ``n_mlp`` and the channels. ``start`` may be an export of this stage or of a swap
    network, or a published generator (``{"g_ema": ...}``); a discriminator in the file is used where it fits
    the options. Fine-tuning also wants ``run.ema_rampup: null``.

    What :meth:`export` writes is a part of a swap network's weights: ``generator.*`` and the average code
    ``latent_avg`` ``[D]`` beside the configuration of the network. ``start`` of this, the ``invert`` and the
    ``swap`` stage reads it (``start_weights.read_start``).

    Args:
        config: with ``stage: gan``; its options are :class:`GanOptions`.
        photos: photographs; None opens those of the configuration.
        identity: recogniser for validation; None loads the configured one, or dlib's, when needed.

    Raises:
        ConfigError: sizes or batches that do not go together, or an unknown pipeline.
        CheckpointError: the weights to start from do not fit.
    """

    def __init__(
        self, config: TrainConfig, photos: Photos | None = None, identity: DlibIdentity | None = None
    ) -> None:
        super().__init__(config.run, config.data)
        self.options = options = config.options_as(GanOptions)
        if photos is not None:
            self.photos = photos
        self.network_config = network = config.network_config()
        self.pass_size = _pass_size(config, options)
        self.generator = Generator(network.size, network.style_dim, network.n_mlp, network.channels)
        group = max(g for g in range(1, GROUP + 1) if self.pass_size % g == 0)
        base = options.discriminator_channels
        channels = (
            network.channels
            if base is None
            else {2**k: max(base * 32 // max(2**k, 32), 4) for k in range(2, network.size.bit_length())}
        )
        self.discriminator = Discriminator(network.size, channels, group=group)
        if config.start:
            start = read_start(config.start)
            start.fill(self.generator, "generator")
            if "discriminator" in start.parts and base is None:
                start.fill(self.discriminator, "discriminator")
        freeze(self.discriminator, options.freeze_discriminator)
        if options.ada_items not in PIPELINES:
            raise ConfigError(
                f"{config.source}: options.ada_items: there is no {options.ada_items!r}; "
                f"choose one of {', '.join(PIPELINES)}"
            )
        self.augment = Augmentation(options.ada_items)
        kimg = options.ada_kimg or (100.0 if config.start else 500.0)
        self.probability = AdaptiveProbability(options.ada_target, kimg, options.ada_every, options.ada_start)
        self.path_length = PathLength(options.path_decay, options.path_weight)
        self._identity_file = config.identity
        self._given_identity = (identity,)

    @property
    def r1_gamma(self) -> float:
        """Strength of the gradient penalty in use."""
        if self.options.r1_gamma is not None:
            return self.options.r1_gamma
        return 0.0002 * self.network_config.size**2 / (self.run_settings.batch * self.processes)

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        """The endless stream of photographs."""
        return FaceDraws(self.photos, self.network_config.size, self.seed)

    def optimizers_by_name(self) -> dict[str, torch.optim.Optimizer]:
        """Adam for either network, corrected for its lazy regulariser."""
        options = self.options
        rate = options.learning_rate or (0.002 if self.network_config.size >= 1024 else 0.0025)
        path_every = options.path_every if options.path_weight else 0
        r1_every = 0 if options.r1_gamma == 0 else options.r1_every
        optimisers: dict[str, torch.optim.Optimizer] = {}
        for name, network, every in (
            ("generator", self.generator, path_every),
            ("discriminator", self.discriminator, r1_every),
        ):
            lr, betas = lazy_adam(rate, BETAS, every)
            trained = [p for p in network.parameters() if p.requires_grad]
            optimisers[name] = torch.optim.Adam(trained, lr, betas=betas, eps=1e-8)
        return optimisers

    def averaged_modules(self) -> dict[str, nn.Module]:
        """The generator."""
        return {"generator": self.generator}

    def portable_modules(self) -> dict[str, nn.Module]:
        """The discriminator, p of the augmentation and the mean path length."""
        return {
            "discriminator": self.discriminator,
            "probability": self.probability,
            "path_length": self.path_length,
        }

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A step of the generator, one of the discriminator, and the regularisers that are due."""
        options, step = self.options, int(self.steps_done)
        photos = batch["image"]
        logs = self._generate(len(photos))
        if options.path_weight and step % options.path_every == 0:
            logs |= self._straighten(max(1, len(photos) // options.path_shrink))
        logs |= self._discriminate(photos)
        if self.r1_gamma and step % options.r1_every == 0:
            logs |= self._flatten(photos)
        logs["ada_p"] = torch.tensor(self.probability.value)
        return logs

    def codes(self, count: int) -> Tensor:
        """Draw codes ``[count, L, D]`` by the mapping network; some batches mix two, from a random row on."""
        generator = self.generator
        z = torch.randn(2, count, generator.style_dim, device=self.device)
        # Drawn on the CPU: where to cut must be known there.
        mixed = float(torch.rand(())) < self.options.mixing
        index = int(torch.randint(1, generator.n_latent, ()))
        w = generator.mapping(z[0])
        return generator.style_mix(w, generator.mapping(z[1]), index) if mixed else generator.broadcast(w)

    def synthesise(self, wplus: Tensor) -> Tensor:
        """Images ``[batch, 3, S, S]`` of codes, with noise of their own."""
        sides = [4] + [r for r in self.generator.resolutions[1:] for _ in range(2)]
        noise = [torch.randn(len(wplus), 1, r, r, device=wplus.device) for r in sides]
        return self.generator(wplus, noise=noise, return_features=False).image

    def judge(self, images: Tensor) -> Tensor:
        """Logits ``[batch, 1]`` of augmented images."""
        return self.discriminator(self.augment(images, self.probability.value))

    def _generate(self, count: int) -> dict[str, Tensor]:
        total = torch.zeros((), device=self.device)
        with self.stepped("generator"):
            for size in _passes(count, self.pass_size):
                loss = generator_adversarial(self.judge(self.synthesise(self.codes(size))))
                self.backward_of(loss.sum() / count, only="generator")
                total += loss.detach().sum() / count
        return {"g_loss": total}

    def _straighten(self, count: int) -> dict[str, Tensor]:
        total = torch.zeros((), device=self.device)
        # Second derivatives lose too much in 16 bits.
        with torch.autocast(self.device.type, enabled=False), self.stepped("generator"):
            for size in _passes(count, self.pass_size):
                wplus = self.codes(size)
                penalty = self.path_length(self.synthesise(wplus), wplus, every=self.options.path_every)
                self.backward_of(penalty.sum() / count, only="generator")
                total += penalty.detach().sum() / (count * self.options.path_every)
        if several_processes():
            # Each has moved the mean by its own images.
            torch.distributed.all_reduce(self.path_length.mean)
            self.path_length.mean /= self.processes
        return {"path_penalty": total, "path_length": self.path_length.mean.clone()}

    def _discriminate(self, photos: Tensor) -> dict[str, Tensor]:
        count = len(photos)
        losses = torch.zeros((), device=self.device)
        real_logits, fake_logits = [], []
        with self.stepped("discriminator"):
            for part in photos.split(self.pass_size):
                with torch.no_grad():
                    images = self.synthesise(self.codes(len(part)))
                fake, real = self.judge(images), self.judge(part)
                for_real, for_fake = discriminator_adversarial(real, fake)
                loss = (for_real + for_fake).sum() / count
                self.backward_of(loss, only="discriminator")
                losses += loss.detach()
                real_logits.append(real.detach())
                fake_logits.append(fake.detach())
        real, fake = torch.cat(real_logits), torch.cat(fake_logits)
        self.probability.observe(real)
        return {"d_loss": losses, "sign_real": mean_sign(real), "sign_fake": mean_sign(fake)}

    def _flatten(self, photos: Tensor) -> dict[str, Tensor]:
        total = torch.zeros((), device=self.device)
        every = self.options.r1_every
        with torch.autocast(self.device.type, enabled=False), self.stepped("discriminator"):
            for part in photos.float().split(self.pass_size):
                photo = part.detach().requires_grad_()
                penalty = r1_penalty(self.judge(photo), photo, self.r1_gamma, every).sum() / len(photos)
                self.backward_of(penalty, only="discriminator")
                total += penalty.detach() / every
        return {"r1": total}

    @torch.no_grad()
    def contact_sheet(self) -> np.ndarray:
        """The same 16 codes at truncation 1, left, and 0.7, right; uint8 ``[4·S, 8·S, 3]``."""
        average = cast(Generator, self.ema["generator"])
        stream = torch.Generator().manual_seed(0)
        w = average.mapping(torch.randn(SHOWN, average.style_dim, generator=stream))
        latent_avg = average.mean_latent()
        blocks = []
        for psi in (1.0, TRUNCATION):
            codes = average.truncate(w, psi, latent_avg)
            parts = [average(part, return_features=False).image.cpu() for part in codes.split(self.pass_size)]
            blocks.append(tiled(torch.cat(parts), 4))
        return np.concatenate(blocks, 1)

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """``kid_dlib`` of results at truncation 1 and the photographs; {} without dlib's weights.

        With fewer than 1,000 photographs the value holds a constant chance share: compare it within a run.
        """
        try:
            network = self._identity
        except MissingDependencyError:
            return {}
        average = cast(Generator, self.ema["generator"])
        network.to(self.device)
        count = min(self.options.measure_images, max(len(self.photos), 2))
        stream = torch.Generator().manual_seed(1)
        z = torch.randn(count, average.style_dim, generator=stream).split(self.pass_size)
        images = (average(average.mapping(part), return_features=False).image.clamp(-1, 1) for part in z)
        distance = kid_dlib(dlib_features(images, network), self._photo_features(count), allow_few=True)
        return {"kid_dlib": distance.value}

    def export(self, folder: Path) -> None:
        """Write the averaged generator and its average code."""
        average = cast(Generator, self.ema["generator"])
        state = {f"generator.{name}": value for name, value in average.state_dict().items()}
        state["latent_avg"] = average.mean_latent()
        save_weights(folder, state, self.network_config.to_dict())

    @cached_property
    def _identity(self) -> DlibIdentity:
        identity = self._given_identity[0]
        return DlibIdentity.load(self._identity_file) if identity is None else identity

    def _photo_features(self, count: int) -> Tensor:
        size = self.network_config.size
        numbers = np.linspace(0, len(self.photos) - 1, count).round().astype(int)
        pixels = (from_pixels(self.photos.resized(int(i), size)).to(self.device) for i in numbers)
        return dlib_features(pixels, self._identity)


def freeze(discriminator: Discriminator, layers: int) -> None:
    """Keep the weights of the first layers, counted from the image: fromRGB, then conv1, conv2, skip, ...

    Source: Freeze-D (Mo et al. 2020); order of StyleGAN2-ADA.
    """
    order: list[nn.Module] = [discriminator.convs[0]]
    for block in discriminator.convs[1:]:
        assert isinstance(block, ResidualBlock)
        order += [block.conv1, block.conv2, block.skip]
    for layer in order[:layers]:
        layer.requires_grad_(False)


def _pass_size(config: TrainConfig, options: GanOptions) -> int:
    """Images per pass, checked against the batch and the data."""
    batch, size = config.run.batch, config.network_config().size
    if size != config.data.size:
        raise ConfigError(
            f"{config.source}: network.size: {size} is not data.size {config.data.size}; make them equal"
        )
    micro = options.micro_batch or batch
    if batch % micro:
        raise ConfigError(
            f"{config.source}: options.micro_batch: {micro} does not divide run.batch {batch}; "
            "change one of them"
        )
    return micro


def _passes(count: int, size: int) -> list[int]:
    """``count`` in parts of at most ``size``."""
    return [min(size, count - start) for start in range(0, count, size)]
