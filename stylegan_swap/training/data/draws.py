"""Single faces for the stages that learn to generate or to invert: ``FaceDraws``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.training.data.crop_cache import CropCache
from stylegan_swap.training.data.head_turn import mirrored
from stylegan_swap.training.data.morph import Portrait
from stylegan_swap.training.data.pairs import photo_weights
from stylegan_swap.training.data.photos import Photos

ENDLESS = 2**40


class FaceDraws(Dataset):
    """An endless stream of photos; item i depends on (seed, i) alone.

    Items: ``image`` float32 ``[3, S, S]`` in [-1, 1], ``landmarks`` float32 ``[68, 2]`` in its pixels,
    ``photo`` long, the number of the photo.

    Args:
        photos: the training set.
        size: side of the images.
        seed: of all draws.
        flip: mirror every second image.
        sharp_share: share of the draws that goes to sharp photos, see ``pairs.photo_weights``.
    """

    def __init__(
        self, photos: Photos, size: int, seed: int = 0, *, flip: bool = True, sharp_share: float = 0.0
    ) -> None:
        self.crops = CropCache(photos, size)
        self.seed = seed
        self.flip = flip
        self.cumulative = np.cumsum(photo_weights(photos, sharp_share))

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Make an item."""
        at, mirror = np.random.default_rng([self.seed, index]).random(2)
        position = np.searchsorted(self.cumulative, at * self.cumulative[-1], side="right")
        number = min(int(position), len(self.cumulative) - 1)
        face = Portrait(self.crops.image(number), self.crops.landmarks(number))
        if self.flip and mirror < 0.5:
            face = mirrored(face)
        return {
            "image": from_pixels(face.image)[0],
            "landmarks": torch.from_numpy(face.landmarks),
            "photo": torch.tensor(number),
        }
