"""LatentStage: what the trainings of systems on top of a StyleGAN2 generator share (MegaFS, FSLSD, RAFSwap).

The papers start from a published generator, which stays frozen: ``start`` names it. Without one
``options.train_generator`` lets a generator with random weights learn along, from the reconstruction terms of
the method and, where it has none of its own, the term ``inversion``; its mapping network learns nothing then,
so ``generate`` draws no faces from it. LPIPS needs the file of its backbone; where that is missing, dlib's
features take its place (``losses.perceptual``), and dlib's recogniser that of ArcFace.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from inversion.latents import as_latent_avg
from stylegan_swap.errors import ConfigError
from stylegan_swap.losses.identity import identity_loss
from stylegan_swap.losses.perceptual import PerceptualLoss
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.recognisers.protocol import IdentityNetwork
from stylegan_swap.nn.resize import resize
from stylegan_swap.training.config import FilePath, TrainConfig
from stylegan_swap.training.data.photos import Photos
from stylegan_swap.training.pair_stage import Batch, PairOptions, PairStage, Swapped
from stylegan_swap.training.start_weights import StartWeights, read_start
from stylegan_swap.weights.recognisers import recogniser

# The published objectives look at 256 pixels, and the published encoders read them.
LOSS_SIDE = INPUT_SIDE = 256

SwappedType = TypeVar("SwappedType", bound=Swapped)


class LatentOptions(PairOptions):
    """Options of trainings on top of a generator, besides those of every pair stage.

    Attributes:
        learning_rate: Adam's, of what the paper trains.
        train_generator: let the generator, and an encoder that the paper takes ready-made, learn along.
        generator_learning_rate: Adam's, of the generator.
        perceptual: "auto", "lpips" or "dlib", see ``losses.perceptual``.
        recogniser: of the identity term, by name.
        recogniser_file: its weights; None takes dlib's.
    """

    learning_rate: float = Field(1e-4, gt=0)
    train_generator: bool = False
    generator_learning_rate: float = Field(0.002, gt=0)
    perceptual: Literal["auto", "lpips", "dlib"] = "auto"
    recogniser: Literal["dlib", "arcface-irse50"] = "dlib"
    recogniser_file: FilePath | None = None


class LatentStage(PairStage[SwappedType]):
    """A pair stage whose network holds ``encoder`` and ``generator``; arguments as in :class:`PairStage`.

    Attributes:
        frozen_parts: parts of the network that the paper takes ready-made, besides the generator.
    """

    options_class: ClassVar[type[PairOptions]] = LatentOptions
    network_class: ClassVar[type[nn.Module]]
    frozen_parts: ClassVar[tuple[str, ...]] = ()
    betas = (0.9, 0.999)

    options: LatentOptions

    def __init__(
        self, config: TrainConfig, photos: Photos | None = None, identity: DlibIdentity | None = None
    ) -> None:
        super().__init__(config, photos, identity)
        options = self.options
        is_trunk = options.recogniser == "dlib" and options.recogniser_file is None
        judge = self.identity if is_trunk else recogniser(options.recogniser, options.recogniser_file)
        self._judge: tuple[IdentityNetwork, ...] = (judge,)
        self.perceptual = PerceptualLoss(self.identity, options.perceptual)

    def build(self, config: TrainConfig, identity: DlibIdentity) -> Any:
        """The network; what the paper takes ready-made is frozen unless it learns along.

        Raises:
            ConfigError: there is no generator to begin with, and none is to be trained; or a batch of one
                photograph, of which batch normalisation learns nothing.
        """
        if config.run.batch < 2:
            raise ConfigError(
                f"{config.source}: run.batch: is {config.run.batch}; batch normalisation needs 2 photographs "
                "or more: give --set run.batch=2"
            )
        network = self.network_class(config.network_config())
        start = read_start(config.start) if config.start else None
        along = self.options.train_generator
        if start is not None:
            _fill(network, start)
        elif not along:
            raise ConfigError(
                f"{config.source}: start: is missing: a generator that is not trained along needs weights; "
                "give them, or --set options.train_generator=true"
            )
        for part in ("generator", *self.frozen_parts):
            network.get_submodule(part).requires_grad_(along)
        return network

    def optimizers_by_name(self) -> dict[str, torch.optim.Optimizer]:
        """As the base, with the generator's own rate where it learns along."""
        optimisers = super().optimizers_by_name()
        optimisers["network"] = self.adam_for(self.network)
        return optimisers

    def adam_for(self, *modules: nn.Module) -> torch.optim.Optimizer:
        """Adam for the trainable parameters of some modules, the generator's at its own rate."""
        generator = set(self.network.get_submodule("generator").parameters())
        trained = [p for module in modules for p in module.parameters() if p.requires_grad]
        options = self.options
        groups: list[dict[str, Any]] = [{"params": [p for p in trained if p not in generator]}]
        if shared := [p for p in trained if p in generator]:
            groups.append({"params": shared, "lr": options.generator_learning_rate})
        return self.adam(groups, options.learning_rate, self.betas)

    # Terms of the papers, ``[batch]`` each.

    def pixel(self, image: Tensor, target: Tensor) -> Tensor:
        """Mean squared difference."""
        return (image.float() - target).square().mean((1, 2, 3))

    def look(self, image: Tensor, target: Tensor) -> Tensor:
        """Perceptual difference at no more than 256 pixels."""
        side = min(image.shape[-1], LOSS_SIDE)
        difference: Tensor = self.perceptual(resize(image.float(), side), resize(target, side))
        return difference

    def likeness(self, image: Tensor, embedding: Tensor) -> Tensor:
        """1 − similarity of the person in the image to an embedding."""
        judge = self._judge[0].to(image.device)
        return identity_loss(judge, judge.embed(image.float()), embedding)

    @torch.no_grad()
    def embedding(self, photographs: Tensor) -> Tensor:
        """What the image term's recogniser says of photographs ``[batch, 3, S, S]``, ``[batch, dim]``."""
        return self._judge[0].to(photographs.device).embed(photographs)

    def identity_embedding(self, batch: Batch) -> Tensor:
        """Of the identity people: dlib's of the clean photographs, others' of the views in the batch."""
        if self._judge[0] is self.identity:
            return self.people[batch["identity_photo"]]
        return self.embedding(batch["identity"])


def encoder_input(x: Tensor) -> Tensor:
    """Aligned photographs ``[batch, 3, S, S]`` at the published encoders' 256 pixels."""
    return resize(x, INPUT_SIDE)


@torch.no_grad()
def _fill(network: nn.Module, start: StartWeights) -> None:
    """Take over every part that the file holds, and the average code."""
    parts = [name for name, _ in network.named_children() if name in start.parts]
    if not parts:
        # Says what the file holds instead.
        start.fill(network.get_submodule("generator"), "generator")
    for name in parts:
        start.fill(network.get_submodule(name), name)
    average = dict(network.named_buffers()).get("latent_avg")
    if average is None or "generator" not in parts:
        return
    code = start.latent_avg
    if code is None:
        code = network.get_submodule("generator").mean_latent()  # type: ignore[operator]
    average.copy_(as_latent_avg(code, *average.shape))
