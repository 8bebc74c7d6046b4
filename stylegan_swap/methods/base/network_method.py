"""What the published latent-space systems have in common as methods: loading, precision, masks, codes.

Between ``api`` (photographs) and the networks of ``models`` (tensors). A subclass says which network it is,
whose weights it needs and how one aligned face is swapped.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion import Latents
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.faces.masks.mask import hull_mask, soft_mask
from stylegan_swap.faces.masks.parsing import FaceParser, face_mask
from stylegan_swap.faces.tensors import points_of
from stylegan_swap.methods.base.finite import require_finite
from stylegan_swap.methods.base.memory import outlasts_memory
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.nn.stylegan2.config import PublishedConfig
from stylegan_swap.nn.stylegan2.generator import Generator, Noise
from stylegan_swap.weights.filled import build_filled
from stylegan_swap.weights.store import LoadedWeights, load_weights

INPUT_SIZE = 256
Network = TypeVar("Network", bound=nn.Module)
Prepared = TypeVar("Prepared")


class PublishedMethod(ABC, Generic[Network, Prepared]):
    """A published network behind the ``Method`` protocol.

    Args:
        model: the network; it is set to inference and moved.
        device: where it runs.
        dtype: the precision it runs in.
        parser: numbers the pixels of aligned faces, for the face mask; None takes the hull of the landmarks.
        parity: pre- and post-processing of the official scripts instead of the library's own.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    fetch: ClassVar[str]
    options: frozenset[str] = frozenset({"structure", "seed"})
    config_class: ClassVar[type[PublishedConfig]]
    network_class: ClassVar[type[nn.Module]]

    def __init__(
        self,
        model: Network,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        parser: FaceParser | None = None,
        parity: bool = False,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.model = channels_last(model.to(self.device)).eval().requires_grad_(False)
        self.parser, self.parity = parser, parity
        self.size: int | None = self.generator.for_inference().size

    @classmethod
    def from_pretrained(
        cls, weights: Path | LoadedWeights | None, *, device: torch.device, dtype: torch.dtype, **options: Any
    ) -> PublishedMethod[Network, Prepared]:
        """Rebuild the network from ``config.json`` beside converted weights and fill it, strictly.

        Args:
            weights: what ``stylegan-swap convert`` wrote, or holds in memory.
            device: where it runs.
            dtype: the precision it runs in.
            **options: further arguments of the class.

        Raises:
            CheckpointError: no weights were given, with what to fetch; or they do not fit.
        """
        if weights is None:
            raise CheckpointError(
                f"method {cls.name!r} needs weights, which are not this library's to ship: {cls.fetch}"
            )
        state, values = load_weights(weights)
        try:
            config = cls.config_class.from_dict(values)
            network = build_filled(lambda: cls.network_class(config), state, str(weights))
        except ValueError as error:
            raise CheckpointError(f"{weights}: {error}") from error
        return cls(network, device=device, dtype=dtype, **options)  # type: ignore[arg-type]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Name and hash of the encoder: people prepared with another mean nothing here."""
        digest = hashlib.sha256()
        for tensor in self.model.get_submodule("encoder").state_dict().values():
            digest.update(tensor.float().cpu().numpy().tobytes())
        return f"{self.name}:{digest.hexdigest()[:16]}"

    @property
    def generator(self) -> Generator:
        """The StyleGAN2 generator inside."""
        generator = self.model.get_submodule("generator")
        assert isinstance(generator, Generator)
        return generator

    @property
    def prior(self) -> None:
        """Random people come from the generator's mapping network."""
        return None

    @abstractmethod
    def prepare(self, x_id: Tensor, landmarks: Tensor | None = None) -> Prepared:
        """See ``Method.prepare``."""

    @abstractmethod
    def combine(self, prepared: list[Prepared]) -> Prepared:
        """See ``Method.combine``."""

    @abstractmethod
    def swap_aligned(
        self,
        prepared: Prepared,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        *,
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
    ) -> AlignedSwap:
        """See ``Method.swap_aligned``; ``structure`` 1 is the published swap."""

    @abstractmethod
    def invert(self, x: Tensor) -> Latents:
        """Codes of aligned faces ``[batch, 3, s, s]``, RGB in [-1, 1]."""

    @outlasts_memory
    def generate(self, latents: Latents | None, n: int, truncation_psi: float, seed: int) -> Tensor:
        """Faces ``[n, 3, S, S]``, RGB in [-1, 1], from codes or from ``n`` random ones.

        Raises:
            UnsupportedOptionError: the codes are those of another network.
        """
        with torch.no_grad(), self._precision():
            image = synthesised(self.generator, latents, n, truncation_psi, seed)
        self._require(("the generator", image))
        return image.clamp(-1, 1)

    def _require(self, *stages: tuple[str, Tensor | None]) -> None:
        require_finite(self.name, *stages, dtype=self.dtype)

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def _encoder_input(self, x: Tensor) -> Tensor:
        """Faces at the encoder's 256 pixels; the official scripts shrink without a filter."""
        return resized(x.detach().to(self.device, torch.float32), INPUT_SIZE, antialias=not self.parity)

    def _noise(self, batch: int, seed: int | None) -> Noise:
        if seed is None:
            return "buffer"
        return self.generator.make_noise(batch, torch.Generator().manual_seed(seed))

    def _hard_mask(self, x_attr: Tensor, landmarks: Tensor | None) -> Tensor:
        """What is face, ``[batch, 1, S, S]``: from the parser, or the hull of the landmarks."""
        size = x_attr.shape[-1]
        if self.parser is None:
            return _stacked([hull_mask(points, size) for points in points_of(x_attr, landmarks)]).to(
                self.device
            )
        labels = self.parser(x_attr)
        return resized(face_mask(labels, self.parser.order).to(self.device), size, antialias=False)

    def _soft_mask(self, x_attr: Tensor, landmarks: Tensor | None) -> Tensor:
        """The library's own edge round the hull, ``[batch, 1, S, S]``."""
        size = x_attr.shape[-1]
        return _stacked([soft_mask(points, size) for points in points_of(x_attr, landmarks)]).to(self.device)


def synthesised(
    generator: Generator,
    latents: Latents | None,
    n: int,
    truncation_psi: float,
    seed: int,
    *,
    latent_avg: Tensor | None = None,
) -> Tensor:
    """Faces ``[n, 3, S, S]``, RGB around [-1, 1], not clipped, from codes or from ``n`` random ones.

    Args:
        generator: makes them.
        latents: codes; None draws ``n``.
        n: how many to draw.
        truncation_psi: 0 gives the average face, 1 the full variety.
        seed: of the people drawn.
        latent_avg: average code that truncation pulls to; None draws it.

    Raises:
        UnsupportedOptionError: the codes are those of another network.
    """
    if latents is None:
        # Drawn on the CPU: the same seed gives the same people on every device.
        z = torch.randn(n, generator.style_dim, generator=torch.Generator().manual_seed(seed))
        average = generator.mean_latent(4096, 0) if latent_avg is None else latent_avg
        wplus = generator.broadcast(generator.mapping(z))
        latents = Latents(generator.truncate(wplus, truncation_psi, average))
    moved = latents.to(generator.input.input.device)
    try:
        output = generator(moved.wplus, structure=moved.structure, return_features=False)
    except ValueError as error:
        raise UnsupportedOptionError(f"{error} Give the weights that these codes go with.") from error
    return output.image.float()


def channels_last(network: Network) -> Network:
    """Lay out the convolutions the way that is fast everywhere, in place."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def resized(x: Tensor, side: int, *, antialias: bool) -> Tensor:
    """Bilinear, to ``[batch, C, side, side]``; ``antialias`` filters where the picture shrinks."""
    if x.shape[-2:] == (side, side):
        return x
    return F.interpolate(
        x, (side, side), mode="bilinear", align_corners=False, antialias=antialias and x.shape[-1] > side
    )


def one_per_face(people: int, faces: int) -> None:
    """Check that there is one person for all faces, or one per face.

    Raises:
        ValueError: there is neither.
    """
    if people not in (1, faces):
        raise ValueError(f"{people} identities do not go with {faces} attribute faces")


def _stacked(masks: list[np.ndarray]) -> Tensor:
    return torch.stack([torch.from_numpy(mask) for mask in masks])[:, None]
