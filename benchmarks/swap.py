"""Swap the 300 fixed validation pairs with a method and print identity distances, time and memory.

Usage: ``python benchmarks/swap.py FACES_FOLDER [--method default] [--sheets runs/bench]``.

Distances are dlib's own (C++ network, 150-px chip, padding 0.25), on faces detected afresh in the result, so
nothing of the library under test measures itself. A result in which no face is found counts as a miss, with
the worst distance of all pairs. Contact sheets hold photographs of real people: keep them out of git.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from pathlib import Path

import cv2
import dlib
import numpy as np

from stylegan_swap import Swapper
from stylegan_swap.errors import NoFaceError
from stylegan_swap.faces.detection.detect import detect_faces, largest_face
from stylegan_swap.faces.detection.landmarks import dlib_model_file
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.images.photo import read_photo
from stylegan_swap.provenance.photo_file import write_photo


class Recogniser:
    """dlib's own recogniser on the largest face of a picture."""

    def __init__(self) -> None:
        file = dlib_model_file("dlib_face_recognition_resnet_model_v1.dat")
        self._network = dlib.face_recognition_model_v1(str(file))

    def describe(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Descriptor ``[128]`` and landmarks ``[68, 2]`` of uint8 RGB pixels."""
        landmarks = largest_face(detect_faces(pixels)).landmarks
        points = dlib.points()
        for x, y in landmarks:
            points.append(dlib.point(round(float(x)), round(float(y))))
        height, width = pixels.shape[:2]
        shape = dlib.full_object_detection(dlib.rectangle(0, 0, width, height), points)
        chip = dlib.get_face_chip(pixels, shape, 150, 0.25)
        return np.array(self._network.compute_face_descriptor(chip)), landmarks


def tile(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    return np.clip(ffhq_alignment(landmarks, 256).crop(pixels), 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--method", default="default")
    parser.add_argument("--pairs", type=Path, default=Path(__file__).with_name("val_pairs.csv"))
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets")
    arguments = parser.parse_args()

    with open(arguments.pairs, newline="") as file:
        pairs = [(row["identity"], row["attribute"]) for row in csv.DictReader(file)]
    swapper, recognise = Swapper.from_pretrained(arguments.method), Recogniser()
    descriptors = {
        name: recognise.describe(read_photo(arguments.faces / name).pixels)
        for name in sorted({name for pair in pairs for name in pair})
    }
    rows, seconds, distances = [], [], []
    for identity, attribute in pairs:
        started = time.perf_counter()
        result = swapper(swapper.prepare(arguments.faces / identity), arguments.faces / attribute)
        seconds.append(time.perf_counter() - started)
        pixels = np.asarray(result.image)
        try:
            descriptor, _ = recognise.describe(pixels)
            distances.append(
                [np.linalg.norm(descriptor - descriptors[name][0]) for name in (identity, attribute)]
            )
        except NoFaceError:
            distances.append([np.nan, np.nan])
        if arguments.sheets:
            originals = [read_photo(arguments.faces / name).pixels for name in (identity, attribute)]
            places = [descriptors[name][1] for name in (identity, attribute, attribute)]
            row = np.hstack([tile(*part) for part in zip([*originals, pixels], places, strict=True)])
            label = "{:.2f} / {:.2f}".format(*distances[-1])
            cv2.putText(row, label, (520, 246), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 0), 1)
            rows.append(row)

    table = np.array(distances)
    misses = int(np.isnan(table[:, 0]).sum())
    nearer = np.mean(table[:, 0] < table[:, 1])
    table[np.isnan(table[:, 0])] = np.nanmax(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"method {arguments.method}, {len(pairs)} pairs, {misses} without a face")
    print(f"nearer to the identity than to the attribute person: {100 * nearer:.1f} %")
    print(
        f"distance to the identity {table[:, 0].mean():.3f}, to the attribute person {table[:, 1].mean():.3f}"
    )
    print(f"seconds per swap: median {np.median(seconds):.2f}, worst {max(seconds):.2f}")
    print(f"peak memory {peak:.2f} GiB")
    if arguments.sheets:
        arguments.sheets.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(rows), 24):
            block = rows[start : start + 24]
            block += [np.zeros_like(block[0])] * (-len(block) % 2)
            sheet = np.vstack([np.hstack(block[i : i + 2]) for i in range(0, len(block), 2)])
            write_photo(arguments.sheets / f"sheet_{start:03d}.jpg", sheet, overwrite=True)


if __name__ == "__main__":
    main()
