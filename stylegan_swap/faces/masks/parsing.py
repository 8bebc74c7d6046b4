"""Label maps of face parsers: whose numbers mean what, and which of them are face.

A method that was trained with parsing maps takes a parser, stated with its label order, in place of the hull
of the landmarks. The two orders in use differ in nearly every number, and a map read in the wrong one adds an
ear and misses a lip without any error, so every map says whose it is. Sources: CelebAMask-HQ (Lee et al.
2020, MaskGAN) and the common BiSeNet face parser.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

import torch
from torch import Tensor

LabelOrder = Literal["maskgan", "bisenet"]

# Class → its number, which is its place in the list.
LABELS: dict[str, dict[str, int]] = {
    order: {name: number for number, name in enumerate(names.split())}
    for order, names in {
        "maskgan": "background skin nose glasses left_eye right_eye left_brow right_brow left_ear right_ear "
        "mouth upper_lip lower_lip hair hat earring necklace neck cloth",
        "bisenet": "background skin left_brow right_brow left_eye right_eye glasses left_ear right_ear "
        "earring nose mouth upper_lip lower_lip neck necklace cloth hair hat",
    }.items()
}
# What MegaFS and FSLSD replace: no ears, neck or hair.
FACE = (
    *("skin", "left_brow", "right_brow", "left_eye", "right_eye", "glasses"),
    *("nose", "upper_lip", "lower_lip", "mouth"),
)
# RAFSwap's four regions, in its order.
REGIONS: dict[str, tuple[str, ...]] = {
    "lips": ("upper_lip", "lower_lip"),
    "nose": ("nose",),
    "brows": ("left_brow", "right_brow"),
    "eyes": ("left_eye", "right_eye"),
}


class FaceParser(Protocol):
    """Reads aligned faces and numbers each pixel; ``order`` says in whose numbers.

    Attributes:
        order: "maskgan" or "bisenet".
    """

    order: LabelOrder

    def __call__(self, x: Tensor) -> Tensor:
        """Faces ``[batch, 3, S, S]``, RGB in [-1, 1] → whole numbers ``[batch, h, w]``."""
        ...


def numbers_of(classes: Iterable[str], order: LabelOrder) -> list[int]:
    """The numbers of classes in an order.

    Raises:
        ValueError: there is no such order or class.
    """
    names = list(classes)
    if order not in LABELS:
        raise ValueError(f"unknown label order {order!r}: say {' or '.join(map(repr, LABELS))}.")
    table = LABELS[order]
    unknown = [name for name in names if name not in table]
    if unknown:
        raise ValueError(f"unknown classes {unknown}: there are {', '.join(table)}.")
    return [table[name] for name in names]


def class_mask(labels: Tensor, classes: Iterable[str], order: LabelOrder) -> Tensor:
    """Where a label map shows one of the classes: ``[batch, h, w]`` → float32 ``[batch, 1, h, w]``, 0 and 1.

    Raises:
        ValueError: the order or a class is unknown, or the labels are no batch of maps.
    """
    names = list(classes)
    if labels.ndim != 3:
        raise ValueError(f"labels must be [batch, height, width], got {tuple(labels.shape)}.")
    numbers = torch.tensor(numbers_of(names, order), device=labels.device)
    return torch.isin(labels.round().long(), numbers)[:, None].float()


def face_mask(labels: Tensor, order: LabelOrder) -> Tensor:
    """Where a label map shows what a swap replaces, ``[batch, 1, h, w]``; raises like ``class_mask``."""
    return class_mask(labels, FACE, order)
