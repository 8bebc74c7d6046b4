"""GANSpace's principal components of W: e4e's ``ffhq_pca.pt``, and the .npz of the original.

Source: Härkönen et al., GANSpace (2020). Component i becomes the direction ``pc<i>``, in units of its
standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stylegan_swap.editing.direction import Direction, Rows
from stylegan_swap.errors import CheckpointError

KIND = "ganspace"
# Of e4e's file for the FFHQ generator: component and rows by attribute.
FFHQ_ATTRIBUTES: dict[str, tuple[int, Rows]] = {
    "eyes": (54, (7, 8)),
    "smile": (46, (4, 5)),
    "beard": (58, (7, 9)),
}
_FFHQ_SHAPE = (80, 512)
# In order of preference: e4e's keys; the original's of the latent space, then of a layer that is W itself.
_LAYOUTS = (
    ("comp", "mean", "std"),
    ("lat_comp", "lat_mean", "lat_stdev"),
    ("act_comp", "act_mean", "act_stdev"),
)


def is_ganspace(content: object) -> bool:
    """Whether the content of a file has GANSpace's keys."""
    return isinstance(content, Mapping) and any(set(keys) <= set(content) for keys in _LAYOUTS)


def read_ganspace(content: Mapping[str, Any], source: str) -> dict[str, Direction]:
    """Make directions of all components.

    Args:
        content: ``comp`` ``[n, 1, D]`` or ``[n, D]``, ``mean`` ``[1, D]`` or ``[D]``, ``std`` ``[n]``, or the
            original's names for them.
        source: the file, for messages.

    Returns:
        ``pc0``, ``pc1``, …; of e4e's 80 components for FFHQ also ``eyes``, ``smile`` and ``beard``, which
        move only their rows.

    Raises:
        CheckpointError: shapes that do not fit, or components of something else than W.
    """
    keys = next(keys for keys in _LAYOUTS if set(keys) <= set(content))
    try:
        comp, mean, std = (torch.as_tensor(content[key]).detach().float() for key in keys)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{source}: {', '.join(keys)} are no numbers ({error})") from error
    comp, mean, std = _flat(comp, source), mean.reshape(1, -1), std.reshape(-1)
    if mean.shape[1] != comp.shape[1] or std.shape[0] != comp.shape[0]:
        raise CheckpointError(
            f"{source}: {comp.shape[0]} components of width {comp.shape[1]} do not go with a mean of "
            f"{mean.shape[1]} and {std.shape[0]} deviations; components of W are needed"
        )
    directions = {}
    for index in range(len(comp)):
        # A component along which nothing varies moves nothing.
        if float(std[index]) > 0 and bool(comp[index].any()):
            directions[f"pc{index}"] = _direction(f"pc{index}", comp, mean, std, index, None, source)
    if not directions:
        raise CheckpointError(f"{source}: none of its components varies; fetch it again")
    if keys[0] == "comp" and tuple(comp.shape) == _FFHQ_SHAPE:
        for name, (index, rows) in FFHQ_ATTRIBUTES.items():
            if f"pc{index}" in directions:
                directions[name] = _direction(name, comp, mean, std, index, rows, source)
    return directions


def _flat(comp: Tensor, source: str) -> Tensor:
    if comp.ndim == 3 and comp.shape[1] == 1:
        comp = comp[:, 0]
    if comp.ndim != 2:
        raise CheckpointError(
            f"{source}: its components are {list(comp.shape)}, not [n, 1, D]: those of a layer of pictures "
            "cannot move codes; give components of W"
        )
    return comp


def _direction(
    name: str, comp: Tensor, mean: Tensor, std: Tensor, index: int, rows: Rows | None, source: str
) -> Direction:
    try:
        return Direction(
            name, comp[index : index + 1].clone(), float(std[index]), "σ", rows, mean, KIND, source
        )
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}; fetch it again") from error
