"""Check with an answer: a photo morphed into somebody else is swapped back to its own person.

The target is the real photo, so PSNR inside the face tells how much of the person a method restores. The
identity is never the photo itself: another photo of the person, or, of people with one photo, the mirrored
photo with the head turned and another expression; in another light in either case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from aligned_swap import contact_sheet, pasted, photo_view, prepared
from findings import Finding, of_interval

from stylegan_swap.faces.masks.mask import hull_mask
from stylegan_swap.methods.base.protocol import Method
from stylegan_swap.metrics.background import masked_psnr
from stylegan_swap.metrics.intervals import bootstrap_over_people
from stylegan_swap.metrics.sample import View
from stylegan_swap.training.data.augment import draw_photometric, draw_similarity
from stylegan_swap.training.data.head_turn import Expressions, another_view, mirrored
from stylegan_swap.training.data.likeness import Likeness
from stylegan_swap.training.data.morph import Portrait, morphed
from stylegan_swap.training.data.photos import Photos
from stylegan_swap.training.data.triplets import MOST_PITCH, MOST_YAW

CHECK = "reverse triplets: PSNR inside the face against the real photo"
WEAKEST_MORPH = 0.7
# Degrees: no view is nearer to the photo than the first, none is turned by more than the second.
LEAST_TURN, LARGEST_TURN, LARGEST_NOD = 8.0, 20.0, 10.0
GAIN = 3.0
SHOWN = 24


@dataclass(frozen=True, eq=False)
class Triplet:
    """A question with its answer.

    Attributes:
        identity: who.
        attribute: the morphed photo.
        target: the real photo, aligned with the attribute.
        inside: bool ``[S, S]``, hull of the attribute's landmarks.
        second_photo: whether the identity is a photo of its own.
    """

    identity: View
    attribute: View
    target: View
    inside: np.ndarray
    second_photo: bool


def draw_triplets(
    photos: Photos, size: int, seed: int = 0, repeats: int = 2, light: float = 1.0
) -> list[Triplet]:
    """Every photo in colour and without glasses (a morph tears frames), ``repeats`` times.

    Args:
        photos: people of one split.
        size: side of the crops.
        seed: of all draws.
        repeats: triplets of each photo.
        light: how much the identity's light and colours differ from the photo's: 0 not at all, 1 as much as
            in training.
    """
    likeness, expressions = Likeness(photos), Expressions(photos)
    people = photos.people()
    triplets = []
    for repeat in range(repeats):
        for number in map(int, likeness.suited):
            rng = np.random.default_rng([seed, repeat, number])
            partner = likeness.partners(number, 1, rng)
            shape, texture = rng.uniform(WEAKEST_MORPH, 1, 2)
            morph = morphed(
                _portrait(photos, number, size),
                [_portrait(photos, partner[0], size)],
                np.ones(1),
                shape=float(shape),
                texture=float(texture),
            )
            person = photos.person(number)
            siblings = [photo for photo in people[person] if photo != number]
            source = int(rng.choice(siblings)) if siblings else number
            face = _portrait(photos, source, size)
            if not siblings:
                face = _turned(face, likeness.pose[number], expressions, size, rng)
            change = draw_photometric(rng, size=size, strength=light, degraded=0.0)
            triplets.append(
                Triplet(
                    _view(change.apply(face.image), face.landmarks, photos.name(source), person),
                    _view(morph.image, morph.landmarks, photos.name(number), photos.person(partner[0])),
                    photo_view(photos, number, size),
                    hull_mask(morph.landmarks, size) > 0.5,
                    bool(siblings),
                )
            )
    return triplets


def check_triplets(
    method: Method, baseline: Method | None, triplets: Sequence[Triplet]
) -> tuple[list[Finding], np.ndarray]:
    """Swap every triplet back with the method and with a baseline (``warp``; None: no comparison).

    Returns:
        The findings, and a sheet of identity, attribute, results and target.
    """
    systems = {method.name: method} | ({} if baseline is None else {baseline.name: baseline})
    psnr: dict[str, list[float]] = {"input": [], **{name: [] for name in systems}}
    rows: list[list[np.ndarray]] = []
    for triplet in triplets:
        results = [triplet.attribute.pixels]
        for system in systems.values():
            results.append(pasted(system, prepared(system, triplet.identity), triplet.attribute)[0])
        for values, result in zip(psnr.values(), results, strict=True):
            values.append(masked_psnr(triplet.target.pixels, result, triplet.inside))
        if len(rows) < SHOWN:
            rows.append([triplet.identity.pixels, *results, triplet.target.pixels])
    people = [triplet.target.person for triplet in triplets]
    table = {name: np.array(values) for name, values in psnr.items()}
    findings = [Finding(CHECK, "triplets", len(triplets), note=f"of {len(set(people))} people")]
    for name, column in table.items():
        label = "input (the morphed photo)" if name == "input" else name
        findings.append(Finding(CHECK, f"{label}: mean", float(column.mean()), "dB"))
        findings.append(Finding(CHECK, f"{label}: median", float(np.median(column)), "dB"))
    gain = bootstrap_over_people(table[method.name] - table["input"], people)
    findings.append(of_interval(CHECK, f"{method.name} − input", gain, "dB", (">=", GAIN)))
    differences = {"input": table[method.name] - table["input"]}
    if baseline is not None:
        differences[baseline.name] = table[method.name] - table[baseline.name]
        difference_interval = bootstrap_over_people(differences[baseline.name], people)
        findings.append(
            of_interval(CHECK, f"{method.name} − {baseline.name}", difference_interval, "dB", (">", 0.0)),
        )
    second = np.array([triplet.second_photo for triplet in triplets])
    for label, chosen in (("second photo", second), ("turned view", ~second)):
        for reference, difference in differences.items() if chosen.any() else ():
            label_text = f"{method.name} − {reference}, identity a {label}"
            findings.append(
                Finding(
                    CHECK, label_text, float(difference[chosen].mean()), "dB", note=f"{chosen.sum()} triplets"
                )
            )
    return findings, contact_sheet(rows)


def _portrait(photos: Photos, number: int, size: int) -> Portrait:
    return Portrait(photos.resized(number, size).astype(np.float32), photos.landmarks(number, size))


def _turned(
    face: Portrait, pose: np.ndarray, expressions: Expressions, size: int, rng: np.random.Generator
) -> Portrait:
    """The only photo of a person as another one: mirrored, turned away from where it looks."""
    yaw, pitch = pose * np.array([-1.0, 1.0])
    side = -np.sign(yaw) if abs(yaw) > LEAST_TURN else rng.choice([-1.0, 1.0])
    turn = side * rng.uniform(LEAST_TURN, LARGEST_TURN)
    nod = rng.uniform(-LARGEST_NOD, LARGEST_NOD)
    face = mirrored(face)
    return another_view(
        face,
        yaw=float(np.clip(turn, min(-MOST_YAW - yaw, 0), max(MOST_YAW - yaw, 0))),
        pitch=float(np.clip(nod, min(-MOST_PITCH - pitch, 0), max(MOST_PITCH - pitch, 0))),
        expression=expressions.draw(face.landmarks, rng),
        frame=draw_similarity(rng, size, 5.0, 0.05),
    )


def _view(image: np.ndarray, landmarks: np.ndarray, name: str, person: str) -> View:
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return View(pixels, np.asarray(landmarks, np.float32), name, person)
