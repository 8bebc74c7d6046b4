"""A method's figures by groups of people: skin tone, the manifest's labels, where photos come from.

Usage: ``python benchmarks/slices.py EVALUATION/default/pairs.csv FACES_FOLDER [--out slices.csv]``, after
``stylegan-swap evaluate``. Skin tone is the individual typology angle (ITA) of the skin in the photo, with
the classes of Chardon, Cretois and Hourseau (International Journal of Cosmetic Science, 1991); it is of the
light as much as of the person, as these photos were taken in all kinds of light. Grey photos have none.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_swap.faces.pixels.colour import to_lab
from stylegan_swap.files.atomic import replacing
from stylegan_swap.images.photo import read_photo
from stylegan_swap.metrics.colour import SCALE, skin_pixels
from stylegan_swap.metrics.intervals import bootstrap_over_people
from stylegan_swap.metrics.sample import Sample, View, look

# Upper bounds in degrees; what is above the last is very light.
ITA_CLASSES = ((-30.0, "dark"), (10.0, "brown"), (28.0, "tan"), (41.0, "intermediate"), (55.0, "light"))
LIGHTEST = "very light"
# Skin of less chroma is a black-and-white photo.
LEAST_CHROMA = 3.0
MEASURES = ("id_distance", "id_distance_gap", "expression_error", "sharpness")
FEWEST_PEOPLE = 2


def skin_tone(view: View) -> float | None:
    """ITA of a photo in degrees: arctan((L - 50) / b) of the skin's median; None without colour or skin."""
    skin = skin_pixels(Sample(view, view, view))
    if not skin.any():
        return None
    light, a, b = np.median(to_lab(view.crop(SCALE))[skin], axis=0)
    return None if np.hypot(a, b) < LEAST_CHROMA else float(np.degrees(np.arctan2(light - 50, b)))


def tone_class(angle: float | None) -> str:
    """The class of an angle; "no colour" for None."""
    if angle is None:
        return "no colour"
    return next((name for bound, name in ITA_CLASSES if angle <= bound), LIGHTEST)


def age_class(age: str) -> str:
    """Twenties, thirties and above; empty where no age is noted."""
    return "" if not age.isdecimal() else "under 30" if int(age) < 30 else "30 and over"


def slices(
    rows: Sequence[Mapping[str, str]], manifest: Mapping[str, Mapping[str, str]], tones: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """One line for each group and measure, with people (identities) as the unit of the interval."""
    for side in ("identity", "attribute"):
        labels = {
            "skin tone": lambda row, side=side: tones[row[side]],
            "source": lambda row, side=side: row[side].split("/")[0],
            "gender": lambda row, side=side: manifest[row[side]]["gender"],
            "ethnicity": lambda row, side=side: manifest[row[side]]["ethnicity"],
            "age": lambda row, side=side: age_class(manifest[row[side]]["age"]),
        }
        for kind, label in labels.items():
            groups: dict[str, list[Mapping[str, str]]] = {}
            for row in rows:
                groups.setdefault(label(row) or "not noted", []).append(row)
            for group, members in sorted(groups.items()):
                people = [manifest[row["identity"]]["person"] for row in members]
                count = len({manifest[row[side]]["person"] for row in members})
                if len(set(people)) < FEWEST_PEOPLE:
                    continue
                for measure in MEASURES:
                    values = [float(row[measure]) for row in members]
                    interval = bootstrap_over_people(values, people)
                    yield {
                        "of": side,
                        "by": kind,
                        "group": group,
                        "measure": measure,
                        "value": round(interval.estimate, 4),
                        "low": round(interval.low, 4),
                        "high": round(interval.high, 4),
                        "pairs": len(members),
                        "people": count,
                    }


def main() -> None:
    """Write the table and print the mean distances."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path, help="pairs.csv of a method, from stylegan-swap evaluate")
    parser.add_argument("faces", type=Path, help="the folder with manifest.csv")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/slices.csv"))
    options = parser.parse_args()
    with (options.faces / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        manifest = {row["file"]: row for row in csv.DictReader(stream)}
    with options.pairs.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["status"] == "ok"]
    names = sorted({row[side] for row in rows for side in ("identity", "attribute")})
    tones = {
        name: tone_class(skin_tone(look(read_photo(options.faces / name).pixels, name))) for name in names
    }
    lines = list(slices(rows, manifest, tones))
    with replacing(options.out) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    for line in lines:
        if line["measure"] == MEASURES[0]:
            interval = f"{line['value']:.3f} [{line['low']:.3f}, {line['high']:.3f}]"
            count = f"n = {line['pairs']} of {line['people']}"
            print(f"{line['of']:9} {line['by']:9} {line['group']:12} {interval} {count}")


if __name__ == "__main__":
    main()
