"""What ``refine`` does on validation pairs: identity, expression, pose and CPU seconds after n steps.

Usage: ``python benchmarks/refine.py FACES_FOLDER [--pairs 24] [--steps 10 30 100] [--out refine.csv]``.

Every column is the library's own measure on faces found afresh (``stylegan-swap evaluate``). Tuning asks
dlib's recogniser, so two columns ask about more than its score: ``id_distance_mean``, after blur, JPEG, grey,
mirror, new detection and a low pass, and ``other_photo``, the distance to a photo of the same person that
tuning has not seen (the London set has two of everyone). The pairs are spread over the list.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from stylegan_swap import Person, Swapper
from stylegan_swap.images.photo import read_photo
from stylegan_swap.methods.default.refine import RATE, RefinedPerson, refine_person
from stylegan_swap.metrics.expression import ExpressionMeasure
from stylegan_swap.metrics.identity import DlibRecogniser, IdentityMeasure
from stylegan_swap.metrics.pose import PoseMeasure
from stylegan_swap.metrics.robustness import RobustIdentityMeasure
from stylegan_swap.metrics.sample import Sample, View, look, measured
from stylegan_swap.metrics.sharpness import Sharpness
from stylegan_swap.provenance.photo_file import write_photo

Photos = tuple[View, View, View | None]


def chosen_pairs(file: Path, count: int) -> list[tuple[str, str]]:
    """``count`` pairs: a third with an identity of which another photo is known, all spread over the list."""
    with open(file, newline="") as stream:
        pairs = [(row["identity"], row["attribute"]) for row in csv.DictReader(stream)]
    double = [pair for pair in pairs if pair[0].startswith("london/")]
    single = [pair for pair in pairs if not pair[0].startswith("london/")]
    picked = []
    for group, share in ((double, count // 3), (single, count - count // 3)):
        picked += [group[int(i)] for i in np.linspace(0, len(group) - 1, share).round()]
    double, single = picked[: count // 3], picked[count // 3 :]
    # One of the first kind, two of the second: a run that is cut short has both.
    return [pair for k in range(len(single)) for pair in (*double[k // 2 : k // 2 + (k % 2 == 0)], single[k])]


def other_photo(folder: Path, name: str) -> View | None:
    """Another photo of the person, or None where there is none."""
    for expression, second in (("neutral", "smiling"), ("smiling", "neutral")):
        if expression in name and (folder / name.replace(expression, second)).is_file():
            return look(read_photo(folder / name.replace(expression, second)).pixels)
    return None


class Table:
    """Measures swaps and writes every row at once, so that a run that is cut short leaves what it has."""

    def __init__(self, swapper: Swapper, out: Path) -> None:
        self._swapper, self._out = swapper, out
        self._recogniser = DlibRecogniser()
        self._measures = (
            IdentityMeasure(self._recogniser),
            RobustIdentityMeasure(self._recogniser),
            ExpressionMeasure(),
            PoseMeasure(),
            Sharpness(),
        )
        self.rows: list[dict[str, str]] = []

    def add(self, person: Person, photos: Photos, steps: int, seconds: float) -> np.ndarray:
        """Swap and measure; returns the result's face, ``[256, 256, 3]``."""
        identity, attribute, second = photos
        result = np.asarray(self._swapper(person, attribute.pixels).image)
        sample = Sample(identity, attribute, look(result))
        values = {k: v for measure in self._measures for k, v in measured(measure, sample).items()}
        values["other_photo"] = float("nan")
        if second is not None and not sample.missed:
            embed = self._recogniser.embed
            values["other_photo"] = self._recogniser.distance(embed(sample.result), embed(second))
        row = {"identity": identity.name, "attribute": attribute.name, "steps": str(steps)}
        row["cpu_seconds"] = f"{seconds:.1f}"
        self.rows.append(row | {name: f"{value:.4f}" for name, value in values.items()})
        with open(self._out, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        return attribute.alignment(256).crop(result)


def run_pair(swapper: Swapper, table: Table, photos: Photos, steps: list[int], lr: float) -> list[np.ndarray]:
    """Tune to one person and swap into one photo after each of ``steps``; returns the faces."""
    person = swapper.prepare(photos[0].pixels)
    tiles = [photos[0].crop(256), photos[1].crop(256), table.add(person, photos, 0, 0.0)]
    measuring, begun = 0.0, time.process_time()

    def after(step: int, refined: RefinedPerson) -> None:
        nonlocal measuring
        if step in steps:
            paused = time.process_time()
            tiles.append(
                table.add(replace(person, prepared=refined), photos, step, paused - begun - measuring)
            )
            measuring += time.process_time() - paused

    refine_person(swapper.method.network, person.prepared, max(steps), lr=lr, on_step=after)
    return tiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 30, 100])
    parser.add_argument("--lr", type=float, default=RATE)
    parser.add_argument("--list", type=Path, default=Path(__file__).with_name("val_pairs.csv"))
    parser.add_argument("--part", type=int, nargs=2, default=[0, 1], help="this part of so many parts")
    parser.add_argument("--out", type=Path, default=Path("refine.csv"))
    parser.add_argument("--pictures", type=Path, help="folder; photographs of people, keep out of git")
    arguments = parser.parse_args()

    swapper = Swapper.from_pretrained("default")
    table = Table(swapper, arguments.out)
    part, parts = arguments.part
    for number, names in enumerate(chosen_pairs(arguments.list, arguments.pairs)[part::parts]):
        identity, attribute = (look(read_photo(arguments.faces / name).pixels, name) for name in names)
        photos = (identity, attribute, other_photo(arguments.faces, names[0]))
        row = np.hstack(run_pair(swapper, table, photos, arguments.steps, arguments.lr))
        if arguments.pictures:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            path = arguments.pictures / f"pair_{part}_{number:03d}.png"
            write_photo(path, np.clip(np.rint(row), 0, 255).astype(np.uint8), overwrite=True)
        print(*names, flush=True)
    numbers = [name for name in table.rows[0] if name not in ("identity", "attribute", "steps")]
    print("steps", *numbers)
    for count in sorted({int(row["steps"]) for row in table.rows}):
        rows = [row for row in table.rows if int(row["steps"]) == count]
        print(count, *(f"{np.nanmean([float(row[name]) for row in rows]):.3f}" for name in numbers))


if __name__ == "__main__":
    main()
