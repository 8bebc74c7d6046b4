"""The invert stage: an encoder learns the codes from which a generator makes the photograph again.

Beside the road: it trains the **encoder** of it. Objectives of pSp (Richardson et al. 2021, "Encoding in
Style") and, for codes that can be edited, e4e (Tov et al. 2021, "Designing an Encoder for StyleGAN Image
Manipulation"), for any encoder of ``inversion``, with a generator that is frozen or learns along.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from inversion.e4e import E4EEncoder, progressive_stage
from inversion.light import LightEncoder
from inversion.psp import INPUT_SIZE, BackboneEncoderIntoW, GradualStyleEncoder
from inversion.w_discriminator import CodePool, LatentDiscriminator
from stylegan_swap.errors import ConfigError
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.losses.adversarial import discriminator_adversarial, generator_adversarial
from stylegan_swap.losses.gradient_penalty import r1_penalty
from stylegan_swap.losses.identity import identity_loss
from stylegan_swap.losses.latent_norm import delta_norm, w_norm
from stylegan_swap.losses.perceptual import PerceptualLoss
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.resize import resize
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.training.config import DataSettings, FilePath, Settings, TrainConfig
from stylegan_swap.training.data.draws import FaceDraws
from stylegan_swap.training.data.open_photos import open_photos
from stylegan_swap.training.data.photos import Photos
from stylegan_swap.training.loop.ranger import Ranger
from stylegan_swap.training.loop.tiles import tiled
from stylegan_swap.training.stage import Stage
from stylegan_swap.training.start_weights import StartWeights, read_start
from stylegan_swap.weights.backbones import load_arcface
from stylegan_swap.weights.store import load_state, save_weights

SHOWN, MEASURED = 12, 64
# The published objectives look at 256 pixels, whatever the generator makes.
LOSS_SIZE = 256
AnyEncoder = LightEncoder | GradualStyleEncoder | BackboneEncoderIntoW


class InvertWeights(Settings):
    """Factors of the loss terms; 0 leaves a term out. The defaults are those of pSp and e4e for faces.

    Attributes:
        pixel: squared difference.
        perceptual: LPIPS, or dlib's features where LPIPS' backbone is not there.
        identity: 1 − cosine of the recogniser.
        w_norm: distance of the code from the average code.
        delta: distances of the rows from row 0; e4e alone.
        adversarial: of the discriminator of codes; e4e alone.
    """

    pixel: float = Field(default=1.0, ge=0)
    perceptual: float = Field(default=0.8, ge=0)
    identity: float = Field(default=0.1, ge=0)
    w_norm: float = Field(default=0.0, ge=0)
    delta: float = Field(default=2e-4, ge=0)
    adversarial: float = Field(default=0.1, ge=0)


class InvertOptions(Settings):
    """Options of the invert stage.

    Attributes:
        encoder: "light" (on dlib's features), "psp", "e4e", or "w" (one code for all rows).
        weights: factors of the terms.
        optimiser: of the encoder: "ranger" or "adam".
        learning_rate: of the encoder; equalised layers, which "light" has, want about 0.002.
        train_generator: let the generator learn along; otherwise it stays as it is.
        generator_learning_rate: Adam's, of the generator.
        perceptual: "auto", "lpips" or "dlib", see ``losses.perceptual``.
        arcface: ``model_ir_se50.pth`` as recogniser of the identity term; None takes dlib's.
        trunk: ``model_ir_se50.pth`` as first weights of the trunk of "psp", "e4e" and "w".
        progressive_start_kimg: e4e: thousands of images until row 1 may leave row 0.
        progressive_every_kimg: e4e: thousands of images from row to row.
        latent_learning_rate: e4e: Adam's, of the discriminator of codes.
        latent_r1_gamma: e4e: its gradient penalty.
        latent_r1_every: e4e: its steps between two penalties.
        latent_pool: e4e: former codes that it is reminded of.
        validation: photographs of other people for sheets and measures, a folder (its split ``val``) or a
            packed file; None takes those of the training.
    """

    encoder: Literal["light", "psp", "e4e", "w"] = "light"
    weights: InvertWeights = InvertWeights()
    optimiser: Literal["ranger", "adam"] = "ranger"
    learning_rate: float = Field(1e-4, gt=0)
    train_generator: bool = False
    generator_learning_rate: float = Field(0.002, gt=0)
    perceptual: Literal["auto", "lpips", "dlib"] = "auto"
    arcface: FilePath | None = None
    trunk: FilePath | None = None
    progressive_start_kimg: float = Field(160.0, ge=0)
    progressive_every_kimg: float = Field(16.0, gt=0)
    latent_learning_rate: float = Field(2e-5, gt=0)
    latent_r1_gamma: float = Field(10.0, ge=0)
    latent_r1_every: int = Field(16, ge=1)
    latent_pool: int = Field(50, ge=0)
    validation: FilePath | None = None


class InvertStage(Stage):
    """Training of an encoder of ``inversion`` for a generator.

    ``network`` is that of a swap network, of which the generator's part counts, and for "light" that of the
    encoder. ``start`` holds the generator (an export of this library, a published ``{"g_ema": ...}``, or a
    pSp or e4e checkpoint) and perhaps the encoder; only with ``train_generator`` may there be none.

    What :meth:`export` writes has the layout of a swap network's weights, as far as they go: ``encoder.*``,
    ``generator.*`` and the average code ``latent_avg`` ``[L, D]`` that the encoder adds, beside the
    configuration of the network and the kind of ``encoder``. ``start`` of this and, for "light", of the
    ``swap`` stage reads it.

    Args:
        config: with ``stage: invert``; its options are :class:`InvertOptions`.
        photos: photographs; None opens those of the configuration.
        identity: recogniser: trunk of "light" and judge; None loads the configured one, or dlib's.

    Raises:
        ConfigError: no generator to invert, or sizes that do not go together.
        CheckpointError: the weights to start from do not fit.
        MissingDependencyError: dlib's weights are not installed.
    """

    def __init__(
        self, config: TrainConfig, photos: Photos | None = None, identity: DlibIdentity | None = None
    ) -> None:
        super().__init__(config.run, config.data)
        self.options = options = config.options_as(InvertOptions)
        if photos is not None:
            self.photos = photos
        self.network_config = network = config.network_config()
        if network.size != config.data.size:
            raise ConfigError(
                f"{config.source}: network.size: {network.size} is not data.size {config.data.size}; "
                "make them equal"
            )
        if identity is None:
            identity = DlibIdentity.load(config.identity) if config.identity else DlibIdentity()
        self.generator = Generator(network.size, network.style_dim, network.n_mlp, network.channels)
        start = read_start(config.start) if config.start else None
        if start is not None:
            start.fill(self.generator, "generator")
        elif not options.train_generator:
            raise ConfigError(
                f"{config.source}: start: is missing: a generator that is not trained along needs weights; "
                "give them, or --set options.train_generator=true"
            )
        self.generator.requires_grad_(options.train_generator)
        average = _average_code(self.generator, start)
        self.encoder = _encoder(options, network, identity, average)
        if start is not None and "encoder" in start.parts:
            start.fill(self.encoder, "encoder")
        self.judges_codes = options.encoder == "e4e" and options.weights.adversarial > 0
        if self.judges_codes:
            self.latent_discriminator = LatentDiscriminator(network.style_dim)
            self.pool = CodePool(network.style_dim, options.latent_pool)
        self.perceptual = PerceptualLoss(identity, options.perceptual)
        # In a tuple: frozen, and not stored with the stage.
        self._recogniser = (load_arcface(options.arcface) if options.arcface else identity,)

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        """The endless stream of photographs."""
        return FaceDraws(self.photos, self.network_config.size, self.seed)

    def optimizers_by_name(self) -> dict[str, torch.optim.Optimizer]:
        """Ranger or Adam for the encoder, Adam for whatever else learns."""
        options = self.options
        trained = [p for p in self.encoder.parameters() if p.requires_grad]
        optimisers: dict[str, torch.optim.Optimizer] = {
            "encoder": Ranger(trained, options.learning_rate)
            if options.optimiser == "ranger"
            else torch.optim.Adam(trained, options.learning_rate)
        }
        if options.train_generator:
            optimisers["generator"] = torch.optim.Adam(
                self.generator.parameters(), options.generator_learning_rate, betas=(0.0, 0.99), eps=1e-8
            )
        if self.judges_codes:
            optimisers["latent_discriminator"] = torch.optim.Adam(
                self.latent_discriminator.parameters(), options.latent_learning_rate
            )
        return optimisers

    def averaged_modules(self) -> dict[str, nn.Module]:
        """The encoder, and the generator where it learns."""
        modules: dict[str, nn.Module] = {"encoder": self.encoder}
        return modules | ({"generator": self.generator} if self.options.train_generator else {})

    def portable_modules(self) -> dict[str, nn.Module]:
        """The discriminator of codes with its pool."""
        if not self.judges_codes:
            return {}
        return {"latent_discriminator": self.latent_discriminator, "pool": self.pool}

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A step of the encoder (and generator), and for e4e one of the discriminator of codes."""
        photos = batch["image"]
        self._release(self.encoder)
        wplus = self._codes(self.encoder, photos)
        image = self.generator(wplus, noise=self._noise(len(photos)), return_features=False).image
        terms = self._terms(image, photos, wplus)
        weights = self.options.weights
        loss = sum(
            (getattr(weights, name) * term.mean() for name, term in terms.items()), wplus.new_zeros(())
        )
        if self.options.train_generator:
            with self.stepped("encoder", "generator"):
                self.backward_of(loss)
        else:
            self.minimise(loss, "encoder")
        logs = {name: term.detach().mean() for name, term in terms.items()} | {"loss": loss.detach()}
        return logs | (self._discriminate(wplus.detach()) if self.judges_codes else {})

    @property
    def released(self) -> int:
        """Last row that may differ from row 0: e4e's schedule by images; all rows for other encoders."""
        options = self.options
        if options.encoder != "e4e":
            return self.generator.n_latent - 1
        start, every = (
            max(1, round(1000 * kimg))
            for kimg in (options.progressive_start_kimg, options.progressive_every_kimg)
        )
        return progressive_stage(int(self.images_seen), self.generator.n_latent, start, every)

    def _terms(self, image: Tensor, photos: Tensor, wplus: Tensor) -> dict[str, Tensor]:
        """The terms with a weight, ``[batch]`` each."""
        weights = self.options.weights
        size = min(self.network_config.size, LOSS_SIZE)
        image, photos = resize(image.float(), size), resize(photos.float(), size)
        terms = {"pixel": (image - photos).square().mean((1, 2, 3))}
        if weights.perceptual:
            terms["perceptual"] = self.perceptual(image, photos)
        if weights.identity:
            terms["identity"] = self._likeness(image, photos)
        if weights.w_norm:
            terms["w_norm"] = w_norm(wplus, self.encoder.latent_avg)
        if self.options.encoder == "e4e" and weights.delta:
            terms["delta"] = delta_norm(wplus, self.released)
        if self.judges_codes:
            terms["adversarial"] = generator_adversarial(self.latent_discriminator(self._free(wplus)))
        return terms

    def _likeness(self, image: Tensor, photos: Tensor) -> Tensor:
        recogniser = self._recogniser[0].to(image.device)
        with torch.no_grad():
            target = recogniser.embed(photos)
        embedding = recogniser.embed(image)
        if isinstance(recogniser, DlibIdentity):
            return identity_loss(recogniser, embedding, target)
        return recogniser.distance(embedding, target)

    def _discriminate(self, wplus: Tensor) -> dict[str, Tensor]:
        """Teach the discriminator of codes: the mapping network's are real, the encoder's are not."""
        options, network = self.options, self.latent_discriminator
        fake = self.pool.exchange(self._free(wplus))
        with torch.no_grad():
            z = torch.randn(len(fake), self.generator.style_dim, device=fake.device)
            real = self.generator.mapping(z).float()
        for_real, for_fake = discriminator_adversarial(network(real), network(fake))
        loss = (for_real + for_fake).mean()
        self.minimise(loss, "latent_discriminator")
        logs = {"latent_loss": loss.detach()}
        every = options.latent_r1_every
        if options.latent_r1_gamma and int(self.steps_done) % every == 0:
            with torch.autocast(real.device.type, enabled=False):
                real = real.detach().requires_grad_()
                penalty = r1_penalty(network(real), real, options.latent_r1_gamma, every).mean()
            self.minimise(penalty, "latent_discriminator")
            logs["latent_r1"] = penalty.detach() / every
        return logs

    def _free(self, wplus: Tensor) -> Tensor:
        """The rows that have been released, which are those that e4e judges."""
        return wplus[:, : self.released + 1]

    def _release(self, encoder: AnyEncoder) -> None:
        if isinstance(encoder, E4EEncoder):
            encoder.set_stage(self.released)

    def _codes(self, encoder: AnyEncoder, photos: Tensor) -> Tensor:
        side = self.network_config.encoder_size if isinstance(encoder, LightEncoder) else INPUT_SIZE
        return encoder(resize(photos, side)).wplus

    def _noise(self, batch: int) -> list[Tensor]:
        sides = [4] + [r for r in self.generator.resolutions[1:] for _ in range(2)]
        return [torch.randn(batch, 1, r, r, device=self.device) for r in sides]

    @torch.no_grad()
    def contact_sheet(self) -> np.ndarray:
        """Fixed photographs, each with its reconstruction to the right, three pairs in a row."""
        photos = self._validation_photos(SHOWN)
        reconstructed = self._reconstructed(photos).cpu()
        return tiled(torch.stack([photos.cpu(), reconstructed], 1).flatten(0, 1), 6)

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Means of the image terms over fixed photographs; the perceptual one under the name of its kind."""
        sums: dict[str, float] = {}
        photos = self._validation_photos(MEASURED)
        size = min(self.network_config.size, LOSS_SIZE)
        for part in photos.split(8):
            image, photo = (resize(x, size) for x in (self._reconstructed(part), part))
            values = {
                "pixel": (image - photo).square().mean((1, 2, 3)),
                f"perceptual_{self.perceptual.kind}": self.perceptual(image, photo),
                "identity": self._likeness(image, photo),
            }
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + float(value.sum()) / len(photos)
        return sums

    def export(self, folder: Path) -> None:
        """Write the averaged encoder, the generator and the average code."""
        generator = self.ema["generator"] if self.options.train_generator else self.generator
        state = {f"generator.{name}": value for name, value in generator.state_dict().items()}
        state |= {f"encoder.{name}": value for name, value in self.ema["encoder"].state_dict().items()}
        state["latent_avg"] = self.encoder.latent_avg
        save_weights(folder, state, {**self.network_config.to_dict(), "encoder": self.options.encoder})

    def _reconstructed(self, photos: Tensor) -> Tensor:
        encoder = cast(AnyEncoder, self.ema["encoder"])
        generator = self.ema["generator"] if self.options.train_generator else self.generator
        self._release(encoder)
        parts = [
            generator(self._codes(encoder, part), return_features=False).image.float()
            for part in photos.split(8)
        ]
        return torch.cat(parts).clamp(-1, 1)

    def _validation_photos(self, count: int) -> Tensor:
        photos = self.photos
        if self.options.validation is not None:
            data = DataSettings(folder=self.options.validation, split="val", side=self.photos.side)
            photos = open_photos(data)
        count = min(count, len(photos))
        numbers = np.linspace(0, len(photos) - 1, count).round().astype(int)
        size = self.network_config.size
        return torch.cat([from_pixels(photos.resized(int(i), size)) for i in numbers]).to(self.device)


def _average_code(generator: Generator, start: StartWeights | None) -> Tensor:
    """The code that the encoder adds its own to: the one in the file, else the mapping network's mean."""
    if start is not None and start.latent_avg is not None:
        return start.latent_avg
    return generator.mean_latent()


def _encoder(options: InvertOptions, network: Any, identity: DlibIdentity, latent_avg: Tensor) -> AnyEncoder:
    rows, width = network.n_latent, network.style_dim
    if options.encoder == "light":
        if options.trunk is not None:
            raise ConfigError("options.trunk: the light encoder's trunk is dlib's; leave it out")
        return LightEncoder(identity, rows, width, network.encoder_width, latent_avg)
    kinds = {"psp": GradualStyleEncoder, "e4e": E4EEncoder, "w": BackboneEncoderIntoW}
    encoder = kinds[options.encoder](rows, width, latent_avg=latent_avg)
    if options.trunk is not None:
        # Read by the recogniser that it is, checked by its names and shapes.
        arcface = load_arcface(options.trunk).network.state_dict()
        state = encoder.state_dict()
        trunk = {name: value for name, value in arcface.items() if name in state}
        load_state(encoder, {**state, **trunk}, str(options.trunk))
    return cast(AnyEncoder, encoder)
