"""InterFaceGAN's boundaries: one tensor per attribute, as InterFaceGAN (.npy) and e4e (.pt) publish them.

Source: Shen et al., InterFaceGAN (2020). A boundary is the unit normal of a linear SVM; the distance along it
is a plain number, not in units of a standard deviation.
"""

from __future__ import annotations

from torch import Tensor

from stylegan_swap.editing.direction import Direction
from stylegan_swap.errors import CheckpointError

KIND = "interfacegan"


def is_boundary(content: object) -> bool:
    """Whether a file holds one tensor that can be a boundary: ``[D]``, ``[1, D]`` or ``[1, L, D]``."""
    return isinstance(content, Tensor) and content.is_floating_point() and content.ndim in (1, 2, 3)


def read_boundary(content: Tensor, name: str, source: str) -> Direction:
    """Make a direction of a boundary.

    Args:
        content: ``[D]`` or ``[1, D]`` (age, smile, rotation), or ``[1, L, D]``, a row per layer (e4e's pose).
        name: of the attribute.
        source: the file, for messages.

    Raises:
        CheckpointError: another shape, or numbers that are no direction.
    """
    vector = content.detach().float()
    if vector.ndim == 3 and vector.shape[0] == 1:
        vector = vector[0]
    if vector.ndim == 1:
        vector = vector[None]
    try:
        return Direction(name, vector, kind=KIND, source=source)
    except ValueError as error:
        raise CheckpointError(
            f"{source}: is no boundary ({error}); give one of InterFaceGAN or e4e"
        ) from error
