"""What a recogniser of faces offers to losses, training and measures."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class IdentityNetwork(Protocol):
    """A recogniser of aligned faces ``[batch, 3, S, S]``, RGB in [-1, 1], for any S."""

    def embed(self, x: Tensor) -> Tensor:
        """Return embeddings ``[batch, dim]``."""
        ...

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return how different two embeddings are, ``[batch]``; 0 = the same."""
        ...

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the cosine of two embeddings about the mean person, ``[batch]``: 1 same, 0 unrelated."""
        ...

    def to(self, device: Any) -> IdentityNetwork:
        """Move the network."""
        ...
