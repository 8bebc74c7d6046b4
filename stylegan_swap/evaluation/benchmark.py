"""Methods run over a list of pairs, every result measured: one CSV row per pair, written at once.

A run that was stopped goes on where it ended. ``table`` summarises the rows, ``report`` makes a page of them.
"""

from __future__ import annotations

import csv
import functools
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_swap.errors import ImageWriteError, StyleganSwapError, os_errors_as
from stylegan_swap.evaluation.pairs import Pair
from stylegan_swap.files.atomic import replacing
from stylegan_swap.images.photo import read_photo
from stylegan_swap.metrics.background import Background
from stylegan_swap.metrics.boundary import BoundaryGradient
from stylegan_swap.metrics.colour import ChromaMatch
from stylegan_swap.metrics.expression import ExpressionMeasure
from stylegan_swap.metrics.gaze import GazeMeasure
from stylegan_swap.metrics.identity import DlibRecogniser, IdentityMeasure, Recogniser
from stylegan_swap.metrics.pose import PoseMeasure, frontal_bias
from stylegan_swap.metrics.retrieval import COLUMNS as RETRIEVAL_COLUMNS
from stylegan_swap.metrics.retrieval import Gallery, retrieval
from stylegan_swap.metrics.robustness import RobustIdentityMeasure, aligned_view
from stylegan_swap.metrics.sample import Column, PairMeasure, Sample, View, look, measured
from stylegan_swap.metrics.sharpness import Sharpness
from stylegan_swap.provenance.photo_file import write_photo
from stylegan_swap.swapping.swapper import PhotoSwapper

ROWS = "pairs.csv"
SETTINGS = "run.json"
_FIXED = ("number", "identity", "attribute", "status", "reason", "result", "seconds")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """Settings that must stay the same between the parts of one run; kept in ``run.json``.

    Attributes:
        pairs: names of the pairs, in order.
        distractors: people of the gallery who are in no pair.
        version: of the library.
    """

    pairs: list[tuple[str, str]]
    distractors: int
    version: str


class RetrievalMeasure:
    """``retrieval`` for one sample at a time, so that it joins the other columns: 0 or 1 per column."""

    columns = RETRIEVAL_COLUMNS

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    def __call__(self, sample: Sample) -> dict[str, float]:
        """0 or 1 per column."""
        return retrieval([sample], self._gallery)


def default_measures(
    photos: Sequence[View], frontal: Sequence[View] = (), recogniser: Recogniser | None = None
) -> list[PairMeasure]:
    """All measures of one swap that need no further files.

    Args:
        photos: the gallery; must show every identity person.
        frontal: photos known to be frontal, for the corrected pitch.
        recogniser: dlib's unless given.
    """
    recogniser = recogniser or DlibRecogniser()
    # Aligned crops are all that recognising needs; whole photographs would fill the memory.
    enrolled = [aligned_view(photo) for photo in photos if photo.landmarks is not None]
    return [
        IdentityMeasure(recogniser),
        RobustIdentityMeasure(recogniser),
        RetrievalMeasure(Gallery(enrolled, recogniser)),
        PoseMeasure(frontal_bias(frontal) if frontal else None),
        ExpressionMeasure(),
        GazeMeasure(),
        BoundaryGradient(),
        Sharpness(),
        Background(),
        ChromaMatch(),
    ]


def run_method(
    method: str,
    pairs: Sequence[Pair],
    people: Mapping[str, str],
    measures: Sequence[PairMeasure],
    out: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Swap and measure every pair with one method, skipping what an earlier run has done.

    Args:
        method: name or weights, as in ``swap``.
        pairs: what to swap.
        people: photo name → person; a photo that is not in it shows a person of its current.
        measures: what to measure.
        out: folder of the run; rows go to ``out/METHOD/pairs.csv``, pictures to ``out/METHOD/results``.
        device: as in ``swap``.
        progress: called with the method, pairs done and pairs in all.

    Returns:
        One row per pair: the fixed columns and one number per measure column (None if undefined).

    Raises:
        ImageWriteError: the folder cannot be written to.
        CheckpointError: the method's weights cannot be loaded.
    """
    folder = out / method_folder(method)
    columns = columns_of(measures)
    rows = {int(row["number"]): row for row in read_rows(folder / ROWS, columns)}
    pending = [pair for pair in pairs if pair.number not in rows]
    swapper = PhotoSwapper.from_pretrained(method, device=device) if pending else None
    photo = functools.lru_cache(maxsize=128)(lambda path, name: _photo(path, name, people.get(name, name)))
    append = row_writer(folder / ROWS, columns)
    for count, pair in enumerate(pairs):
        if progress is not None:
            progress(method, count, len(pairs))
        if swapper is not None and pair.number not in rows:
            row = measure_pair(swapper, pair, measures, photo, out, folder)
            append(row)
            rows[pair.number] = row
    if progress is not None:
        progress(method, len(pairs), len(pairs))
    return [rows[pair.number] for pair in pairs]


def columns_of(measures: Sequence[PairMeasure]) -> list[Column]:
    """The columns of all measures, in order."""
    return [column for measure in measures for column in measure.columns]


def method_folder(method: str) -> str:
    """A folder name for a method's name or the path of its weights."""
    return Path(method).name if os.sep in method else method


def start_run(out: Path, settings: Settings) -> None:
    """Create the folder of a run, or check that it goes on with the same pairs.

    Raises:
        ImageWriteError: the folder belongs to a run with other pairs, or cannot be created.
    """
    path = out / SETTINGS
    try:
        out.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            earlier = json.loads(path.read_text(encoding="utf-8"))
            current = json.loads(json.dumps(asdict(settings)))
            if any(earlier[name] != current[name] for name in ("pairs", "distractors")):
                raise ImageWriteError(
                    f"{out}: holds a run with other pairs: choose another folder, or delete it"
                )
            return
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asdict(settings), indent=1), encoding="utf-8")
    except (OSError, ValueError, KeyError) as error:
        raise ImageWriteError(f"{out}: cannot hold the run ({error}): choose another folder") from error


def read_rows(path: Path, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Rows an earlier run wrote; a last line that was cut off is left out.

    Raises:
        ImageWriteError: the file has other columns, of another version or other measures.
    """
    if not path.is_file():
        return []
    _mend_last_line(path)
    with open(path, newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        names = [*_FIXED, *(column.name for column in columns)]
        if reader.fieldnames is not None and list(reader.fieldnames) != names:
            raise ImageWriteError(
                f"{path}: has other columns than this run: choose another folder, or delete it"
            )
        complete = [row for row in reader if None not in row and None not in row.values()]
    rows: list[dict[str, Any]] = []
    for row in complete:
        numbers = {column.name: _number(row[column.name]) for column in columns}
        rows.append({**row, "number": int(row["number"]), "seconds": _number(row["seconds"]), **numbers})
    return rows


def measure_pair(
    swapper: PhotoSwapper,
    pair: Pair,
    measures: Sequence[PairMeasure],
    photo: Callable[[Path, str], View],
    out: Path,
    folder: Path,
) -> dict[str, Any]:
    """Swap, write the picture, measure; an error is a row with the worst values, never the end of the run.

    Args:
        swapper: of the method.
        pair: to swap.
        measures: of one swap.
        photo: path and name → the photo with its face.
        out: folder of the run.
        folder: of the method in it.
    """
    row: dict[str, Any] = {
        **dict.fromkeys(_FIXED, ""),
        "number": pair.number,
        "identity": pair.identity_name,
        "attribute": pair.attribute_name,
    }
    worst = {column.name: column.worst for column in columns_of(measures)}
    try:
        identity = photo(pair.identity, pair.identity_name)
        attribute = photo(pair.attribute, pair.attribute_name)
        start = time.perf_counter()
        result = swapper(swapper.prepare(identity.pixels), attribute.pixels)
    except StyleganSwapError as error:
        return {**row, "status": "error", "reason": str(error), "seconds": 0.0, **worst}
    row["seconds"] = round(time.perf_counter() - start, 4)
    # Write the picture.
    pixels = np.asarray(result.image)[..., :3]
    picture = folder / "results" / f"{pair.number:05d}.png"
    with _write_errors(picture):
        picture.parent.mkdir(parents=True, exist_ok=True)
    write_photo(picture, np.ascontiguousarray(pixels), overwrite=True)
    row["result"] = picture.relative_to(out).as_posix()
    # Measure. A method that changed nothing is judged where a swap would have been.
    mask = result.mask if result.mask.any() else None
    sample = Sample(identity, attribute, look(pixels, picture.name, identity.person), mask)
    row["status"] = "miss" if sample.missed else "ok"
    row["reason"] = "no face was found in the result" if sample.missed else ""
    for measure in measures:
        row |= measured(measure, sample)
    return row


def _photo(path: Path, name: str, person: str) -> View:
    return look(read_photo(path).pixels, name, person)


def row_writer(path: Path, columns: Sequence[Column]) -> Callable[[dict[str, Any]], None]:
    """A function that appends one row to a CSV file and returns when it is on the disk.

    Raises:
        ImageWriteError: the file cannot be written, here or when a row is appended.
    """
    names = [*_FIXED, *(column.name for column in columns)]

    def write(line: Callable[[Any], object]) -> None:
        # Opened for each row: after a full disk nothing waits in a buffer to fail once more on closing.
        with _write_errors(path), open(path, "a", newline="", encoding="utf-8") as stream:
            line(csv.DictWriter(stream, names))
            stream.flush()
            os.fsync(stream.fileno())

    def append(row: dict[str, Any]) -> None:
        finite = {key: "" if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}
        write(lambda writer: writer.writerow(finite))

    with _write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _mend_last_line(path)
    if not path.is_file() or not path.stat().st_size:
        write(lambda writer: writer.writeheader())
    return append


def _write_errors(path: Path) -> AbstractContextManager[None]:
    remedy = "free some space, the run goes on from there"
    return os_errors_as(ImageWriteError, path, "cannot be written", remedy)


def _mend_last_line(path: Path) -> None:
    """Cut off a row that a killed run left half-written."""
    if path.is_file() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        with _write_errors(path), replacing(path) as temporary:
            temporary.write_bytes(content[: content.rfind(b"\n") + 1])


def _number(text: str) -> float | None:
    return float(text) if text else None
