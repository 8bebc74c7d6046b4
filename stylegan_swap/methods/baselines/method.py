"""Two baselines every table needs: ``copy`` changes nothing, ``paste`` pastes the aligned identity face.

``copy`` is perfect in everything but identity, ``paste`` in nothing but identity; a method has to be better
than both at once.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.faces.detection.landmarks import landmarks_of_crop
from stylegan_swap.faces.masks.mask import soft_mask
from stylegan_swap.faces.tensors import to_pixels
from stylegan_swap.methods.base.protocol import AlignedSwap


class PasteMethod:
    """The identity's aligned crop, laid over the attribute face as it is."""

    name = "paste"
    paper = "none: a baseline"
    size: int | None = None
    options: frozenset[str] = frozenset()
    fingerprint = name

    @classmethod
    def from_pretrained(
        cls, weights: Path | None, *, device: torch.device, dtype: torch.dtype
    ) -> PasteMethod:
        """Build it; there is nothing to load.

        Raises:
            UnsupportedOptionError: weights were given.
        """
        if weights is not None:
            raise UnsupportedOptionError(f"method {cls.name!r} takes no weights, but {weights} was given")
        return cls()

    def prepare(self, x_id: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """See ``Method.prepare``: the crops themselves."""
        return x_id.detach()

    def combine(self, prepared: list[Tensor]) -> Tensor:
        """The first photo; a baseline does not choose."""
        return prepared[0][:1]

    def swap_aligned(
        self,
        prepared: Tensor,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        *,
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
    ) -> AlignedSwap:
        """See ``Method.swap_aligned``; there are no dials.

        Raises:
            ValueError: the number of people is neither 1 nor the batch size.
        """
        if len(prepared) not in (1, len(x_attr)):
            raise ValueError(f"{len(prepared)} identities do not go with {len(x_attr)} attribute faces")
        return self._swapped(prepared, x_attr, landmarks)

    def _swapped(self, prepared: Tensor, x_attr: Tensor, landmarks: Tensor | None) -> AlignedSwap:
        size = x_attr.shape[-1]
        resized = F.interpolate(
            prepared, (size, size), mode="bilinear", align_corners=False, antialias=prepared.shape[-1] > size
        )
        image = resized.clamp(-1, 1).expand(len(x_attr), -1, -1, -1).clone()
        return AlignedSwap(image, _masks(x_attr, landmarks))


class CopyMethod(PasteMethod):
    """The attribute photo itself, bit by bit: its mask is empty."""

    name = "copy"
    fingerprint = name

    def _swapped(self, prepared: Tensor, x_attr: Tensor, landmarks: Tensor | None) -> AlignedSwap:
        return AlignedSwap(x_attr.detach().clone(), torch.zeros_like(x_attr[:, :1]))


def _masks(x_attr: Tensor, landmarks: Tensor | None) -> Tensor:
    size = x_attr.shape[-1]
    if landmarks is None:
        points = [landmarks_of_crop(crop) for crop in to_pixels(x_attr)]
    else:
        points = list(landmarks.cpu().numpy())
    return torch.stack([torch.from_numpy(soft_mask(face, size)) for face in points])[:, None]
