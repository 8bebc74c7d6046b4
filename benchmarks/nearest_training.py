"""Are generated faces copies? Distance of each to the nearest photo of split train, beside unknown people's.

Usage: ``python benchmarks/nearest_training.py FACES_FOLDER [--number 200] [--out runs/nearest]``. Writes
``nearest.csv``, and ``nearest.png``: the generated faces nearest to a training photo, each above that photo.
The sheet shows real people: it is for looking at, not for publishing. Distances are dlib's; below 0.6 it
takes two faces for one person. The yardstick: the nearest training photo of every person of split val, who is
no copy of anybody.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from samples import draw_sheet, new_people

from stylegan_swap import Swapper
from stylegan_swap.files.atomic import replacing
from stylegan_swap.images.photo import read_photo
from stylegan_swap.metrics.identity import DlibRecogniser
from stylegan_swap.metrics.sample import View, look
from stylegan_swap.provenance.photo_file import write_photo

SHOWN, SIDE = 10, 256
SEED = 100
_SAME_PERSON = 0.6


def descriptors(views: Sequence[View]) -> np.ndarray:
    """Dlib's descriptors ``[n, 128]``."""
    recogniser = DlibRecogniser()
    return np.stack([recogniser.embed(view) for view in views])


def nearest(of: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest of a set, ``[n]``, and which one it is, ``[n]``."""
    distances = np.linalg.norm(of[:, None] - among[None], axis=2)
    return distances.min(1), distances.argmin(1)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faces", type=Path, help="the folder with manifest.csv")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--truncation-psi", type=float, default=0.7)
    parser.add_argument("--out", type=Path, default=Path("runs/nearest"))
    options = parser.parse_args()
    with (options.faces / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    photos: dict[str, list[View]] = {"train": [], "val": []}
    for row in rows:
        view = look(read_photo(options.faces / row["file"]).pixels, row["file"], row["person"])
        if row["split"] in photos and view.landmarks is not None:
            photos[row["split"]].append(view)
    swapper = Swapper.from_pretrained(options.weights)
    people = [view for view in new_people(swapper, options.number, SEED) if view.landmarks is not None]
    train, val, generated = descriptors(photos["train"]), descriptors(photos["val"]), descriptors(people)
    to_train, nearest_index = nearest(generated, train)
    of_val, _ = nearest(val, train)
    generated_pairs = np.linalg.norm(generated[:, None] - generated[None], axis=2)[
        np.triu_indices(len(generated), 1)
    ]
    real = np.linalg.norm(val[:, None] - val[None], axis=2)[np.triu_indices(len(val), 1)]
    lines = [
        ("generated faces in which dlib sees a face", len(people)),
        ("generated to nearest training photo, mean", to_train.mean()),
        ("the same, smallest", to_train.min()),
        ("people of val to nearest training photo, mean", of_val.mean()),
        ("the same, smallest", of_val.min()),
        (
            f"generated nearer than {_SAME_PERSON} to a training photo, share",
            (to_train < _SAME_PERSON).mean(),
        ),
        (f"people of val nearer than {_SAME_PERSON}, share", (of_val < _SAME_PERSON).mean()),
        ("between two generated faces, mean", generated_pairs.mean()),
        ("between two people of val, mean", real.mean()),
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    with replacing(options.out / "nearest.csv") as temporary, temporary.open("w", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([("what", "value"), *((label, round(float(value), 4)) for label, value in lines)])
    for label, value in lines:
        print(f"{label:60} {float(value):.3f}")
    first = np.argsort(to_train)[:SHOWN]
    beside = [photos["train"][nearest_index[n]] for n in first]
    sheet = draw_sheet(
        [
            ("generated", [people[n].pixels for n in first]),
            ("nearest", [np.rint(view.crop(SIDE)).astype(np.uint8) for view in beside]),
        ]
    )
    write_photo(options.out / "nearest.png", sheet, mark=False, overwrite=True)


if __name__ == "__main__":
    main()
