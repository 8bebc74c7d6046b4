"""Draw the fixed cross-person pairs of the validation people, once: ``val_pairs.csv``.

Usage: ``python benchmarks/make_val_pairs.py FACES_FOLDER`` (the folder with ``manifest.csv``).
Everybody of split val is an identity and an attribute person equally often, up to one. Kept beside the
pairs so that anybody can see how they came about; running it again gives the same file.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

PAIRS = 300
SEED = 20261123


def main(folder: Path) -> None:
    with open(folder / "manifest.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    photos: dict[str, list[str]] = {}
    for row in rows:
        photos.setdefault(row["person"], []).append(row["file"])
    people = sorted(photos)
    rng = random.Random(SEED)

    def deck() -> list[str]:
        cards: list[str] = []
        while len(cards) < PAIRS:
            cards += rng.sample(people, len(people))
        return cards[:PAIRS]

    identities, attributes = deck(), deck()
    for index in range(PAIRS):
        while identities[index] == attributes[index]:
            partner = rng.randrange(PAIRS)
            if attributes[partner] != identities[index] and identities[partner] != attributes[index]:
                attributes[index], attributes[partner] = attributes[partner], attributes[index]
    with open(Path(__file__).with_name("val_pairs.csv"), "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["identity", "attribute"])
        for identity, attribute in zip(identities, attributes, strict=True):
            writer.writerow([rng.choice(photos[identity]), rng.choice(photos[attribute])])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
