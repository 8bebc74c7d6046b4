"""Two baselines every table needs: ``copy`` changes nothing, ``paste`` pastes the aligned identity face.

``copy`` is perfect in everything but identity, ``paste`` in nothing but identity; a method has to be better
than both at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stylegan_swap.methods.base.network_method import BaseMethod, soft_masks
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.nn.resize import resize


class PasteMethod(BaseMethod[Tensor]):
    """The identity's aligned crop, laid over the attribute face as it is."""

    name = "paste"
    paper = "none: a baseline"

    def _prepare(self, x_id: Tensor, landmarks: Tensor | None) -> Tensor:
        return x_id

    def combine(self, prepared: list[Tensor]) -> Tensor:
        """The first photo; a baseline does not choose."""
        return prepared[0][:1]

    def _swap(
        self, person: Tensor, x_attr: Tensor, landmarks: Tensor | None, options: Mapping[str, Any]
    ) -> AlignedSwap:
        image = resize(person, x_attr.shape[-1], antialias=True).clamp(-1, 1)
        return AlignedSwap(image.expand(len(x_attr), -1, -1, -1).clone(), soft_masks(x_attr, landmarks))


class CopyMethod(PasteMethod):
    """The attribute photo itself, bit by bit: its mask is empty."""

    name = "copy"

    def _swap(
        self, person: Tensor, x_attr: Tensor, landmarks: Tensor | None, options: Mapping[str, Any]
    ) -> AlignedSwap:
        return AlignedSwap(x_attr.clone(), torch.zeros_like(x_attr[:, :1]))
