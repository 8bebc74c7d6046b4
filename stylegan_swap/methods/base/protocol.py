"""What every method behind ``swap(method=…)`` offers. ``api`` calls these and nothing else of a method.

A method sees aligned faces only; finding, aligning and pasting are the library's, the same for all, so
that methods can be compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from stylegan_swap.weights.store import LoadedWeights


class AlignedSwap(NamedTuple):
    """The result of a method on aligned faces.

    Attributes:
        image: ``[batch, 3, S, S]``, RGB in [-1, 1].
        mask: ``[batch, 1, S, S]`` in 0..1; 1 takes ``image``, 0 keeps the attribute photo.
        wplus: mixed codes ``[batch, L, D]``, or None where a method has none.
        landmarks: where the method has put the face's features, ``[batch, 68, 2]`` in crop pixels; None where
            they are the attribute photo's.
    """

    image: Tensor
    mask: Tensor
    wplus: Tensor | None = None
    landmarks: Tensor | None = None

    def row(self, index: int) -> AlignedSwap:
        """The result of one face, still a batch."""
        return AlignedSwap._make(None if part is None else part[index : index + 1] for part in self)


@runtime_checkable
class Method(Protocol):
    """One system of the field, or ours.

    Attributes:
        name: its name in the registry.
        paper: what to cite.
        size: side S of the crops it works on; None if any side will do.
        options: the dials it understands, of ``structure``, ``appearance``, ``seed``, and ``detail``: whether
            what is finer than its crops is to be added from the photos. With ``refine`` it has a function
            ``refine(prepared, steps, seed)`` that returns the person better met.
        fingerprint: equal for two methods that understand each other's prepared people: the name, and a
            hash of the weights where there are some.
    """

    name: str
    paper: str
    size: int | None
    options: frozenset[str]

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
            As many people as there are photos, in the method's own form.
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
        *,
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
    ) -> AlignedSwap:
        """Swap aligned faces.

        Args:
            prepared: from ``prepare`` (one person per attribute face, or one for all) or ``combine``.
            x_attr: aligned attribute faces ``[batch, 3, S, S]``, RGB in [-1, 1].
            landmarks: ``[batch, 68, 2]`` in crop pixels, or None.
            structure: 0..1 over the identity rows of W+; 1 is the identity person's.
            appearance: 0..1 over the colour rows of W+; 1 is the identity person's.
            seed: draws fresh noise maps; None keeps the network's stored ones.
        """
        ...
