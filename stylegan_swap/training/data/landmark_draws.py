"""The training data of LandmarkNet: faces in every pose and light, with their points. ``LandmarkDraws``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.training.data.augment import draw_photometric, draw_similarity
from stylegan_swap.training.data.crop_cache import CropCache
from stylegan_swap.training.data.draws import ENDLESS
from stylegan_swap.training.data.head_turn import Expressions, another_view, mirrored
from stylegan_swap.training.data.likeness import Likeness
from stylegan_swap.training.data.morph import Portrait, morphed
from stylegan_swap.training.data.occluders import draw_occluder
from stylegan_swap.training.data.photos import Photos

# Results of a swap are seldom farther from the aligned frame.
DEGREES, SHARE = 12.0, 0.10
# Largest turn, and how far from the front a face may end: beyond that a photo has no pixels to show.
TURN = np.array([30.0, 15.0])


class LandmarkDraws(Dataset):
    """An endless stream of faces; item i depends on (seed, i) alone.

    Items: ``image`` ``[3, S, S]`` in [-1, 1] and ``landmarks`` ``[68, 2]`` in its pixels. Half of the faces
    are turned or pull another face, a third are morphed into somebody else, a fifth have something in front.

    Args:
        photos: the training set.
        size: side of the images.
        seed: of all draws.
    """

    def __init__(self, photos: Photos, size: int, seed: int = 0) -> None:
        self.photos = photos
        self.size = size
        self.seed = seed
        self.crops = CropCache(photos, size)
        self.likeness = Likeness(photos)
        self.expressions = Expressions(photos)

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Make an item."""
        rng = np.random.default_rng([self.seed, index])
        number = int(rng.integers(len(self.photos)))
        face = self._portrait(number)
        if rng.random() < 0.33:
            partner = self.likeness.partners(number, 1, rng)[0]
            strengths = rng.random(2)
            face = morphed(
                face,
                [self._portrait(partner)],
                np.ones(1),
                shape=float(strengths[0]),
                texture=float(strengths[1]),
            )
        pose = self.likeness.pose[number]
        if rng.random() < 0.5:
            face, pose = mirrored(face), pose * np.array([-1.0, 1.0])
        expression = self.expressions.draw(face.landmarks, rng)
        turn = TURN * rng.uniform(-1, 1, 2) * (rng.random() < 0.5)
        # A photo that is far from the front already is turned back, not farther.
        turn = np.clip(turn, np.minimum(-TURN - pose, 0), np.maximum(TURN - pose, 0))
        face = another_view(
            face,
            yaw=float(turn[0]),
            pitch=float(turn[1]),
            expression=expression if rng.random() < 0.5 else None,
            frame=draw_similarity(rng, self.size, DEGREES, SHARE),
        )
        image = face.image
        if rng.random() < 0.2:
            image = draw_occluder(face.landmarks, image, rng, glasses=True).over(image)
        change = draw_photometric(rng, size=self.size, strength=1.0, degraded=0.5)
        return {
            "image": from_pixels(change.apply(image))[0],
            "landmarks": torch.from_numpy(np.asarray(face.landmarks, np.float32)),
        }

    def _portrait(self, number: int) -> Portrait:
        return Portrait(self.crops.image(number).astype(np.float32), self.crops.landmarks(number))
