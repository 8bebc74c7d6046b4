"""Hard photographs: a swap into a photo that is turned, covered, dark, small or broken.

Usage: ``python benchmarks/stress.py FACES_FOLDER [--method default|PATH] [--pairs 6] [--out runs/stress]``.

The first pairs of ``val_pairs.csv``, each under every hardship. Writes ``stress.csv`` (per hardship: faces
found, distances of the result to both people, share nearer to the identity) and a sheet per hardship with
identity, hard photo and result, which shows real people: keep it out of git.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from stylegan_swap import Swapper
from stylegan_swap.errors import StyleganSwapError
from stylegan_swap.faces.detection.detect import detect_faces, largest_face
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.images.photo import read_photo
from stylegan_swap.provenance.photo_file import write_photo
from stylegan_swap.swapping.result import describe_face
from stylegan_swap.training.data.head_turn import another_view
from stylegan_swap.training.data.morph import Portrait
from stylegan_swap.training.data.occluders import draw_occluder

SIDE, TILE = 512, 256
Hardship = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def aligned(pixels: np.ndarray, landmarks: np.ndarray) -> Portrait:
    alignment = ffhq_alignment(landmarks, SIDE)
    return Portrait(alignment.crop(pixels), alignment.to_crop(landmarks))


def rolled(degrees: float) -> Hardship:
    def apply(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = pixels.shape[:2]
        side = round(float(np.hypot(height, width)))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        matrix[:, 2] += [(side - width) / 2, (side - height) / 2]
        return cv2.warpAffine(pixels, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)

    return apply


def turned(yaw: float) -> Hardship:
    def apply(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return another_view(aligned(pixels, landmarks), yaw=yaw).image

    return apply


def covered(kind: str) -> Hardship:
    def apply(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        face = aligned(pixels, landmarks)
        return draw_occluder(face.landmarks, face.image, rng, kind=kind).over(face.image)

    return apply


def grey(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def dark(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two stops and a half less light, and the noise of a camera that made up for some of it."""
    linear = (pixels / 255.0) ** 2.2 * 2.0**-2.5
    noisy = linear + rng.normal(0, 0.004, linear.shape) + rng.normal(0, 0.03, linear.shape) * np.sqrt(linear)
    return np.clip(noisy, 0, 1) ** (1 / 2.2) * 255


def side_light(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One cheek in full light, the other at a tenth of it."""
    left_ear, right = landmarks[0], landmarks[16]
    across = right - left_ear
    x, y = np.meshgrid(np.arange(pixels.shape[1]), np.arange(pixels.shape[0]))
    share = ((x - left_ear[0]) * across[0] + (y - left_ear[1]) * across[1]) / float(across @ across)
    light = 0.1 + 0.9 / (1 + np.exp(-8 * (share - 0.5)))
    return np.clip((pixels / 255.0) ** 2.2 * light[..., None], 0, 1) ** (1 / 2.2) * 255


def small(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The face 40 pixels wide, from temple to temple."""
    factor = 40 / float(np.linalg.norm(landmarks[16] - landmarks[0]))
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def squeezed(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """JPEG of quality 20."""
    coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]


HARDSHIPS: dict[str, Hardship] = {
    "as it is": lambda pixels, landmarks, rng: pixels,
    "roll +45": rolled(45),
    "roll -45": rolled(-45),
    "yaw +30": turned(30),
    "yaw -30": turned(-30),
    "glasses": covered("glasses"),
    "hair": covered("hair"),
    "hand": covered("hand"),
    "object": covered("object"),
    "grey": grey,
    "dark": dark,
    "side light": side_light,
    "40 pixels": small,
    "JPEG 20": squeezed,
}


def tile(pixels: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray:
    if landmarks is None:
        return cv2.resize(pixels, (TILE, TILE), interpolation=cv2.INTER_AREA)
    return np.clip(ffhq_alignment(landmarks, TILE).crop(pixels), 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--method", default="default")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("runs/stress"))
    arguments = parser.parse_args()

    with open(Path(__file__).with_name("val_pairs.csv"), newline="") as file:
        names = [(row["identity"], row["attribute"]) for row in csv.DictReader(file)]
    chosen = [names[n] for n in np.linspace(0, len(names) - 1, arguments.pairs).round().astype(int)]
    swapper = Swapper.from_pretrained(arguments.method)
    people = {}
    for name in sorted({name for pair in chosen for name in pair}):
        photo = read_photo(arguments.faces / name)
        face = largest_face(detect_faces(photo.pixels))
        descriptor = describe_face(swapper.recogniser, photo.pixels, face.landmarks)
        people[name] = photo, face.landmarks, descriptor
    prepared = {identity: swapper.prepare(people[identity][0].pixels) for identity, _ in chosen}

    arguments.out.mkdir(parents=True, exist_ok=True)
    table = []
    for hardship, apply in HARDSHIPS.items():
        tiles, distances, detected = [], [], 0
        for number, (identity, attribute) in enumerate(chosen):
            photo, landmarks, _ = people[attribute]
            rng = np.random.default_rng([20261125, number])
            hard = np.rint(np.clip(apply(photo.pixels, landmarks, rng), 0, 255)).astype(np.uint8)
            identity_tile = tile(people[identity][0].pixels, people[identity][1])
            try:
                result = swapper(prepared[identity], hard)
            except StyleganSwapError as error:
                print(f"{hardship}: {attribute}: {error}")
                tiles.append(np.hstack([identity_tile, tile(hard, None), np.zeros_like(identity_tile)]))
                continue
            detected += 1
            face = result.faces[0]
            pixels = np.asarray(result.image)
            descriptor = describe_face(swapper.recogniser, pixels, face.landmarks)
            distances.append([float((descriptor - people[name][2]).norm()) for name in (identity, attribute)])
            tiles.append(np.hstack([identity_tile, tile(hard, face.landmarks), tile(pixels, face.landmarks)]))
        values = np.array(distances).reshape(-1, 2)
        row = {
            "hardship": hardship,
            "photos": len(chosen),
            "found": detected,
            "distance": round(float(values[:, 0].mean()), 3) if detected else "",
            "distance_attribute": round(float(values[:, 1].mean()), 3) if detected else "",
            "nearer": round(float((values[:, 0] < values[:, 1]).mean()), 3) if detected else "",
        }
        table.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        sheet = np.vstack([np.hstack(tiles[n : n + 3]) for n in range(0, len(tiles) - 2, 3)])
        write_photo(arguments.out / f"{hardship.replace(' ', '_')}.png", sheet, overwrite=True)
    with open(arguments.out / "stress.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
