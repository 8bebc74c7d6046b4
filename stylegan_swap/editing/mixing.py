"""Between two people: interpolation of codes, and style mixing by rows.

Road: photo → detect → align → encoder → **codes** → generator → paste.
"""

from __future__ import annotations

import torch

from inversion import Latents
from stylegan_swap.editing.direction import Rows, check_rows
from stylegan_swap.errors import UnsupportedOptionError


def interpolate(first: Latents, second: Latents, share: float, rows: Rows | None = None) -> Latents:
    """Go a part of the way from one person to another, in a straight line.

    Args:
        first: ``wplus`` ``[batch, L, D]``.
        second: the same shape, or a batch of one for all.
        share: 0 gives the first, 1 the second; other values go beyond.
        rows: first row and one past the last; the others stay the first's. None for all.

    Returns:
        The codes; a structure tensor goes the same way where both have one and all rows move, else it
        stays the first's.

    Raises:
        UnsupportedOptionError: codes of different networks, or rows that they do not have.
    """
    start, end = first.wplus, second.wplus.to(first.wplus)
    if end.shape[1:] != start.shape[1:] or end.shape[0] not in (1, start.shape[0]):
        raise UnsupportedOptionError(
            f"codes {list(end.shape)} do not go with {list(start.shape)}: take both from one network, one "
            "or as many"
        )
    n_latent = start.shape[1]
    from_row, to_row = check_rows((0, n_latent) if rows is None else rows, n_latent, "interpolation")
    wplus = start.clone()
    # lerp is exact at both ends.
    wplus[:, from_row:to_row] = torch.lerp(
        start[:, from_row:to_row], end[:, from_row:to_row].expand_as(start[:, from_row:to_row]), share
    )
    structure = first.structure
    if structure is not None and second.structure is not None and (from_row, to_row) == (0, n_latent):
        if second.structure.shape[1:] != structure.shape[1:]:
            raise UnsupportedOptionError("the structure tensors differ in shape: take both from one network")
        structure = torch.lerp(structure, second.structure.to(structure).expand_as(structure), share)
    return Latents(wplus, structure)


def mix(first: Latents, second: Latents, rows: Rows) -> Latents:
    """Take rows of one person from another: coarse rows carry pose and shape, fine rows colour.

    Args:
        first: ``wplus`` ``[batch, L, D]``; gives the structure tensor, and all other rows.
        second: the same shape, or a batch of one for all; gives the rows.
        rows: first row and one past the last.

    Raises:
        UnsupportedOptionError: codes of different networks, or rows that they do not have.

    Source: StyleGAN (Karras et al. 2019), section 3.1. ``Generator.style_mix`` takes all rows from one on.
    """
    mixed = interpolate(first, second, 1.0, rows)
    return Latents(mixed.wplus, first.structure)
