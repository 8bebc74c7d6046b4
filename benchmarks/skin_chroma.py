"""Check of skin colour: no further off than photos of people differ, and no more colourful within the face.

Mean and spread of a and b of Lab on the skin, as ``ChromaMatch`` measures them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from findings import Finding, of_interval

from stylegan_swap.metrics.colour import SCALE, chroma_statistics, skin_pixels
from stylegan_swap.metrics.intervals import bootstrap_over_people
from stylegan_swap.metrics.sample import Sample

CHECK = "skin: chroma of the results against the attribute photos"
WITHIN = 1.5
# Skin of less chroma is a black-and-white photo, which would lengthen the ruler between people.
LEAST_CHROMA = 3.0


def check_chroma(samples: Sequence[Sample]) -> list[Finding]:
    """Compare the skins of results and attribute photos.

    Args:
        samples: swaps of aligned views, different people among the attribute photos.
    """
    identity_chroma, result_chroma, spread_before, spread_after = [], [], [], []
    for sample in samples:
        skin = skin_pixels(sample)
        mean, spread = chroma_statistics(sample.attribute.crop(SCALE), skin)
        identity_chroma.append(mean)
        spread_before.append(spread)
        mean, spread = chroma_statistics(sample.result_in_place(SCALE), skin)
        result_chroma.append(mean)
        spread_after.append(spread)
    photos = np.array(identity_chroma)
    error = np.linalg.norm(np.array(result_chroma) - photos, axis=1)
    people = [sample.attribute.person for sample in samples]
    coloured = np.linalg.norm(photos, axis=1) > LEAST_CHROMA
    people_spread = between_people(photos[coloured], np.array(people)[coloured])
    inside, real = float(np.mean(spread_after)), float(np.mean(spread_before))
    ratios = (np.array(spread_after) + 1) / (np.array(spread_before) + 1)
    return [
        Finding(CHECK, "swaps", len(samples), note=f"into photos of {len(set(people))} people"),
        Finding(CHECK, "mean a of photos", float(photos[:, 0].mean())),
        Finding(CHECK, "mean a of results", float(np.array(result_chroma)[:, 0].mean())),
        Finding(CHECK, "mean b of photos", float(photos[:, 1].mean())),
        Finding(CHECK, "mean b of results", float(np.array(result_chroma)[:, 1].mean())),
        of_interval(CHECK, "error of the mean chroma", bootstrap_over_people(error, people), "ΔE"),
        Finding(CHECK, "spread between people, photos in colour", people_spread, "ΔE"),
        Finding(
            CHECK,
            "error / spread between people",
            float(error.mean()) / people_spread,
            requirement=("<=", WITHIN),
        ),
        Finding(CHECK, "spread within the face, photos", real, "ΔE"),
        Finding(CHECK, "spread within the face, results", inside, "ΔE"),
        Finding(CHECK, "spread within, results / photos", inside / real, requirement=("<=", WITHIN)),
        Finding(CHECK, "the same in the worst twentieth", float(np.quantile(ratios, 0.95))),
    ]


def between_people(chroma: np.ndarray, people: Sequence[str] | np.ndarray) -> float:
    """√(var a + var b) over the people's mean colours.

    Args:
        chroma: mean (a, b) of each photo, ``[n, 2]``.
        people: ``[n]``, who is shown.
    """
    names = np.array(people)
    means = np.array([chroma[names == name].mean(0) for name in np.unique(names)])
    return float(np.sqrt(means.var(0, ddof=1).sum()))
