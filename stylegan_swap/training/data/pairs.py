"""Who meets whom: kind of item, photos of identity and attribute, drawn from (seed, index) alone.

Used by ``triplets``. Nothing is stored between items, so any process can make any item at any time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stylegan_swap.training.data.photos import Photos

REVERSE, SAME, CROSS = 0, 1, 2
# From this side on (of the FFHQ crop in the original photo) a photo counts as sharp.
SHARP_SIDE = 400.0


@dataclass(frozen=True)
class Pair:
    """Numbers of two photos and what is to be made of them.

    Attributes:
        kind: ``REVERSE``, ``SAME`` or ``CROSS``.
        identity: the photo that shows who.
        attribute: the photo that shows everything else; for the first two kinds it is also the target
            and of the same person. In a reverse triplet it shows nobody with glasses, as far as the photos
            allow: a morph tears their frames, and the swap would learn to take glasses from the identity.
    """

    kind: int
    identity: int
    attribute: int


class Pairs:
    """Draws pairs of photos.

    Args:
        photos: the training set.
        shares: of reverse triplets, same person and cross pairs.
        sharp_share: share of the draws that goes to sharp photos, if there are any and they have less.

    Raises:
        ValueError: cross pairs or triplets are wanted of a single person.
    """

    def __init__(self, photos: Photos, shares: tuple[float, float, float], sharp_share: float) -> None:
        self.people = photos.people()
        if len(self.people) < 2 and (shares[0] > 0 or shares[2] > 0):
            raise ValueError("triplets and cross pairs need photographs of at least two people")
        self.photos = photos
        self.shares = np.cumsum(np.asarray(shares, np.float64) / sum(shares))
        self.cumulative = np.cumsum(photo_weights(photos, sharp_share))

    def draw(self, rng: np.random.Generator) -> Pair:
        """One pair; takes the same count of random numbers whatever its kind."""
        kind_at, first_at, other_at = rng.random(3)
        uniforms = rng.random(64)
        kind = int(np.searchsorted(self.shares, kind_at, side="right"))
        attribute = self._photo(first_at)
        if kind == CROSS:
            person = self.photos.person(attribute)
            candidates = (self._photo(at) for at in uniforms)
            identity = next(
                (candidate for candidate in candidates if self.photos.person(candidate) != person), None
            )
            return Pair(kind, self._anyone_but(person) if identity is None else identity, attribute)
        if kind == REVERSE and self.photos.wears_glasses(attribute):
            bare = (self._photo(at) for at in uniforms)
            attribute = next((photo for photo in bare if not self.photos.wears_glasses(photo)), attribute)
        same_person = self.people[self.photos.person(attribute)]
        others_of_person = [number for number in same_person if number != attribute]
        if not others_of_person:
            return Pair(kind, attribute, attribute)
        return Pair(kind, others_of_person[int(other_at * len(others_of_person))], attribute)

    def _photo(self, at: float) -> int:
        index = np.searchsorted(self.cumulative, at * self.cumulative[-1], side="right")
        return min(int(index), len(self.photos) - 1)

    def _anyone_but(self, person: str) -> int:
        """One person has nearly all the weight; 64 draws in a row found nobody else."""
        return next(numbers[0] for name, numbers in self.people.items() if name != person)


def photo_weights(photos: Photos, sharp_share: float) -> np.ndarray:
    """How often each photo is drawn: people alike, sharp photos up to their share; adds up to 1."""
    weights = np.zeros(len(photos))
    for numbers in photos.people().values():
        weights[numbers] = 1 / len(numbers)
    weights /= weights.sum()
    sharp = np.array([photos.sharp_side(number) >= SHARP_SIDE for number in range(len(photos))])
    has = float(weights[sharp].sum())
    if 0 < has < min(sharp_share, 1.0):
        weights[sharp] *= sharp_share / has
        weights[~sharp] *= (1 - sharp_share) / (1 - has)
    return weights
