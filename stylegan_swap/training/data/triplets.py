"""The training data of the swap: identity, attribute and, where there is one, target. ``SwapDraws``.

Three kinds of items. *Reverse triplet*: the attribute is a photo whose face was morphed into somebody else,
the identity another view of its person, the target the photo itself. *Same person*: identity and attribute
are of one person, the target is the attribute. *Cross pair*: two people and no photo to aim at; where their
poses are alike the attribute morphed into the identity is a rough answer that a swap has to better.
After Yu et al., Migrating Face Swap to Mobile Devices (MobileFSGAN, 2023), whose triplets run the other way.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylegan_swap.faces.geometry.align import transformed
from stylegan_swap.faces.masks.glasses import frame_mask, readable_face
from stylegan_swap.faces.masks.mask import hull_mask
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.training.data.augment import draw_photometric, draw_similarity
from stylegan_swap.training.data.crop_cache import CropCache
from stylegan_swap.training.data.draws import ENDLESS
from stylegan_swap.training.data.head_turn import Expressions, another_view, mirrored
from stylegan_swap.training.data.likeness import Likeness
from stylegan_swap.training.data.morph import Portrait, morphed
from stylegan_swap.training.data.occluders import Occluder, draw_occluder
from stylegan_swap.training.data.pairs import CROSS, REVERSE, Pair, Pairs
from stylegan_swap.training.data.photos import Photos

# Yaw and pitch in degrees by which two people may differ for one to be morphed into the other.
ALIKE = np.array([15.0, 10.0])
# No view is turned farther than this, in degrees from the front: the far cheek would fold over.
MOST_YAW, MOST_PITCH = 22.0, 15.0


@dataclass(frozen=True)
class DrawOptions:
    """What the items are like.

    Attributes:
        shares: of reverse triplets, same person and cross pairs.
        sharp_share: share of the draws that goes to sharp photos.
        occluded: share of the items with something drawn in front of the face.
        covered_identity: share of the identity views with something in front of the face, which the swap
            must not take along.
        degraded: share of the items whose attribute and target are blurred, noisy or compressed.
        light: strength of the change of light and colour on attribute and target, see ``augment``.
        yaw: largest turn of an identity view, degrees.
        pitch: largest nod of an identity view, degrees.
        imitation: how far the answer of a cross pair that is a morph is trusted, 0 to 1; 0: there is none.
        holed: share of the identity photos of which some place may not be used, as where glasses are worn.
        weakest_morph: the least strength of shape and texture in a reverse triplet, 0 to 1.
    """

    shares: tuple[float, float, float] = (0.45, 0.15, 0.40)
    sharp_share: float = 0.25
    occluded: float = 0.25
    covered_identity: float = 0.1
    degraded: float = 0.45
    light: float = 0.4
    yaw: float = 25.0
    pitch: float = 12.0
    holed: float = 0.15
    weakest_morph: float = 0.4
    imitation: float = 0.5


class SwapDraws(Dataset):
    """An endless stream of swaps to learn from; item i depends on (seed, i) alone.

    Items, ``S`` being the size; images in [-1, 1], landmarks in pixels:

    - ``identity`` ``[3, S, S]`` and ``identity_landmarks`` ``[68, 2]``: who; never aligned with the target
      pixel by pixel. ``identity_usable`` ``[1, S, S]`` in 0..1: what of it is no glasses.
    - ``attribute`` ``[3, S, S]`` and ``attribute_landmarks`` ``[68, 2]``: everything else.
    - ``target`` ``[3, S, S]`` and ``target_landmarks`` ``[68, 2]``: the real photo; for cross pairs the
      attribute morphed into the identity, or else the attribute. ``has_target``: it is a photo (bool);
      ``trust``: how far it is the answer, 1 a photo, less a morph, 0 not at all (float).
    - ``mask`` ``[1, S, S]`` in 0..1: the attribute's face without what is in front of it, the frames of its
      glasses included.
    - ``identity_photo``, ``attribute_photo``: long, numbers of the clean photos.
    - ``kind``: long, 0 reverse triplet, 1 same person, 2 cross pair.

    Args:
        photos: the training set.
        size: side of the images.
        seed: of all draws.
        options: what the items are like.
    """

    def __init__(self, photos: Photos, size: int, seed: int = 0, options: DrawOptions | None = None) -> None:
        self.options = options or DrawOptions()
        self.photos = photos
        self.size = size
        self.seed = seed
        self.crops = CropCache(photos, size)
        self.pairs = Pairs(photos, self.options.shares, self.options.sharp_share)
        self.likeness = Likeness(photos)
        self.expressions = Expressions(photos)

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Make an item."""
        rng = np.random.default_rng([self.seed, index])
        pair = self.pairs.draw(rng)
        target = self._portrait(pair.attribute)
        attribute = self._morphed(pair.attribute, target, rng) if pair.kind == REVERSE else target
        trust = float(pair.kind != CROSS)
        if self._alike(pair):
            trust = self.options.imitation
            target = morphed(target, [self._portrait(pair.identity)], np.ones(1), shape=1.0, texture=1.0)
        if rng.random() < 0.5:
            same = attribute is target
            target = mirrored(target)
            attribute = target if same else mirrored(attribute)
        attribute, target = self._reframed([attribute, target], rng)
        occluder = None
        if rng.random() < self.options.occluded:
            glasses = not self.photos.wears_glasses(pair.attribute)
            occluder = draw_occluder(target.landmarks, target.image, rng, glasses=glasses)
        change = draw_photometric(
            rng, size=self.size, strength=self.options.light, degraded=self.options.degraded
        )
        finished = []
        for face in (attribute,) if attribute is target else (attribute, target):
            finished.append(change.apply(face.image if occluder is None else occluder.over(face.image)))
        identity = self._identity_view(pair, rng)
        return {
            "identity": _tensor(identity.image),
            "identity_landmarks": torch.from_numpy(identity.landmarks.astype(np.float32)),
            "identity_usable": torch.from_numpy(self._usable(pair.identity, identity, rng))[None],
            "attribute": _tensor(finished[0]),
            "attribute_landmarks": torch.from_numpy(attribute.landmarks),
            "target": _tensor(finished[-1]),
            "target_landmarks": torch.from_numpy(target.landmarks),
            "has_target": torch.tensor(pair.kind != CROSS),
            "trust": torch.tensor(trust),
            "mask": torch.from_numpy(self._mask(pair.attribute, attribute, occluder))[None],
            "identity_photo": torch.tensor(pair.identity),
            "attribute_photo": torch.tensor(pair.attribute),
            "kind": torch.tensor(pair.kind),
        }

    def _alike(self, pair: Pair) -> bool:
        """Whether a morph of the attribute into the identity is an answer to a cross pair."""
        if pair.kind != CROSS or not self.options.imitation:
            return False
        likeness = self.likeness
        if pair.identity not in likeness.suited or self.photos.wears_glasses(pair.attribute):
            return False
        difference = np.abs(likeness.pose[pair.identity] - likeness.pose[pair.attribute])
        return bool((difference <= ALIKE).all())

    def _portrait(self, number: int) -> Portrait:
        return Portrait(self.crops.image(number).astype(np.float32), self.crops.landmarks(number))

    def _morphed(self, number: int, face: Portrait, rng: np.random.Generator) -> Portrait:
        """The photo as somebody else; mostly clearly so."""
        count = int(rng.choice([1, 2, 3], p=[0.65, 0.25, 0.1]))
        partners = self.likeness.partners(number, count, rng)
        weights = rng.dirichlet(np.full(len(partners), 2.0))
        weakest = self.options.weakest_morph
        shape, texture = 1 - (1 - weakest) * rng.random(2) ** 3
        return morphed(
            face,
            [self._portrait(partner) for partner in partners],
            weights,
            shape=float(shape),
            texture=float(texture),
        )

    def _reframed(self, faces: list[Portrait], rng: np.random.Generator) -> list[Portrait]:
        """Detectors place the crop a little differently each time; some items do too, all faces alike."""
        matrix = draw_similarity(rng, self.size, 3.0, 0.025)
        if rng.random() >= 0.35:
            return faces
        first = _moved_by(faces[0], matrix)
        return [first, first if faces[1] is faces[0] else _moved_by(faces[1], matrix)]

    def _identity_view(self, pair: Pair, rng: np.random.Generator) -> Portrait:
        """The person from elsewhere, in other light."""
        face = self._portrait(pair.identity)
        pose = self.likeness.pose[pair.identity]
        if rng.random() < 0.5:
            face, pose = mirrored(face), pose * np.array([-1.0, 1.0])
        options = self.options
        turn = np.array([options.yaw, options.pitch]) * rng.uniform(-1, 1, 2)
        limits = np.array([MOST_YAW, MOST_PITCH])
        # A photo that is far from the front already is turned back, not farther.
        turn = np.clip(turn, np.minimum(-limits - pose, 0), np.maximum(limits - pose, 0))
        expression = self.expressions.draw(face.landmarks, rng)
        face = another_view(
            face,
            yaw=float(turn[0]),
            pitch=float(turn[1]),
            expression=expression if rng.random() < 0.6 else None,
            frame=draw_similarity(rng, self.size, 5.0, 0.05),
        )
        image = face.image
        if rng.random() < options.covered_identity:
            glasses = not self.photos.wears_glasses(pair.identity)
            image = draw_occluder(face.landmarks, image, rng, glasses=glasses).over(image)
        change = draw_photometric(rng, size=self.size, strength=1.0, degraded=0.5)
        return Portrait(change.apply(image), face.landmarks)

    def _usable(self, number: int, view: Portrait, rng: np.random.Generator) -> np.ndarray:
        usable = readable_face(view.image, view.landmarks, self.photos.wears_glasses(number))
        if rng.random() < self.options.holed:
            centre = view.landmarks[int(rng.integers(17, 68))] + rng.normal(0, 0.05 * self.size, 2)
            axes = rng.uniform(0.05, 0.2, 2) * self.size
            shape = (*map(float, centre),), (*map(float, 2 * axes),), float(rng.uniform(0, 180))
            cv2.ellipse(usable, shape, 0.0, -1)
        return usable

    def _mask(self, number: int, face: Portrait, occluder: Occluder | None) -> np.ndarray:
        mask = hull_mask(face.landmarks, self.size)
        if self.photos.wears_glasses(number):
            mask = mask * (1 - frame_mask(face.image, face.landmarks))
        return mask if occluder is None else (mask * (1 - occluder.hides)).astype(np.float32)


def _moved_by(face: Portrait, matrix: np.ndarray) -> Portrait:
    size = face.image.shape[0]
    image = cv2.warpAffine(
        face.image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return Portrait(np.clip(image, 0, 255), transformed(face.landmarks, matrix).astype(np.float32))


def _tensor(image: np.ndarray) -> Tensor:
    return from_pixels(image)[0]
