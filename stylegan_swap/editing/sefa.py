"""SeFa: directions in closed form, from the weights of a generator alone.

Source: Shen & Zhou, Closed-Form Factorization of Latent Semantics in GANs (2021), equations 4 to 6: the
change of a code that moves the styles most is the leading eigenvector of AAᵀ, A the weights that make styles
of codes.
Also reads ``factor.pt`` of rosinality's port.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stylegan_swap.editing.direction import Direction, Rows, check_rows
from stylegan_swap.editing.direction_file import generator_fingerprint
from stylegan_swap.errors import CheckpointError
from stylegan_swap.nn.stylegan2.generator import Generator

KIND = "sefa"


def factorise(
    generator: Generator, rows: Rows | None = None, count: int = 10, *, normalise: bool = True
) -> dict[str, Direction]:
    """Find the directions in W that change the styles of some layers most.

    Args:
        generator: whose layers.
        rows: rows of W+ whose convolutions count, first and one past the last, and which the directions
            move; None for all. Every convolution has one row; the steps to RGB are left out.
        count: how many, at most the width of a row.
        normalise: bring every style's weights to length 1 first, as SeFa does; rosinality's port does not.

    Returns:
        ``sefa0``, ``sefa1``, …, strongest first, unit vectors ``[1, D]``. The sign, which an eigenvector
        does not have, is the one with which its largest number is positive. ``measured`` tells the share
        of the whole that each explains.

    Raises:
        UnsupportedOptionError: rows that the generator does not have.
    """
    n_latent = generator.n_latent
    first, stop = check_rows((0, n_latent) if rows is None else rows, n_latent, "factorisation")
    stacked = styles_of(generator, first, stop)
    if normalise:
        stacked = stacked / stacked.norm(dim=1, keepdim=True).clamp_min(1e-12)
    values, vectors = torch.linalg.eigh(stacked.t() @ stacked)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    network = generator_fingerprint(generator)
    directions = {}
    for index in range(min(count, vectors.shape[1])):
        vector = vectors[:, index]
        vector = vector * vector[vector.abs().argmax()].sign()
        directions[f"sefa{index}"] = Direction(
            f"sefa{index}",
            vector.float()[None],
            rows=rows,
            kind=KIND,
            source="closed-form factorisation of the generator's weights",
            network=network,
            measured={"share": float(values[index] / values.sum())},
        )
    return directions


def styles_of(generator: Generator, first: int, stop: int) -> Tensor:
    """The weights that make styles of codes, float64 ``[n, D]``, of the convolutions fed by some rows.

    Row 0 feeds the first convolution; rows 2j + 1 and 2j + 2 the two convolutions of block j. The last row
    feeds a step to RGB alone.
    """
    convolutions = [generator.conv1, *generator.convs]
    chosen = convolutions[first:stop] or convolutions[-1:]
    return torch.cat([layer.conv.modulation.weight.detach().double().cpu() for layer in chosen])


def is_factor(content: object) -> bool:
    """Whether the content of a file is a ``factor.pt`` of rosinality's port."""
    return isinstance(content, Mapping) and isinstance(content.get("eigvec"), Tensor)


def read_factor(content: Mapping[str, Any], source: str) -> dict[str, Direction]:
    """Make directions of the columns of ``eigvec`` ``[D, D]``.

    Raises:
        CheckpointError: another shape, or no numbers.
    """
    vectors = content["eigvec"].detach()
    if vectors.ndim != 2 or not vectors.is_floating_point():
        raise CheckpointError(f"{source}: eigvec is {list(vectors.shape)}, not [D, D]; fetch it again")
    try:
        return {
            f"sefa{index}": Direction(
                f"sefa{index}", vectors[:, index].float().clone()[None], kind=KIND, source=source
            )
            for index in range(vectors.shape[1])
        }
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}; fetch it again") from error
