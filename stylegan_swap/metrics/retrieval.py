"""Retrieval: whether a search among many people finds the identity person in the result.

Protocol: the retrieval of MegaFS (Zhu et al., CVPR 2021) and its followers with one enrolled photograph per
person. Defined in ``docs/evaluation/identity.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from stylegan_swap.metrics.identity import Recogniser
from stylegan_swap.metrics.sample import Column, Sample, View

COLUMNS: tuple[Column, ...] = (
    Column("top1", "higher", 0.0, floor=1.0),
    Column("top5", "higher", 0.0, floor=1.0),
    Column("verified", "higher", 0.0, floor=1.0),
    Column("top1_is_attribute", "lower", 1.0, floor=0.0),
)


class Gallery:
    """Photographs of enrolled people to search in.

    For every search each person is represented by *one* photo: the first that is neither the identity nor
    the attribute photo of the sample, where there is one, else the first. So a result is not recognised by
    what it took over from one photograph, and nobody is favoured for having many.

    Args:
        photos: views with ``person`` and ``name`` set; all photos of everyone, in the order of preference.
        recogniser: who compares them.

    Raises:
        ValueError: no photos, or one without a person, a name of its own, or a face.
    """

    def __init__(self, photos: Iterable[View], recogniser: Recogniser) -> None:
        self.recogniser = recogniser
        self._photos: dict[str, list[View]] = {}
        names: set[str] = set()
        for photo in photos:
            if not photo.person or not photo.name or photo.name in names:
                raise ValueError(
                    f"enrolled photo {photo.name!r} of {photo.person!r}: give every photo a person and "
                    "a name of its own"
                )
            if photo.landmarks is None:
                raise ValueError(f"{photo.name}: no face was found; leave this photo out of the gallery")
            names.add(photo.name)
            self._photos.setdefault(photo.person, []).append(photo)
        if not self._photos:
            raise ValueError("the gallery is empty: enrol at least one photo of every identity person")

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody enrolled, in the order of their first photo."""
        return tuple(self._photos)

    def enrolled(self, person: str, sample: Sample) -> View:
        """The photo that stands for a person when this sample is searched.

        Raises:
            ValueError: nobody of that name is enrolled.
        """
        if person not in self._photos:
            raise ValueError(
                f"{person!r} is not in the gallery of {len(self._photos)} people: enrol a photo of every "
                "identity person, and set View.person"
            )
        used = {sample.identity.name, sample.attribute.name}
        photos = self._photos[person]
        return next((photo for photo in photos if photo.name not in used), photos[0])

    def distances(self, sample: Sample) -> dict[str, float]:
        """Person → distance of the result to their enrolled photo."""
        result = self.recogniser.embed(sample.result)
        return {
            person: self.recogniser.distance(result, self.recogniser.embed(self.enrolled(person, sample)))
            for person in self._photos
        }


def retrieval(
    samples: Sequence[Sample], gallery: Gallery, threshold: float | None = None
) -> dict[str, float]:
    """Search the results in the gallery; every rate is a share of *all* samples.

    - ``top1``, ``top5``: the identity person is the nearest, or among the five nearest; a tie counts against.
    - ``verified``: the distance to their enrolled photo is below the threshold.
    - ``top1_is_attribute``: the nearest is the attribute person: how often the swap failed altogether.

    A result without a face is wrong in the first three and counts as not swapped in the fourth.

    Args:
        samples: the swaps, ``identity.person`` set.
        gallery: must hold every identity person.
        threshold: of ``verified``; the recogniser's own (0.6 for dlib) unless given. Without either,
            ``verified`` is NaN.

    Raises:
        ValueError: no samples, or an identity person who is not enrolled.
    """
    if not samples:
        raise ValueError("retrieval needs at least one sample")
    limit = gallery.recogniser.same_person if threshold is None else threshold
    rows = [_hits(sample, gallery, limit) for sample in samples]
    means = np.mean(np.array(rows, np.float64), axis=0)
    return {column.name: float(mean) for column, mean in zip(COLUMNS, means, strict=True)}


def _hits(sample: Sample, gallery: Gallery, limit: float | None) -> tuple[float, float, float, float]:
    """The four answers for one sample as 0 or 1 (NaN for a verification without threshold)."""
    person = sample.identity.person
    gallery.enrolled(person, sample)
    if sample.missed:
        return (0.0, 0.0, np.nan if limit is None else 0.0, 1.0)
    distances = gallery.distances(sample)
    to_identity = distances.pop(person)
    nearer = sum(distance <= to_identity for distance in distances.values())
    verified = np.nan if limit is None else float(to_identity < limit)
    to_attribute = distances.get(sample.attribute.person, np.inf)
    is_attribute = to_attribute <= to_identity and to_attribute <= min(distances.values(), default=np.inf)
    return (float(nearer == 0), float(nearer < 5), verified, float(is_attribute))
