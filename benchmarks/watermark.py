"""How often the watermark is found again after attacks, how often where there is none, how visible and how
fast.

Usage: ``python benchmarks/watermark.py FACES_FOLDER [--out benchmarks/results/watermark.csv] [--minutes
30]``.

Every photograph (and skimage's astronaut, matplotlib's grace_hopper) is marked at its own size, at the area
of 225 × 275 pixels, and, one in twenty, enlarged and cropped to 4000 × 3000. The side that is cropped
changes from photo to photo. Unmarked, every photograph is read as it is and after one of the attacks in
turn. Photos come in a fixed random order, so that a run that ``--minutes`` ends early is a fair sample.
Seconds are CPU seconds of one core.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from stylegan_swap.images.photo import demo_photos
from stylegan_swap.provenance.watermark import embed_watermark, read_watermark

SMALL_AREA = 225 * 275
LARGE = (4000, 3000)
ONE_IN = 20


def jpeg(pixels: np.ndarray, quality: int = 75) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def scaled(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def half(pixels: np.ndarray) -> np.ndarray:
    return scaled(pixels, pixels.shape[1] // 2, pixels.shape[0] // 2)


def cropped(pixels: np.ndarray, side: int) -> np.ndarray:
    """Without a tenth at the left (0), right (1), top (2), bottom (3) or, a twentieth each, all round (4)."""
    height, width = pixels.shape[:2]
    row, column = height // 10, width // 10
    return (
        pixels[:, column:],
        pixels[:, : width - column],
        pixels[row:],
        pixels[: height - row],
        pixels[row // 2 : height - row // 2, column // 2 : width - column // 2],
    )[side]


#: Name → what happens to a picture; the number chooses the side that is cropped.
ATTACKS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "none": lambda pixels, _: pixels,
    "JPEG 75": lambda pixels, _: jpeg(pixels),
    "half size": lambda pixels, _: half(pixels),
    "crop 10 %": cropped,
    "half + JPEG 75": lambda pixels, _: jpeg(half(pixels)),
    "crop 10 % + JPEG 75": lambda pixels, side: jpeg(cropped(pixels, side)),
    "crop 10 % + half": lambda pixels, side: half(cropped(pixels, side)),
    "crop 10 % + half + JPEG 75": lambda pixels, side: jpeg(half(cropped(pixels, side))),
}


def sizes(pixels: np.ndarray, number: int) -> Iterator[tuple[str, np.ndarray]]:
    """A photograph at the sizes that are measured."""
    height, width = pixels.shape[:2]
    factor = (SMALL_AREA / (height * width)) ** 0.5
    if factor < 0.98:
        yield "own size, larger than 225 × 275", pixels
        pixels = scaled(pixels, round(width * factor), round(height * factor))
    yield "area of 225 × 275", pixels
    if number % ONE_IN == 0:
        height, width = pixels.shape[:2]
        factor = max(LARGE[0] / width, LARGE[1] / height)
        size = (round(width * factor), round(height * factor))
        large = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
        yield "4000 × 3000", np.ascontiguousarray(large[: LARGE[1], : LARGE[0]])


def decibels(first: np.ndarray, second: np.ndarray) -> float:
    return cv2.PSNR(np.ascontiguousarray(first), second)


def measure(job: tuple[int, str]) -> dict[tuple[str, str], list[float]]:
    """(size, quantity) → values of one photograph."""
    number, name = job
    cv2.setNumThreads(1)
    if name.startswith("demo:"):
        pixels = demo_photos()[int(name[-1])].pixels
    else:
        with Image.open(name) as image:
            pixels = np.array(image.convert("RGB"))
    values: dict[tuple[str, str], list[float]] = {}
    attacks = list(ATTACKS)
    for size, photo in sizes(pixels, number):
        start = time.process_time()
        marked = embed_watermark(photo)
        values[size, "seconds to write"] = [time.process_time() - start]
        values[size, "PSNR"] = [decibels(photo, marked)]
        for attack in attacks:
            attacked = np.ascontiguousarray(ATTACKS[attack](marked, number % 5))
            values[size, f"found: {attack}"] = [read_watermark(attacked) is not None]
        # Unmarked, the last size suffices: the reader brings all to one.
    for attack in ("none", attacks[1 + number % (len(attacks) - 1)]):
        attacked = np.ascontiguousarray(ATTACKS[attack](pixels, number % 5))
        start = time.process_time()
        values["unmarked, own size", f"found: {attack}"] = [read_watermark(attacked) is not None]
        values["unmarked, own size", "seconds to read"] = [time.process_time() - start]
    return values


def table(values: dict[tuple[str, str], list[float]]) -> Iterator[tuple[str, str, int, str, str, str]]:
    for (size, quantity), numbers in sorted(values.items()):
        spread = (f"{np.mean(numbers):.4f}", f"{min(numbers):.4f}", f"{max(numbers):.4f}")
        yield size, quantity, len(numbers), *spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faces", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    names = sorted(str(path) for path in options.faces.rglob("*.jpg"))
    np.random.default_rng(0).shuffle(names)
    jobs = iter(enumerate(["demo:0", "demo:1", *names]))
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    end = time.monotonic() + 60 * options.minutes
    photos = 0
    with ProcessPoolExecutor(options.workers) as pool:
        # In portions, so that the time is looked at now and then.
        while time.monotonic() < end and (portion := list(islice(jobs, 8 * options.workers))):
            for measured in pool.map(measure, portion):
                photos += 1
                for key, numbers in measured.items():
                    values[key] += numbers
            print(f"{photos} photographs", flush=True)
            if options.out:
                write(options.out, values)
    for row in table(values):
        print("{:34} {:36} n={:<5} mean {:>9} min {:>9} max {:>9}".format(*row))


def write(path: Path, values: dict[tuple[str, str], list[float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["size", "quantity", "n", "mean", "min", "max"])
        writer.writerows(table(values))


if __name__ == "__main__":
    main()
