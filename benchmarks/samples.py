"""What a network draws, on one sheet without a photograph of anybody: new people, and swaps between them.

Usage: ``python benchmarks/samples.py WEIGHTS_FOLDER [--out samples.png]``; without ``--out`` the sheet lies
beside the weights. Above, faces of ``Swapper.generate``; below, in columns, other such faces as identity and
attribute and what a swap pastes. Nothing is picked: the seeds are fixed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from aligned_swap import fresh_landmarks, pasted, prepared
from PIL import Image, ImageDraw

from stylegan_swap import Swapper
from stylegan_swap.metrics.sample import View
from stylegan_swap.provenance.metadata import TRAINED
from stylegan_swap.provenance.photo_file import (
    write_photo,
)

COLUMNS, ROWS = 8, 2
SIDE = 128
SEED = 0
_LABEL_WIDTH, _GAP = 72, 12
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def new_people(swapper: Swapper, n: int, seed: int) -> list[View]:
    """``n`` people who do not exist, aligned, with the landmarks dlib sees in them."""
    faces = [np.asarray(image) for image in swapper.generate(n=n, seed=seed)]
    return [View(face, fresh_landmarks(face), f"seed {seed}, {number}") for number, face in enumerate(faces)]


def sample_rows(swapper: Swapper, seed: int = SEED) -> list[tuple[str, list[np.ndarray]]]:
    """The rows of the sheet, each with its label: ``ROWS`` of people, then identity, attribute, result."""
    people = [view.pixels for view in new_people(swapper, ROWS * COLUMNS, seed)]
    identities, attributes = (new_people(swapper, COLUMNS, seed + step) for step in (1, 2))
    results = [
        pasted(swapper.method, prepared(swapper.method, identity), attribute)[0]
        for identity, attribute in zip(identities, attributes, strict=True)
    ]
    rows = [("generated", people[start : start + COLUMNS]) for start in range(0, len(people), COLUMNS)]
    rows.append(("identity", [view.pixels for view in identities]))
    rows.append(("attribute", [view.pixels for view in attributes]))
    rows.append(("result", results))
    return rows


def draw_sheet(rows: Sequence[tuple[str, Sequence[np.ndarray]]], side: int = SIDE) -> np.ndarray:
    """The rows under each other, labels on the left, a gap above the swaps; uint8 ``[H, W, 3]``."""
    height = len(rows) * side + _GAP
    sheet = Image.new("RGB", (_LABEL_WIDTH + side * max(len(row) for _, row in rows), height), _PAPER)
    pen, top = ImageDraw.Draw(sheet), 0
    for label, row in rows:
        top += _GAP if label == "identity" else 0
        pen.text((6, top + side // 2), label, fill=_INK, anchor="lm")
        for column, picture in enumerate(row):
            sheet.paste(Image.fromarray(_tile(picture, side)), (_LABEL_WIDTH + column * side, top))
        top += side
    return np.asarray(sheet)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("--out", type=Path, help="default: samples.png in that folder")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    out = options.out or options.weights / "samples.png"
    swapper = Swapper.from_pretrained(options.weights, device=options.device)
    write_photo(out, draw_sheet(sample_rows(swapper, options.seed)), source_type=TRAINED, overwrite=True)
    print(out)


def _tile(picture: np.ndarray, side: int) -> np.ndarray:
    method = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_CUBIC
    return cv2.resize(picture, (side, side), interpolation=method)


if __name__ == "__main__":
    main()
