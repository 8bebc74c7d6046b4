"""The contract of a method: what every one offers, and what some can do besides.

A method sees aligned faces only; finding, aligning and pasting are the library's, the same for all, so that
methods can be compared. What only some methods can do is a protocol of its own, asked for with
``isinstance``; :func:`latents_of` and :func:`refinable` ask and raise the error a user reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from inversion import Latents
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.faces.geometry.templates import CropTemplate
from stylegan_swap.methods.base.options import AnyOption
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.nn.stylegan2.prior import CodePrior
from stylegan_swap.weights.store import LoadedWeights


class AlignedSwap(NamedTuple):
    """The result of a method on aligned faces.

    Attributes:
        image: ``[batch, 3, S, S]``, RGB in [-1, 1].
        mask: ``[batch, 1, S, S]`` in 0..1; 1 takes ``image``, 0 keeps the attribute photo.
        wplus: mixed codes ``[batch, L, D]``, or None where a method has none.
        landmarks: where the method has put the face's features, ``[batch, 68, 2]`` in crop pixels; None where
            they are the attribute photo's.
        spline_points: control points of the map that put them there, ``Reshaping.points``, ``[batch, n, 2]``.
        spline_weights: its weights, ``[batch, n + 3, 2]``.
        identity_nodes: the map that carries the identity photo onto those features, ``landmark_nodes`` of
            pictures of side S, ``[batch, 2, 33, 33]``; not finite where there is none.
    """

    image: Tensor
    mask: Tensor
    wplus: Tensor | None = None
    landmarks: Tensor | None = None
    spline_points: Tensor | None = None
    spline_weights: Tensor | None = None
    identity_nodes: Tensor | None = None

    def row(self, index: int) -> AlignedSwap:
        """The result of one face, still a batch."""
        if len(self.image) == 1:
            return self
        return AlignedSwap._make(None if part is None else part[index : index + 1] for part in self)


@runtime_checkable
class Method(Protocol):
    """One system of the field, or ours.

    Attributes:
        name: its name in the registry.
        paper: what to cite.
        size: side S of the crops it works on; None if any side will do.
        crop: the template its crops are cut with; photos are aligned with it, and pasting inverts it.
        options: what a user may set, see ``stylegan_swap.methods.base.options``. ``detail`` is not computed
            by the method: it says that what is finer than its crops is to be added from the photos.
        recogniser: name of the identity network that drives it, or None.
        device: where it runs.
        dtype: the precision it runs in.
        fingerprint: equal for two methods that understand each other's prepared people: the name, and a
            hash of the weights where there are some.
    """

    name: str
    paper: str
    size: int | None
    crop: CropTemplate
    options: tuple[AnyOption, ...]
    recogniser: str | None
    device: torch.device
    dtype: torch.dtype

    @property
    def fingerprint(self) -> str:
        """See the attributes."""
        ...

    @classmethod
    def from_pretrained(
        cls, weights: Path | LoadedWeights | None, *, device: torch.device, dtype: torch.dtype
    ) -> Method:
        """Build it from a checkpoint, or from nothing where it has none."""
        ...

    def prepare(self, x_id: Tensor, landmarks: Tensor | None = None) -> Any:
        """Compute once what a swap needs of the identity photos.

        Args:
            x_id: aligned faces ``[batch, 3, s, s]``, RGB in [-1, 1].
            landmarks: ``[batch, 68, 2]`` in crop pixels, or None.

        Returns:
            As many people as there are photos, in the method's own form, which has a length.
        """
        ...

    def combine(self, prepared: list[Any]) -> Any:
        """Make one person of several prepared photos of that person."""
        ...

    def swap_aligned(
        self,
        prepared: Any,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> AlignedSwap:
        """Swap aligned faces.

        Args:
            prepared: from ``prepare`` (one person per attribute face, or one for all) or ``combine``.
            x_attr: aligned attribute faces ``[batch, 3, S, S]``, RGB in [-1, 1].
            landmarks: ``[batch, 68, 2]`` in crop pixels, or None.
            options: values of the declared options by name; absent ones take their defaults.

        Raises:
            UnsupportedOptionError: an option is not declared, or its value is out of range.
            ValueError: the number of people is neither 1 nor the batch size.
        """
        ...


@runtime_checkable
class HasLatents(Protocol):
    """A method with a latent space W+: it inverts, generates, and so edits.

    Attributes:
        generator: the StyleGAN2 generator inside; None where the weights are an encoder alone.
        prior: the distribution of codes that random people are drawn from, where the network stores one.
    """

    @property
    def generator(self) -> Generator | None:
        """See the attributes."""
        ...

    @property
    def prior(self) -> CodePrior | None:
        """See the attributes."""
        ...

    def invert(self, x: Tensor) -> Latents:
        """Codes of aligned faces ``[batch, 3, s, s]``, RGB in [-1, 1]."""
        ...

    def generate(self, latents: Latents | None, n: int, truncation_psi: float, seed: int) -> Tensor:
        """Faces ``[n, 3, S, S]``, RGB in [-1, 1], from codes or, with None, from ``n`` random ones."""
        ...


@runtime_checkable
class Refinable(Protocol):
    """A method of which a copy can be tuned to one person."""

    def refine(self, prepared: Any, steps: int, seed: int = 0) -> Any:
        """The prepared person, better met after so many steps."""
        ...


@runtime_checkable
class SharesRecogniser(Protocol):
    """A method whose network holds dlib's recogniser, so that nobody has to load it again."""

    @property
    def identity(self) -> DlibIdentity:
        """The frozen recogniser, on the method's device."""
        ...


@runtime_checkable
class FromFile(Protocol):
    """A method that knows which file its weights came from: what lies beside it belongs to it.

    Attributes:
        weights: the file, or None where they were in memory.
    """

    weights: Path | None


@runtime_checkable
class PerPair(Protocol):
    """A method trained for one pair of people (DeepFaceLab): the identity is in its weights.

    Attributes:
        pair: names of the person shown and of the person replaced.
    """

    pair: tuple[str, str]

    def person(self) -> Any:
        """The trained identity, prepared; it takes no photo."""
        ...


@runtime_checkable
class Costly(Protocol):
    """A method that takes long for each face (diffusion), and says so.

    Attributes:
        seconds_per_face: about how long on this device.
    """

    seconds_per_face: float


def latents_of(method: Method, action: str) -> HasLatents:
    """The latent space of a method.

    Args:
        method: any.
        action: what it is wanted for, for the message: "invert", "generate" or "edit".

    Raises:
        UnsupportedOptionError: it has none.
    """
    if not isinstance(method, HasLatents):
        raise UnsupportedOptionError(
            f"method {method.name!r} cannot {action}, it has no generator: give weights of a network"
        )
    return method


def generator_of(method: Method) -> Generator | None:
    """The generator of a method, or None where it has none."""
    return method.generator if isinstance(method, HasLatents) else None


def dlib_of(method: Method) -> DlibIdentity:
    """Dlib's recogniser: the one inside the method's network, or one that is loaded here."""
    return method.identity if isinstance(method, SharesRecogniser) else DlibIdentity()


def refinable(method: Method) -> Refinable:
    """The method as one that can be tuned to a person.

    Raises:
        UnsupportedOptionError: it cannot.
    """
    if not isinstance(method, Refinable):
        raise UnsupportedOptionError(
            f"method {method.name!r} has no option 'refine': leave it out, or use method 'default'"
        )
    return method
