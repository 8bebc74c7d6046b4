"""Which people can stand in for each other in a morph: those with about the same pose and expression.

Used by ``triplets``. Every photo is measured once; partners are the nearest of a few random candidates.
"""

from __future__ import annotations

import numpy as np

from stylegan_swap.faces.geometry.head_pose import head_pose
from stylegan_swap.faces.masks.mask import eye_masks, feathered, hull_mask, inner_mouth_mask
from stylegan_swap.faces.pixels.colour import is_gray
from stylegan_swap.metrics.expression import SPREAD, expression_features
from stylegan_swap.training.data.photos import Photos

# Random people looked at for each partner wanted: few keep the partners various, many make them alike.
CANDIDATES = 12
_MEASURED_SIDE = 64
# What makes a difference of 1: degrees of yaw and pitch, and grey levels of the skin.
_YAW, _PITCH, _TONE = 5.0, 7.0, 35.0


class Likeness:
    """Pose, expression and skin tone of every photo.

    Args:
        photos: the training set.
    """

    def __init__(self, photos: Photos) -> None:
        self.photos = photos
        self.people = np.unique(
            [photos.person(number) for number in range(len(photos))], return_inverse=True
        )[1]
        self.features = np.array([_features(photos, number) for number in range(len(photos))])
        # Yaw and pitch in degrees, float64 [photos, 2].
        self.pose = self.features[:, :2] * np.array([_YAW, _PITCH])
        # Frames of glasses would be torn by a morph, and black-and-white skin has no colour to give.
        self.suited = np.flatnonzero(
            [
                not photos.wears_glasses(number) and not is_gray(photos.resized(number, _MEASURED_SIDE))
                for number in range(len(photos))
            ]
        )

    def partners(self, number: int, count: int, rng: np.random.Generator) -> list[int]:
        """Photos of other people without glasses, in colour, alike in pose, expression and tone.

        Args:
            number: the photo to be morphed.
            count: how many partners; fewer come back when there are not enough other people.
            rng: source of the candidates.
        """
        pool = self.suited if len(self.suited) > count else np.arange(len(self.photos))
        chosen = self._nearest(number, count, rng.choice(pool, size=CANDIDATES * count))
        # In a small set the dice may show nobody else at all.
        return chosen or self._nearest(number, count, np.arange(len(self.photos)))

    def _nearest(self, number: int, count: int, candidates: np.ndarray) -> list[int]:
        """The most alike of the candidates, one photo of each person and none of the photo's own."""
        distance = np.square(self.features[candidates] - self.features[number]).sum(-1)
        chosen: list[int] = []
        people = {self.people[number]}
        for candidate in candidates[np.argsort(distance, kind="stable")]:
            if self.people[candidate] not in people and len(chosen) < count:
                chosen.append(int(candidate))
                people.add(self.people[candidate])
        return chosen


def _features(photos: Photos, number: int) -> np.ndarray:
    landmarks = photos.landmarks(number)
    pose = head_pose(landmarks)
    expression = expression_features(landmarks) / SPREAD
    # Eyes and the opening of the mouth matter most; brows and the width of the mouth are the person's.
    expression *= np.array([0.35, 0.35, 0.4, 0.35, 0.2, 0.6, 0.2, 0.2, 0.2])
    small, points = photos.resized(number, _MEASURED_SIDE), photos.landmarks(number, _MEASURED_SIDE)
    skin = feathered(hull_mask(points, _MEASURED_SIDE, 0.0), 0.1 * _MEASURED_SIDE)
    skin *= eye_masks(points, _MEASURED_SIDE, 0.03) < 0.1
    skin *= inner_mouth_mask(points, _MEASURED_SIDE, 0.05) < 0.1
    tone = (small * skin[..., None]).sum((0, 1)) / max(float(skin.sum()), 1.0)
    return np.array([pose.yaw / _YAW, pose.pitch / _PITCH, *expression, *tone / (_TONE * np.sqrt(3))])
