"""Building a study from folders of results: reads ``pairs.csv``, shrinks the pictures, makes the checks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from stylegan_swap.errors import os_errors_as
from stylegan_swap.evaluation.study.manifest import (
    CONSENT,
    KINDS,
    PICTURES,
    REFERENCE,
    TEXTS,
    Check,
    Item,
    Study,
    StudyError,
    save_study,
)
from stylegan_swap.evaluation.study.plan import balanced_order
from stylegan_swap.files.table import read_table
from stylegan_swap.images.photo import read_photo

COLUMNS = ("number", "identity", "attribute", "status", "result")
_TILES = 8  # per side of a destroyed picture
_LEAST_SIDE_PX = 32


@dataclass(frozen=True)
class Options:
    """How a study is made.

    Attributes:
        kind: ``2afc`` (two results side by side) or ``mos`` (one result, 1 to 5).
        questions: keys of ``TEXTS``.
        items: items per rater; each has all questions.
        checks: attention checks per rater. Eight stop 96 % of those who guess between two.
        duplicates: items shown twice.
        ties: 2afc: offer "no difference".
        size: longest side of the pictures in pixels.
        seed: of all random choices.
        title: heading of the page.
        consent: text a rater agrees to.
    """

    kind: str = "2afc"
    questions: tuple[str, ...] = ("identity", "attribute", "natural")
    items: int = 18
    checks: int = 8
    duplicates: int = 3
    ties: bool = True
    size: int = 512
    seed: int = 0
    title: str = "Which picture?"
    consent: str = CONSENT


def build_study(
    results: Path,
    output: Path,
    identities: Path,
    attributes: Path,
    methods: Sequence[str] = (),
    options: Options | None = None,
) -> Study:
    """Makes a study folder: ``study.json`` and ``pictures/``.

    Only photo pairs for which every method has a result are used.

    Args:
        results: folder with ``METHOD/pairs.csv`` and the results they name.
        output: the study's folder; must be new or empty.
        identities: root of the identity photos in ``pairs.csv``.
        attributes: root of the attribute photos.
        methods: names of folders; all that have a ``pairs.csv`` if empty.
        options: how the study is made.

    Raises:
        StudyError: options, lists or folders that do not fit.
        ImageReadError: a picture cannot be read.
    """
    options = _checked(options or Options())
    names = list(methods) or sorted(path.parent.name for path in results.glob("*/pairs.csv"))
    least = 2 if options.kind == "2afc" else 1
    if len(set(names)) < max(least, len(names)):
        raise StudyError(
            f"{results}: a {options.kind} study needs {least} or more different methods, got {names}; "
            "give folders that hold a pairs.csv"
        )
    # Pairs that every method has a result for.
    lists = {name: _read_pairs(results, name) for name in names}
    numbers = _common_pairs(lists, results)
    _make_empty(output)
    rng = np.random.default_rng([options.seed, 0x5EED])
    shrink = _Shrinker(output / PICTURES, options.size, rng)
    # Shrunken pictures under random names.
    photos: dict[str, tuple[str, str]] = {}
    pictures: dict[tuple[str, str], str] = {}
    for number in numbers:
        row = lists[names[0]][number]
        photos[number] = (
            shrink.file(_inside(identities, row["identity"])),
            shrink.file(_inside(attributes, row["attribute"])),
        )
        for name in names:
            pictures[name, number] = shrink.file(_inside(results, lists[name][number]["result"]))
    # Items in balanced order: groups of methods × photo pairs.
    groups = list(combinations(names, 2)) if options.kind == "2afc" else [(name,) for name in names]
    shuffled = [numbers[index] for index in rng.permutation(len(numbers))]
    items = tuple(
        Item(
            f"i{position:05d}",
            number,
            group,
            tuple(pictures[name, number] for name in group),
            *photos[number],
        )
        for position, (group, number) in enumerate(
            (groups[group], shuffled[pair]) for group, pair in balanced_order(len(groups), len(numbers))
        )
    )
    study = Study(
        kind=options.kind,
        seed=options.seed,
        title=options.title,
        consent=options.consent,
        questions=options.questions,
        ties=options.ties and options.kind == "2afc",
        methods=tuple(names),
        items_per_rater=min(options.items, len(items)),
        checks_per_rater=options.checks,
        duplicates_per_rater=min(options.duplicates, len(items) // 2, options.items // 2),
        items=items,
        checks=tuple(_checks(options, [photos[number] for number in shuffled], shrink, rng)),
    )
    save_study(output, study)
    return study


def _checked(options: Options) -> Options:
    if options.kind not in KINDS:
        raise StudyError(f"kind {options.kind!r}: is unknown; choose one of {', '.join(KINDS)}")
    if unknown := set(options.questions) - set(TEXTS[options.kind]) or not options.questions:
        raise StudyError(f"questions {unknown}: choose from {', '.join(TEXTS[options.kind])}")
    if len(set(options.questions)) < len(options.questions):
        raise StudyError(f"questions {options.questions}: one comes twice; name each once")
    if options.items < 1 or min(options.checks, options.duplicates, options.seed) < 0 or options.size < 32:
        raise StudyError(
            "items, checks, duplicates, seed or size: too small; need items ≥ 1, size ≥ 32, the others ≥ 0"
        )
    return options


def _read_pairs(results: Path, method: str) -> dict[str, dict[str, str]]:
    """Rows of a method that have a result, by number."""
    path = results / method / "pairs.csv"
    table = read_table(path, StudyError, COLUMNS)
    if missing := set(COLUMNS) - set(table.columns):
        raise StudyError(f"{path}: lacks the columns {sorted(missing)}; it needs {', '.join(COLUMNS)}")
    rows = [{key: row[key] for key in COLUMNS} for row in table.rows]
    by_number = {row["number"]: row for row in rows if row["result"]}
    if len(by_number) < sum(bool(row["result"]) for row in rows):
        raise StudyError(f"{path}: a number comes twice; number the pairs")
    return by_number


def _common_pairs(lists: dict[str, dict[str, dict[str, str]]], results: Path) -> list[str]:
    first = next(iter(lists.values()))
    numbers = [number for number in first if all(number in rows for rows in lists.values())]
    if not numbers:
        raise StudyError(
            f"{results}: no pair has a result of every method {sorted(lists)}; run them on the same list"
        )
    names = list(lists)
    for name, rows in lists.items():
        for number in numbers:
            if any(rows[number][key] != first[number][key] for key in ("identity", "attribute")):
                raise StudyError(
                    f"{results / name / 'pairs.csv'}: pair {number} has other photos than {names[0]}'s; "
                    "run all methods on the same list"
                )
    return numbers


def _inside(root: Path, name: str) -> Path:
    """A path of a list, which must not leave its root."""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise StudyError(f"{name}: lies outside {root}; give the folder that the list's paths start from")
    return path


def _make_empty(output: Path) -> None:
    with os_errors_as(StudyError, output, "cannot be made", "choose another folder"):
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            raise StudyError(f"{output}: is not empty; choose a new folder, so that no answers are lost")
        (output / PICTURES).mkdir()


class _Shrinker:
    """Writes pictures as small JPEG files with random names and without metadata."""

    def __init__(self, folder: Path, size: int, rng: np.random.Generator) -> None:
        self.folder, self.size, self.rng = folder, size, rng
        self.names: dict[Path, str] = {}

    def file(self, path: Path) -> str:
        """The name of a shrunk file; the same for the same file."""
        if path not in self.names:
            pixels = read_photo(path).pixels
            if min(pixels.shape[:2]) < _LEAST_SIDE_PX:
                raise StudyError(f"{path}: has a side under {_LEAST_SIDE_PX} pixels; leave that pair out")
            self.names[path] = self.pixels(pixels)
        return self.names[path]

    def pixels(self, pixels: npt.NDArray[np.uint8]) -> str:
        """The name of a new picture."""
        name = f"{self.rng.bytes(8).hex()}.jpg"
        image = Image.fromarray(pixels)
        image.thumbnail((self.size, self.size), Image.Resampling.LANCZOS)
        # In memory first: Pillow itself would not notice that only a part of it fits on the disk.
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=90, subsampling=0)
        with os_errors_as(StudyError, self.folder / name, "cannot be written", "make room"):
            (self.folder / name).write_bytes(encoded.getbuffer())
        return name


def _checks(
    options: Options, photos: list[tuple[str, str]], shrink: _Shrinker, rng: np.random.Generator
) -> list[Check]:
    """Twice as many as a rater sees: an untouched photo against (or, for MOS, or) a destroyed one."""
    checks = []
    for position in range(2 * options.checks):
        # Consecutive checks take all questions in turn and, for MOS, good and bad pictures in turn.
        question = options.questions[position % len(options.questions)]
        identity, attribute = photos[position % len(photos)]
        good = identity if REFERENCE[question] == "identity" else attribute
        with Image.open(shrink.folder / good) as image:
            bad = shrink.pixels(destroyed(np.asarray(image), rng))
        pictures: tuple[str, ...] = (good, bad)
        expected = "first"
        if options.kind == "mos":
            turns = position // len(options.questions) if len(options.questions) % 2 == 0 else 0
            high = (position + turns) % 2 == 0
            picture, expected = (good, "high") if high else (bad, "low")
            pictures = (picture,)
        checks.append(Check(f"c{position:03d}", question, pictures, expected, identity, attribute))
    return checks


def destroyed(pixels: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A picture nobody takes for a good one: 8 × 8 tiles in random order under strong noise.

    Args:
        pixels: uint8 [H, W, 3], at least 8 pixels a side.
        rng: of the order and the noise.
    """
    height, width = (side // _TILES for side in pixels.shape[:2])
    inner = pixels[: height * _TILES, : width * _TILES]
    tiles = inner.reshape(_TILES, height, _TILES, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)
    mixed = tiles[rng.permutation(len(tiles))].reshape(_TILES, _TILES, height, width, 3).swapaxes(1, 2)
    noisy = mixed.reshape(inner.shape) + rng.normal(0, 50, inner.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
