"""Several people of one photo, each with an identity of their own: who is whom, and who becomes whom.

Beside ``api`` on the road photo → detect → **choose** → align: ``faces.select`` picks faces for one identity,
this picks one face for each of several people. :func:`prepare_people` does once what does not depend on the
photo, :func:`find_people` looks for them in one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from stylegan_swap.errors import FaceSelectionError, UnsupportedOptionError
from stylegan_swap.faces.detection.detect import Face, detect_faces, face_at, largest_face, require_size
from stylegan_swap.faces.detection.landmarks import LandmarkBackend
from stylegan_swap.faces.detection.select import SAME_PERSON, Embed
from stylegan_swap.images.photo import Photo, PhotoSource, read_photo
from stylegan_swap.swapping.result import Person

Identity: TypeAlias = "Person | PhotoSource | Sequence[PhotoSource]"
Replacements: TypeAlias = "Mapping[Any, Identity] | Sequence[tuple[int | PhotoSource, Identity]]"

# Dearer than any sum of distances (descriptors lie about 1 apart): one more match is always worth it.
_NO_MATCH = 1000.0
_MISSING = ("error", "skip")


@dataclass(frozen=True, eq=False)
class Known:
    """Somebody to look for.

    Attributes:
        name: of the reference photo.
        descriptor: dlib's, float32 ``[128]``.
    """

    name: str
    descriptor: np.ndarray


@dataclass(frozen=True, eq=False)
class People:
    """Who becomes whom, ready for any number of photos. Made by ``Swapper.prepare_people``.

    Attributes:
        whom: the people to replace: known by a photo, or a face number from the left.
        identities: who each of them becomes.
        missing: ``"error"`` if somebody is not in a photo, or ``"skip"``.
        method: fingerprint of the method that prepared the identities.
    """

    whom: tuple[int | Known, ...]
    identities: tuple[Person, ...]
    missing: str
    method: str

    @property
    def names(self) -> tuple[str, ...]:
        """The photos the identities come from."""
        return tuple(dict.fromkeys(name for person in self.identities for name in person.names))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about those photos."""
        return tuple(dict.fromkeys(note for person in self.identities for note in person.notes))


def prepare_people(
    replacements: Replacements,
    missing: str,
    *,
    prepare: Callable[[Identity], Person],
    embed: Embed,
    landmarks: LandmarkBackend | str = "dlib",
) -> People:
    """Describe the people to look for and prepare the identities; see ``Swapper.prepare_people``.

    ``prepare`` makes a person of an identity, ``embed`` an identity descriptor ``[128]`` of photo and face.
    Of a photo of a person to replace, the largest face counts.

    Raises:
        UnsupportedOptionError: nobody is given, one face number twice, or ``missing`` is another word.
        NoFaceError: a photo shows no face.
    """
    pairs = list(replacements.items() if isinstance(replacements, Mapping) else replacements)
    if missing not in _MISSING:
        raise UnsupportedOptionError(f"missing must be 'error' or 'skip', got {missing!r}")
    if not pairs:
        raise UnsupportedOptionError("nobody to replace was given: give at least one pair of old and new")
    numbers = [int(reference) for reference, _ in pairs if isinstance(reference, int | np.integer)]
    for number in numbers:
        if numbers.count(number) > 1:
            raise UnsupportedOptionError(f"face {number} is to become two people: give it once")
    # All are read before the work on any, so that a wrong path is told at once.
    read = [
        int(reference) if isinstance(reference, int | np.integer) else read_photo(reference)
        for reference, _ in pairs
    ]
    identities = [_read(identity) for _, identity in pairs]
    references: list[int | Known] = []
    for reference in read:
        if isinstance(reference, Photo):
            face = largest_face(detect_faces(reference.pixels, name=reference.name, landmarks=landmarks))
            references.append(Known(reference.name, embed(reference, face)))
        else:
            references.append(reference)
    persons = tuple(prepare(identity) for identity in identities)
    if len({person.method for person in persons}) > 1:
        raise UnsupportedOptionError("the identities were prepared by different methods: prepare them again")
    return People(tuple(references), persons, missing, persons[0].method)


def require_method(person: Person | People, fingerprint: str) -> None:
    """Refuse who was prepared by another method or with other weights.

    Raises:
        UnsupportedOptionError: naming both.
    """
    if person.method != fingerprint:
        raise UnsupportedOptionError(
            f"the person was prepared by {person.method!r}, this is {fingerprint!r}: "
            "prepare it again with this swapper"
        )


def refined(who: Person | People, method: Any, steps: int, seed: int) -> Person | People:
    """The same with the method tuned to each identity; see ``Swapper.prepare``."""

    def tuned(person: Person) -> Person:
        return replace(person, prepared=method.refine(person.prepared, steps, seed))

    if isinstance(who, Person):
        return tuned(who)
    return replace(who, identities=tuple(tuned(person) for person in who.identities))


def find_people(
    people: People, photo: Photo, *, embed: Embed, landmarks: LandmarkBackend | str = "dlib"
) -> tuple[list[tuple[Face, Person]], list[Face], list[str]]:
    """The face of each of the people in a photo, everyone another, with who it becomes.

    ``embed``: photo and face → identity descriptor ``[128]``; ``landmarks``: landmark backend or its name.

    Returns:
        Faces from left to right, each with its new person; the other faces; one line about everyone who was
        not found.

    Raises:
        NoFaceError: the photo shows no face.
        FaceSelectionError: somebody was not found (with ``"skip"``: nobody was), or a number is out of range.
        FaceTooSmallError: a face meant is too small to swap.
    """
    faces = detect_faces(photo.pixels, name=photo.name, landmarks=landmarks, thorough=True)
    chosen: list[tuple[Face, Person]] = []
    used: set[int] = set()
    references: list[tuple[Known, Person]] = []
    for reference, identity in zip(people.whom, people.identities, strict=True):
        if isinstance(reference, Known):
            references.append((reference, identity))
        else:
            chosen.append((face_at(faces, reference, photo.name), identity))
            used.add(reference)
    free = [face for index, face in enumerate(faces) if index not in used]
    descriptors = [embed(photo, face) for face in free] if references else []
    distances = np.array(
        [
            [np.linalg.norm(reference.descriptor - descriptor) for descriptor in descriptors]
            for reference, _ in references
        ]
    )
    distances = distances.reshape(len(references), len(descriptors))
    matches = assign(distances)
    unmatched = [index for index in range(len(free)) if index not in matches]
    lines = []
    for row, (match, (reference, identity)) in enumerate(zip(matches, references, strict=True)):
        if match is not None:
            chosen.append((free[match], identity))
        else:
            lines.append(f"{reference.name} ({_nearest(distances[row, unmatched])})")
    if lines and (people.missing == "error" or not chosen):
        raise FaceSelectionError(
            f"{photo.name}: not found among {len(faces)} face{'s' if len(faces) != 1 else ''}: "
            f"{'; '.join(lines)}; the limit is {SAME_PERSON}: use another reference photo or a face number, "
            "or skip who is missing"
        )
    bystanders = [face for face in faces if all(face is not one for one, _ in chosen)]
    for face, _ in chosen:
        require_size(face, photo.name)
    chosen.sort(key=lambda pair: float(pair[0].box[0] + pair[0].box[2]))
    return chosen, bystanders, [f"{photo.name}: not found and skipped: {line}" for line in lines]


def assign(distances: np.ndarray, limit: float = SAME_PERSON) -> list[int | None]:
    """Match people and faces: as many as lie within the limit, then the smallest sum of distances.

    ``distances``: ``[people, faces]``; ``limit``: what lies above is no match. Returns the face of each
    person, each face at most once, or None.
    """
    # A third of a second, for photos with several people alone.
    from scipy.optimize import linear_sum_assignment

    matches: list[int | None] = [None] * len(distances)
    costs = np.where(distances <= limit, distances, _NO_MATCH)
    for person, face in zip(*linear_sum_assignment(costs), strict=True):
        if distances[person, face] <= limit:
            matches[int(person)] = int(face)
    return matches


def _read(identity: Identity) -> Identity:
    if isinstance(identity, Person):
        return identity
    if isinstance(identity, list | tuple):
        return [read_photo(source) for source in identity]
    return read_photo(identity)  # type: ignore[arg-type]


def _nearest(distances: np.ndarray) -> str:
    if distances.size == 0:
        return "every face is somebody else's"
    return f"closest distance {distances.min():.2f}"
