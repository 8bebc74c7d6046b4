"""A direction in W or W+, and moving codes along it.

Road: photo → detect → align → encoder → **codes** → generator → paste. A direction is what InterFaceGAN calls
a boundary's normal, GANSpace a component and SeFa an eigenvector; the files of all three become one class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from inversion import Latents
from stylegan_swap.errors import UnsupportedOptionError

Rows = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Direction:
    """Where codes go for one attribute: a code plus ``strength · scale · vector``.

    Attributes:
        name: of the attribute, or of a component ("pc46").
        vector: ``[1, D]``, the same for every row, or ``[L, D]``; of the length its file gives it.
        scale: length factor of a strength of 1: the standard deviation where one is known, else 1.
        unit: what a strength of 1 means: "σ", "°", or "" for a plain distance in W.
        rows: rows that are moved when nothing else is said, first and one past the last; None for all.
        mean: ``[1, D]`` or ``[L, D]``, where the coordinate is 0; None where it is the origin of W.
        kind: "interfacegan", "ganspace", "sefa", "regression" or "svm".
        source: where it comes from, for people.
        network: fingerprint of the generator it was made for; "" where unknown.
        measured: what was measured about it, by name.

    Raises:
        ValueError: shapes do not fit each other, or a number is not finite.
    """

    name: str
    vector: Tensor
    scale: float = 1.0
    unit: str = ""
    rows: Rows | None = None
    mean: Tensor | None = None
    kind: str = ""
    source: str = ""
    network: str = ""
    measured: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vector = self.vector
        if vector.ndim != 2 or vector.numel() == 0 or not vector.is_floating_point():
            raise ValueError(f"direction {self.name!r}: must be [1, D] or [L, D], got {list(vector.shape)}")
        if not bool(vector.isfinite().all()) or not bool(vector.any()):
            raise ValueError(f"direction {self.name!r}: holds NaN or infinity, or nothing but zeros")
        if not 0 < abs(self.scale) < float("inf"):
            raise ValueError(f"direction {self.name!r}: scale must be finite and not 0, got {self.scale}")
        if self.mean is not None and (
            self.mean.ndim != 2
            or self.mean.shape[1] != vector.shape[1]
            or self.mean.shape[0] not in (1, vector.shape[0])
            or not bool(self.mean.isfinite().all())
        ):
            raise ValueError(f"direction {self.name!r}: mean {list(self.mean.shape)} does not fit its vector")
        if self.rows is not None and not 0 <= self.rows[0] < self.rows[1]:
            raise ValueError(f"direction {self.name!r}: rows {self.rows} are no range")

    def displacement(self, n_latent: int, style_dim: int, rows: Rows | None = None) -> Tensor:
        """What a strength of 1 adds to a code, ``[L, D]``; 0 in the rows that stay.

        Args:
            n_latent: rows L of the codes. A direction of more rows is cut: row i means the same
                resolution at every image size.
            style_dim: width D of a row.
            rows: first row and one past the last; None takes the direction's own.

        Raises:
            UnsupportedOptionError: it belongs to codes of another width, has fewer rows, or ``rows``
                reach outside 0..L.
        """
        result = torch.zeros(n_latent, style_dim)
        vector = self._for_rows(self.vector, n_latent, style_dim)
        chosen = rows if rows is not None else self.rows
        if chosen is None:
            chosen = (0, n_latent)
        elif rows is None:
            chosen = (min(chosen[0], n_latent), min(chosen[1], n_latent))
        first, stop = check_rows(chosen, n_latent, self.name)
        result[first:stop] = vector[first:stop].float() * self.scale
        return result

    def _for_rows(self, tensor: Tensor, n_latent: int, style_dim: int) -> Tensor:
        rows, width = tensor.shape
        if width != style_dim or 1 < rows < n_latent:
            raise UnsupportedOptionError(
                f"direction {self.name!r} is [{rows}, {width}], the codes are [{n_latent}, {style_dim}]: "
                "give directions of this network"
            )
        return tensor.expand(n_latent, -1) if rows == 1 else tensor[:n_latent]


def edit(latents: Latents, direction: Direction, strength: float, rows: Rows | None = None) -> Latents:
    """Move codes along a direction: ``w + strength · scale · vector``.

    Args:
        latents: ``wplus`` ``[batch, L, D]``; a structure tensor is passed on as it is.
        direction: where to.
        strength: in the direction's unit: σ where one is known; 0 returns the codes unchanged.
        rows: first row and one past the last; None takes the direction's own, else all.

    Raises:
        UnsupportedOptionError: the direction or the rows do not fit the codes, or the strength is no number.

    Source: InterFaceGAN (Shen et al. 2020), equation 3; GANSpace (Härkönen et al. 2020), section 3.3.
    """
    if not abs(strength) < float("inf"):
        raise UnsupportedOptionError(f"{direction.name}: strength must be a finite number, got {strength}")
    _, n_latent, style_dim = latents.wplus.shape
    displacement = direction.displacement(n_latent, style_dim, rows).to(latents.wplus)
    return Latents(latents.wplus + strength * displacement, latents.structure)


def coordinate(latents: Latents, direction: Direction) -> Tensor:
    """Where codes lie along a direction, ``[batch]``, in the direction's unit; 0 at its ``mean``.

    A direction of one row is read off row 0, as e4e's editing does, one of several off the rows it moves.
    """
    _, n_latent, style_dim = latents.wplus.shape
    vector = direction._for_rows(direction.vector, n_latent, style_dim).to(latents.wplus)
    centred = latents.wplus
    if direction.mean is not None:
        centred = centred - direction._for_rows(direction.mean, n_latent, style_dim).to(centred)
    first, stop = (0, 1) if direction.vector.shape[0] == 1 else direction.rows or (0, n_latent)
    vector = vector[first:stop]
    along = (centred[:, first:stop] * vector).sum((1, 2)) / vector.square().sum()
    return along / direction.scale


def place(latents: Latents, direction: Direction, strength: float, rows: Rows | None = None) -> Latents:
    """Move codes so that their coordinate along a direction becomes ``strength``.

    What InterFaceGAN does in Z and W, and e4e with GANSpace's components; arguments as in :func:`edit`.

    Raises:
        UnsupportedOptionError: as :func:`edit`.
    """
    away = coordinate(latents, direction)
    if not abs(strength) < float("inf"):
        raise UnsupportedOptionError(f"{direction.name}: strength must be a finite number, got {strength}")
    _, n_latent, style_dim = latents.wplus.shape
    displacement = direction.displacement(n_latent, style_dim, rows).to(latents.wplus)
    return Latents(latents.wplus + (strength - away).view(-1, 1, 1) * displacement, latents.structure)


def conditioned(direction: Direction, on: list[Direction]) -> Direction:
    """Take out of a direction what it shares with others, so that those attributes stay.

    Args:
        direction: is projected; keeps its scale, and has length 1 afterwards.
        on: directions of the same shape that are to stay put.

    Raises:
        UnsupportedOptionError: shapes differ, or nothing of the direction is left.

    Source: InterFaceGAN (Shen et al. 2020), section 3.2, conditional manipulation.
    """
    shape = direction.vector.shape
    if any(condition.vector.shape != shape for condition in on):
        raise UnsupportedOptionError(
            f"direction {direction.name!r} is {list(shape)}, one of those to hold is not: give the same kind"
        )
    vector = direction.vector.double().flatten()
    vector = vector / vector.norm()
    if on:
        removed = torch.stack([condition.vector.double().flatten() for condition in on], 1)
        basis = torch.linalg.qr(removed)[0]
        vector = vector - basis @ (basis.t() @ vector)
    if float(vector.norm()) < 1e-4:
        raise UnsupportedOptionError(
            f"direction {direction.name!r}: nothing is left of it without {', '.join(d.name for d in on)}"
        )
    unit = (vector / vector.norm()).to(direction.vector.dtype).view(shape)
    # Measurements of the whole direction say nothing about the rest of it.
    return replace(direction, vector=unit, measured={})


def check_rows(rows: Rows, n_latent: int, name: str) -> Rows:
    """Return the range of rows, first and one past the last.

    Raises:
        UnsupportedOptionError: it is empty or reaches outside 0..L.
    """
    first, stop = rows
    if not 0 <= first < stop <= n_latent:
        raise UnsupportedOptionError(
            f"{name}: rows {first} to {stop - 1} are not among the rows 0 to {n_latent - 1} of the codes"
        )
    return rows
