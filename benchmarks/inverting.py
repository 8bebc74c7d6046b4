"""How well projection, pivotal tuning and ``refine`` meet a face: PSNR, dlib's distance and CPU seconds.

Usage: ``python benchmarks/inverting.py [--out benchmarks/results/inversion.csv] [--pictures FOLDER]``.

Faces: one that the default network itself draws, and scikit-image's astronaut. Inversion (encoder alone, with
projection, with pivotal tuning) is measured between the aligned photo and its reconstruction. ``refine`` is
measured in swaps: of the person into the mirror image of their own photo, whose answer is known, and into
Grace Hopper's photo. Seconds are CPU seconds of the process, so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data

from inversion import peak_signal_to_noise
from stylegan_swap import Person, Swapper
from stylegan_swap.editing.invert_preview import preview
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.images.photo import demo_photos
from stylegan_swap.provenance.photo_file import write_photo

COLUMNS = ("face", "what", "steps", "psnr", "distance", "cpu_seconds")
# The face that generate draws with this seed has both eyes open and looks ahead.
GENERATED_SEED = 3


def inversions(swapper: Swapper, name: str, photo: np.ndarray, pictures: list, steps: list[int]) -> Iterator:
    """Rows of the encoder, of projection and of pivotal tuning."""
    for approach in ("encoder", "projection", "pivotal tuning"):
        for count in [0] if approach == "encoder" else steps:
            chosen = {"projection": {"steps": count}, "pivotal tuning": {"pti": count}}.get(approach, {})
            begun = time.process_time()
            inversion = swapper.invert(photo, **chosen)
            spent = time.process_time() - begun
            pictures.append(preview(inversion))
            yield name, approach, count, inversion.psnr, inversion.distance, spent


def refinements(swapper: Swapper, name: str, photo: np.ndarray, pictures: list, steps: list[int]) -> Iterator:
    """Rows of swaps into the person's own mirrored photo and into Hopper's."""
    _, hopper = demo_photos()
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    for count in [0, *steps]:
        begun = time.process_time()
        person = swapper.prepare(photo, refine=count)
        spent = time.process_time() - begun
        reconstructed, foreign = swapper(person, mirrored), swapper(person, hopper)
        face = reconstructed.faces[0]
        alignment = ffhq_alignment(face.landmarks, face.aligned.shape[-1])
        crops = [from_pixels(alignment.crop(np.asarray(image))) for image in (reconstructed.image, mirrored)]
        yield name, "refine, own photo", count, peak_signal_to_noise(*crops), face.distance, spent
        yield name, "refine, Hopper's photo", count, None, foreign.faces[0].distance, spent
        pictures.append(row_of(person, foreign, crops))


def row_of(person: Person, foreign, crops) -> np.ndarray:
    """The person's photo, the swap into the own mirrored photo, and the one into Hopper's, 256 px each."""
    alignment = foreign.faces[0].alignment.resized(256)
    tiles = [np.kron(to_pixels(crop)[0], np.ones((2, 2, 1))) for crop in reversed(crops)]
    tiles = [tile[:256, :256] for tile in tiles] + [alignment.crop(np.asarray(foreign.image))]
    return np.clip(np.rint(np.hstack(tiles)), 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "inversion.csv")
    parser.add_argument("--faces", default="generated,astronaut", help="which of the two")
    parser.add_argument("--only", choices=("inversions", "refinements"), help="one half of the table")
    parser.add_argument("--steps", type=int, nargs="+", default=[30, 100])
    parser.add_argument("--pictures", type=Path, help="folder for pictures of all results")
    arguments = parser.parse_args()

    swapper = Swapper.from_pretrained("default")
    photos = {}
    if "generated" in arguments.faces:
        photos["generated"] = np.asarray(swapper.generate(seed=GENERATED_SEED)[0])
    if "astronaut" in arguments.faces:
        photos["astronaut"] = skimage.data.astronaut()
    rows, pictures = [], []
    print(",".join(COLUMNS))
    for name, photo in photos.items():
        for part in (inversions, refinements):
            if arguments.only not in (None, part.__name__):
                continue
            for face, approach, steps, psnr, distance, spent in part(
                swapper, name, photo, pictures, arguments.steps
            ):
                psnr_text = "" if psnr is None else f"{psnr:.2f}"
                rows.append((face, approach, steps, psnr_text, f"{distance:.3f}", f"{spent:.1f}"))
                print(",".join(map(str, rows[-1])), flush=True)
                if arguments.pictures:
                    arguments.pictures.mkdir(parents=True, exist_ok=True)
                    write_photo(
                        arguments.pictures / f"{name}_{len(pictures):02d}.png", pictures[-1], overwrite=True
                    ) if pictures else None
    with open(arguments.out, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
