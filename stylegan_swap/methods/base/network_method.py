"""Base classes of methods: options, one person per face, precision, memory, finiteness, loading, masks.

:class:`BaseMethod` serves methods without networks, :class:`NetworkMethod` those with one, and
:class:`LatentMethod` those around a StyleGAN2 generator, which also invert and generate. A method says how a
person is prepared (``_prepare``) and how aligned faces are swapped (``_swap``).
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from inversion import Latents
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.faces.geometry.templates import FFHQ, CropTemplate
from stylegan_swap.faces.masks.mask import hull_mask, soft_mask
from stylegan_swap.faces.masks.parsing import FaceParser, face_mask
from stylegan_swap.faces.tensors import points_of
from stylegan_swap.methods.base.finite import require_finite
from stylegan_swap.methods.base.memory import MemoryLadder, half_precision, module_on
from stylegan_swap.methods.base.options import SEED, STRUCTURE, AnyOption, checked_options
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.nn.resize import resize
from stylegan_swap.nn.stylegan2.generator import Generator, Noise
from stylegan_swap.nn.stylegan2.prior import CodePrior
from stylegan_swap.weights.filled import build_filled
from stylegan_swap.weights.store import LoadedWeights, load_weights

# Side of the faces that pSp, HieRFE and RAFSwap's encoder read.
INPUT_SIZE = 256
# Draws of z that the average code is taken over.
AVERAGE_DRAWS = 4096
Network = TypeVar("Network", bound=nn.Module)
Person = TypeVar("Person")
Loaded = TypeVar("Loaded", bound="NetworkMethod[Any, Any]")


class BaseMethod(ABC, Generic[Person]):
    """What every method has in common: declared options, people for faces, and no gradients.

    The class attributes are those of ``Method``.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    crop: ClassVar[CropTemplate] = FFHQ
    options: tuple[AnyOption, ...] = ()
    recogniser: ClassVar[str | None] = None
    size: int | None = None
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32

    @classmethod
    def from_pretrained(
        cls, weights: Path | LoadedWeights | None, *, device: torch.device, dtype: torch.dtype
    ) -> BaseMethod[Person]:
        """Build it; there is nothing to load, and it runs on the CPU.

        Raises:
            UnsupportedOptionError: weights were given.
        """
        if weights is not None:
            raise UnsupportedOptionError(f"method {cls.name!r} takes no weights, but {weights} was given")
        return cls()

    @functools.cached_property
    def fingerprint(self) -> str:
        """The name: without weights people are the same for all."""
        return self.name

    def prepare(self, x_id: Tensor, landmarks: Tensor | None = None) -> Person:
        """See ``Method.prepare``; without landmarks they are predicted on the crops."""
        with torch.no_grad():
            return self._prepare(x_id.detach(), landmarks)

    def combine(self, prepared: list[Person]) -> Person:
        """The mean of all tensors that a person consists of."""
        return averaged(prepared)

    def swap_aligned(
        self,
        prepared: Person,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> AlignedSwap:
        """See ``Method.swap_aligned``; without landmarks they are predicted on the crops."""
        values = checked_options(self.name, self.options, options)
        people, faces = len(prepared), len(x_attr)  # type: ignore[arg-type]
        if people not in (1, faces):
            raise ValueError(f"{people} identities do not go with {faces} attribute faces")
        with torch.no_grad():
            return self._run_swap(prepared, x_attr.detach(), landmarks, values)

    def _run_swap(
        self, prepared: Person, x_attr: Tensor, landmarks: Tensor | None, options: Mapping[str, Any]
    ) -> AlignedSwap:
        return self._swap(prepared, x_attr, landmarks, options)

    @abstractmethod
    def _prepare(self, x_id: Tensor, landmarks: Tensor | None) -> Person:
        """``prepare`` on detached faces, without gradients."""

    @abstractmethod
    def _swap(
        self, person: Person, x_attr: Tensor, landmarks: Tensor | None, options: Mapping[str, Any]
    ) -> AlignedSwap:
        """``swap_aligned`` on detached faces, with every declared option, without gradients."""


class NetworkMethod(BaseMethod[Person], Generic[Network, Person]):
    """A network behind the ``Method`` protocol.

    A subclass names ``network_class`` and ``config_class`` (with ``from_dict``), and in ``fetch`` where its
    weights are to be had. All calls of its networks stand inside ``precision()``, and all its tensors are
    handed to ``_require_finite``.

    Args:
        network: it is set to inference and moved.
        device: where it runs.
        dtype: the precision it runs in.
        weights: the file it was loaded from, or None.
        parser: numbers the pixels of aligned faces, for the face mask; None takes the hull of the landmarks.
        parity: pre- and post-processing of the official scripts instead of the library's own.
    """

    fetch: ClassVar[str]
    config_class: ClassVar[Any]
    network_class: ClassVar[type[nn.Module]]
    # Parts of the network that people are made with: those prepared with others mean nothing here.
    person_parts: ClassVar[tuple[str, ...]] = ("encoder",)

    def __init__(
        self,
        network: Network,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        weights: Path | None = None,
        parser: FaceParser | None = None,
        parity: bool = False,
    ) -> None:
        self.device, self.dtype, self.weights = torch.device(device), dtype, weights
        self.network = channels_last(network.to(self.device)).eval().requires_grad_(False)
        self.parser, self.parity = parser, parity
        self.memory = MemoryLadder(self)

    @classmethod
    def from_pretrained(
        cls: type[Loaded],
        weights: Path | LoadedWeights | None,
        *,
        device: torch.device,
        dtype: torch.dtype,
        **arguments: Any,
    ) -> Loaded:
        """Rebuild the network from ``config.json`` beside the weights and fill it, strictly.

        Args:
            weights: what ``save_weights`` or ``stylegan-swap convert`` wrote, or holds in memory.
            device: where it runs.
            dtype: the precision it runs in.
            **arguments: further ones of the class.

        Raises:
            CheckpointError: no weights were given, with what to fetch; or they do not fit.
        """
        if weights is None:
            raise CheckpointError(f"method {cls.name!r} needs weights{cls.fetch}")
        state, values = load_weights(weights)
        try:
            config = cls.config_class.from_dict(values)
            network = cls._built(config, state, str(weights))
        except (CheckpointError, ValueError) as error:
            prefix = "" if str(error).startswith(str(weights)) else f"{weights}: "
            raise CheckpointError(f"{prefix}{error}") from error
        except (RuntimeError, MemoryError) as error:
            raise CheckpointError(
                f"{weights}: a network of the size in its config.json cannot be built here "
                f"({' '.join(str(error).split())[:200]}); use a smaller one"
            ) from error
        file = None if isinstance(weights, LoadedWeights) else weights
        return cls(network, device=device, dtype=dtype, weights=file, **arguments)

    @classmethod
    def _built(cls, config: Any, state: Mapping[str, Tensor], source: str) -> nn.Module:
        """The network of a configuration, filled with weights that fit it exactly."""
        return build_filled(lambda: cls.network_class(config), state, source)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Name and hash of the networks that people are made with."""
        digest = hashlib.sha256()
        for part in self.person_parts:
            for tensor in self.network.get_submodule(part).state_dict().values():
                digest.update(tensor.float().cpu().numpy().tobytes())
        return f"{self.name}:{digest.hexdigest()[:16]}"

    def prepare(self, x_id: Tensor, landmarks: Tensor | None = None) -> Person:
        """See ``Method.prepare``; without landmarks they are predicted on the crops."""
        with torch.no_grad():
            return self.memory.call(type(self)._prepare, x_id.detach(), landmarks)

    def _run_swap(
        self, prepared: Person, x_attr: Tensor, landmarks: Tensor | None, options: Mapping[str, Any]
    ) -> AlignedSwap:
        return self.memory.swap(type(self)._swap, prepared, x_attr, landmarks, options)

    def precision(self) -> contextlib.AbstractContextManager[object]:
        """Inside, networks compute in the method's precision."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    @property
    def on_accelerator(self) -> bool:
        """Whether it runs on something other than the CPU."""
        return self.device.type != "cpu"

    def in_half_precision(self: Loaded) -> Loaded:
        """The same method with the same network, computing in half precision."""
        half = copy.copy(self)
        half.dtype = half_precision(self.device)
        return half

    def on_cpu(self: Loaded) -> Loaded:
        """The same method with a copy of its network, on the CPU in single precision."""
        copied = copy.copy(self)
        copied.device, copied.dtype = torch.device("cpu"), torch.float32
        copied.network = module_on(self.network, copied.device)
        if isinstance(self.parser, nn.Module):
            copied.parser = module_on(self.parser, copied.device)  # type: ignore[assignment]
        return copied

    def _require_finite(self, *stages: tuple[str, Tensor | None]) -> None:
        require_finite(self.name, *stages, dtype=self.dtype)

    def _encoder_input(self, x: Tensor) -> Tensor:
        """Faces at the encoder's 256 pixels; the official scripts shrink without a filter."""
        return resize(x.to(self.device, torch.float32), INPUT_SIZE, antialias=not self.parity)

    def _hard_mask(self, x_attr: Tensor, landmarks: Tensor | None) -> Tensor:
        """What is face, ``[batch, 1, S, S]``: from the parser, or the hull of the landmarks."""
        size = x_attr.shape[-1]
        if self.parser is None:
            return stacked_masks([hull_mask(points, size) for points in points_of(x_attr, landmarks)]).to(
                self.device
            )
        labels = self.parser(x_attr)
        return resize(face_mask(labels, self.parser.order).to(self.device), size, antialias=False)

    def _soft_mask(self, x_attr: Tensor, landmarks: Tensor | None) -> Tensor:
        """The library's own edge round the hull, ``[batch, 1, S, S]``."""
        return soft_masks(x_attr, landmarks).to(self.device)


class LatentMethod(NetworkMethod[Network, Person]):
    """A method around a StyleGAN2 generator, which inverts and generates (``HasLatents``)."""

    options: tuple[AnyOption, ...] = (STRUCTURE, SEED)
    # Average code that truncation pulls to; None draws it.
    latent_avg: Tensor | None = None

    def __init__(self, network: Network, **arguments: Any) -> None:
        super().__init__(network, **arguments)
        if self.generator is not None:
            self.size = self.generator.for_inference().size

    @property
    def generator(self) -> Generator | None:
        """The StyleGAN2 generator inside."""
        generator = self.network.get_submodule("generator")
        assert isinstance(generator, Generator)
        return generator

    @property
    def prior(self) -> CodePrior | None:
        """The distribution of codes that random people are drawn from; None: the mapping network's."""
        return None

    def invert(self, x: Tensor) -> Latents:
        """Codes of aligned faces ``[batch, 3, s, s]``, RGB in [-1, 1]."""
        with torch.no_grad():
            return self.memory.call(type(self)._invert, x.detach())

    def generate(self, latents: Latents | None, n: int, truncation_psi: float, seed: int) -> Tensor:
        """Faces ``[n, 3, S, S]``, RGB in [-1, 1], from codes or from random ones.

        Args:
            latents: codes to synthesise; None draws ``n`` from the stored distribution of codes, or from
                the generator's mapping network where there is none.
            n: how many faces to draw.
            truncation_psi: 0 gives the average face, 1 the full variety (StyleGAN, section B).
            seed: of the random codes.

        Raises:
            UnsupportedOptionError: the codes are those of another network.
        """
        with torch.no_grad():
            return self.memory.call(type(self)._generate, latents, n, truncation_psi, seed)

    @abstractmethod
    def _invert(self, x: Tensor) -> Latents:
        """``invert`` on detached faces, without gradients."""

    def _generate(self, latents: Latents | None, n: int, truncation_psi: float, seed: int) -> Tensor:
        generator = self.generator
        assert generator is not None
        with self.precision():
            if latents is None:
                latents = Latents(self._drawn_codes(generator, n, truncation_psi, seed))
            codes = latents.to(generator.input.input.device)
            try:
                output = generator(codes.wplus, structure=codes.structure, return_features=False)
            except ValueError as error:
                raise UnsupportedOptionError(f"{error} Give the weights that these codes go with.") from error
        image: Tensor = output.image.float()
        self._require_finite(("the code", codes.wplus), ("the generator", image))
        return image.clamp(-1, 1)

    def _drawn_codes(self, generator: Generator, n: int, truncation_psi: float, seed: int) -> Tensor:
        """Codes ``[n, L, D]`` of people who do not exist."""
        if self.prior is not None:
            return self.prior.sample(n, truncation_psi, seed)
        # Drawn on the CPU: the same seed gives the same people on every device.
        z = torch.randn(n, generator.style_dim, generator=torch.Generator().manual_seed(seed))
        average = generator.mean_latent(AVERAGE_DRAWS, 0) if self.latent_avg is None else self.latent_avg
        return generator.truncate(generator.broadcast(generator.mapping(z)), truncation_psi, average)

    def _noise(self, seed: int | None) -> Noise:
        """The stored noise maps, or fresh ones: the same for every face, whoever else is in its batch."""
        if seed is None:
            return "buffer"
        assert self.generator is not None
        return self.generator.make_noise(1, torch.Generator().manual_seed(seed))


def averaged(prepared: list[Person]) -> Person:
    """One person, ``[1, …]`` in every tensor, from several: the mean of each tensor, in dataclasses too."""
    first: Any = prepared[0]
    if isinstance(first, Tensor):
        return torch.cat(prepared).mean(0, keepdim=True)  # type: ignore[arg-type,return-value]
    means = {
        field.name: averaged([getattr(person, field.name) for person in prepared]) for field in fields(first)
    }
    mean: Person = replace(first, **means)
    return mean


def channels_last(network: Network) -> Network:
    """Lay out the convolutions the way that is fast everywhere, in place."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def soft_masks(x_attr: Tensor, landmarks: Tensor | None) -> Tensor:
    """The library's own edge round the hull of each face, ``[batch, 1, S, S]``, on the CPU."""
    size = x_attr.shape[-1]
    return stacked_masks([soft_mask(points, size) for points in points_of(x_attr, landmarks)])


def stacked_masks(masks: list[Any]) -> Tensor:
    """Arrays ``[S, S]`` as one tensor ``[batch, 1, S, S]``."""
    return torch.stack([torch.from_numpy(mask) for mask in masks])[:, None]
