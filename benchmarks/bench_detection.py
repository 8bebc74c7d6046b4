"""How many faces are found at every turn and size, and how fast: CenterFace against dlib's ladder.

    python benchmarks/bench_detection.py --photos FOLDER [--count 30] [--csv FILE]

Photographs of the split `val` with their landmarks (`landmarks68.json`) are turned by known angles, and cut
out and shrunk into a canvas of 12 megapixels. A face is right where its 68 landmarks lie within 0.15
distances between the eyes of the true ones on average. Both see every picture in turn, in one run.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from stylegan_swap.errors import NoFaceError
from stylegan_swap.faces.detection import detect

ANGLES = (0, 30, -30, 45, -45, 60, -60, 90, -90, 180)  # degrees, counter-clockwise
SIDES = (32, 40, 60, 80)  # pixels of a face
CANVAS = (3000, 4000)  # height and width, pixels
LONGEST = 900  # pixels of the longer side of a photo that is turned
RIGHT = 0.15  # mean distance of landmarks, in distances between the eyes
Sample = tuple[np.ndarray, np.ndarray]


def samples(folder: Path, count: int) -> list[Sample]:
    """Photos of the split `val`, spread over the list, with their landmarks `[68, 2]`."""
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file) if row["split"] == "val"]
    landmarks = json.loads((folder / "landmarks68.json").read_text(encoding="utf-8"))
    names = [name for name in names if name in landmarks]
    chosen = [names[round(n)] for n in np.linspace(0, len(names) - 1, min(count, len(names)))]
    return [
        (cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB), np.array(landmarks[name], float))
        for name in chosen
    ]


def turned(sample: Sample, angle: float) -> Sample:
    """A photo of at most 900 pixels turned by degrees, none of it cut off."""
    pixels, points = sample
    scale = min(1.0, LONGEST / max(pixels.shape[:2]))
    pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = pixels.shape[:2]
    cosine, sine = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
    size = int(width * cosine + height * sine), int(width * sine + height * cosine)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    matrix[:, 2] += [size[0] / 2 - width / 2, size[1] / 2 - height / 2]
    return cv2.warpAffine(pixels, matrix, size), points * scale @ matrix[:, :2].T + matrix[:, 2]


def crowd(people: list[Sample], side: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Heads whose faces are so many pixels wide, in rows on a clouded canvas; and their landmarks."""
    clouds = np.random.default_rng(0).normal(110, 40, (60, 80, 3)).astype(np.float32)
    canvas = cv2.resize(clouds, CANVAS[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    truth = []
    for number, (pixels, points) in enumerate(people):
        face = 1.3 * float(np.max(np.ptp(points[17:], axis=0)))
        low = np.maximum(points.mean(0) - 1.1 * face, 0).astype(int)
        head = pixels[low[1] : low[1] + int(2.2 * face), low[0] : low[0] + int(2.2 * face)]
        head = cv2.resize(head, None, fx=side / face, fy=side / face, interpolation=cv2.INTER_AREA)
        corner = np.array([100 + number % 8 * 480, 100 + number // 8 * 480])
        canvas[corner[1] : corner[1] + head.shape[0], corner[0] : corner[0] + head.shape[1]] = head
        truth.append((points - low) * side / face + corner)
    return canvas, truth


def count(pixels: np.ndarray, truth: list[np.ndarray], thorough: bool) -> dict[str, float]:
    """Faces in their place, faces elsewhere, and milliseconds."""
    start = time.perf_counter()
    try:
        faces = detect.detect_faces(pixels, thorough=thorough)
    except NoFaceError:
        faces = []
    milliseconds = 1e3 * (time.perf_counter() - start)
    right = 0
    for points in truth:
        eyes = max(float(np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0))), 1.0)
        errors = [np.linalg.norm(face.landmarks - points, axis=1).mean() / eyes for face in faces]
        right += bool(errors) and min(errors) < RIGHT
    return {"right": right, "elsewhere": max(0, len(faces) - right), "ms": milliseconds}


def main(arguments: list[str] | None = None) -> None:
    """Print a row per picture kind and detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    people = samples(options.photos, options.count)
    pictures = {}
    for angle in ANGLES:
        views = [turned(sample, angle) for sample in people]
        pictures[f"turned {angle}°"] = [(pixels, [points]) for pixels, points in views]
    for side in SIDES:
        pictures[f"{side} px of 12 MP"] = [crowd(people, side)]
    rows = []
    for name, made in pictures.items():
        totals = {
            detector: {"right": 0.0, "elsewhere": 0.0, "ms": 0.0} for detector in ("CenterFace", "dlib")
        }
        for pixels, truth in made:
            for detector, total in totals.items():
                absent = mock.patch.object(detect, "centerface_file", lambda: None)
                with absent if detector == "dlib" else mock.MagicMock():
                    for key, value in count(pixels, truth, thorough=len(truth) > 1).items():
                        total[key] += value
        for detector, total in totals.items():
            row = {"pictures": name, "detector": detector, "right": int(total["right"]), "of": len(people)}
            rows.append(row | {"elsewhere": int(total["elsewhere"]), "ms": round(total["ms"] / len(made))})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
