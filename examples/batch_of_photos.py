"""Work through a list of swaps in a process of its own; a second call does only what is missing."""

import argparse
import csv
from pathlib import Path

from PIL import Image

from stylegan_swap.batch import read_jobs, run_batch
from stylegan_swap.images.photo import demo_photos

ROWS = [
    {"identity": "hopper.png", "attribute": "astronaut.png", "output": "1.png"},
    {"identity": "hopper.png", "attribute": "astronaut.png", "output": "2.png", "mask": "inner"},
    {"identity": "astronaut.png", "attribute": "sky.png", "output": "3.png"},
]


def main(out: Path) -> None:
    """Write photos and a list, and swap the list; the photo without a face is one item's error."""
    photos = out / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    for name, photo in zip(("astronaut.png", "hopper.png"), demo_photos(), strict=True):
        Image.fromarray(photo.pixels).save(photos / name)
    Image.new("RGB", (64, 48), "skyblue").save(photos / "sky.png")
    with (out / "jobs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["identity", "attribute", "output", "mask"])
        writer.writeheader()
        writer.writerows(ROWS)

    jobs = read_jobs(out / "jobs.csv", photos)
    summary = run_batch(jobs, out / "results", method="warp", workers=1)
    print(f"{summary.done} done, {len(summary.failed)} failed")
    for name, error in summary.failed.items():
        print(f"{name}: {error}")
    print(f"results, and results.csv with a row for each: {out / 'results'}")


# Workers are fresh processes that import this file: what is not in here would run in each of them.
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/batch_of_photos"))
    main(parser.parse_args().out)
