"""Measures of a whole method on the results of ``benchmark``: two-sample test, ``kid_dlib``, LPIPS, FID, KID.

The two-sample classifier is trained on swaps of the people whom a ``manifest.csv`` puts into split train and
tested on those of the pairs, of whom it has seen none.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stylegan_swap.errors import ImageReadError, MissingDependencyError, StyleganSwapError
from stylegan_swap.evaluation.benchmark import method_folder
from stylegan_swap.evaluation.pairs import Pair
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.images.photo import (
    read_photo,
)
from stylegan_swap.metrics.kid import FEWEST, dlib_features, kid_dlib
from stylegan_swap.metrics.perceptual import fid, inception, kid, lpips_distance
from stylegan_swap.metrics.sample import Column, look
from stylegan_swap.metrics.two_sample import TwoSampleConfig, TwoSampleResult, two_sample_test
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.provenance.photo_file import (
    write_photo,
)
from stylegan_swap.swapping.swapper import PhotoSwapper
from stylegan_swap.weights.backbones import lpips_network

COLUMN = Column("two_sample_accuracy", "lower", 1.0, floor=0.5)
LPIPS_COLUMN = Column("lpips", "lower", 1.0, floor=0.0)
INCEPTION_KID_COLUMN = Column("kid", "lower", 10.0, floor=0.0)
FID_COLUMN = Column("fid", "lower", 1e4, floor=0.0)
KID_COLUMN = Column("kid_dlib", "lower", 10.0, floor=0.0)
# Of fewer than 1,000 photos, but enough to compare methods on the same ones.
FEW_KID_COLUMN = Column("kid_dlib_few", "lower", 10.0, floor=0.0)
FEWEST_OF_FEW = 50  # faces
CROP_SIDE = 256  # px, of LPIPS, FID and KID
TWO_SAMPLE_SIDE = 96  # px


def training_pairs(
    root: Path, manifest: Sequence[Mapping[str, str]], count: int, seed: int = 0
) -> list[Pair]:
    """Cross-person pairs of the people of split train, seeded.

    Raises:
        ImageReadError: the manifest has no such split, or fewer than ten people in it.
    """
    rows = [row for row in manifest if row.get("split") == "train"]
    if len({row["person"] for row in rows}) < 10:
        raise ImageReadError(
            f"{root / 'manifest.csv'}: the two-sample test is trained on the people whose column split says "
            "train, ten at least: add them, or leave out --two-sample"
        )
    draw = random.Random(seed)
    pairs: list[Pair] = []
    while len(pairs) < count:
        identity, attribute = draw.sample(rows, 2)
        if identity["person"] != attribute["person"]:
            names = identity["file"], attribute["file"]
            pairs.append(Pair(len(pairs), root / names[0], root / names[1], *names))
    return pairs


def two_sample_of_method(
    method: str,
    pairs: Sequence[Pair],
    rows: Sequence[Mapping[str, Any]],
    train_pairs: Sequence[Pair],
    people: Mapping[str, str],
    out: Path,
    *,
    device: str = "auto",
    config: TwoSampleConfig | None = None,
    seed: int = 0,
) -> TwoSampleResult:
    """Can swaps of this method be told from photos? See ``two_sample_test`` for ``config`` and ``seed``.

    The other arguments are those of ``two_sample_crops``.

    Raises:
        ValueError: too few people or results; see ``two_sample_test``.
    """
    crops = two_sample_crops(method, pairs, rows, train_pairs, people, out, device=device)
    names = {people.get(name, name) for pair in pairs for name in (pair.identity_name, pair.attribute_name)}
    return two_sample_test(*crops, config=config, test_people=names, seed=seed)


def two_sample_crops(
    method: str,
    pairs: Sequence[Pair],
    rows: Sequence[Mapping[str, Any]],
    train_pairs: Sequence[Pair],
    people: Mapping[str, str],
    out: Path,
    *,
    device: str = "auto",
) -> tuple[Tensor, Tensor, list[tuple[str, ...]], list[str]]:
    """The crops that the two-sample test compares.

    Args:
        method: as in ``benchmark.run_method``.
        pairs: of the benchmark.
        rows: what ``run_method`` returned for them.
        train_pairs: from ``training_pairs``.
        people: photo name → person.
        out: folder of the run; the training swaps are kept in ``out/METHOD/training``.
        device: as in ``swap``.

    Returns:
        Swaps and photos, each under the attribute photo's alignment, ``[n, 3, 96, 96]``, RGB in [-1, 1], the
        people of each swap and the person of each photo.
    """
    folder = out / method_folder(method)
    swapper = PhotoSwapper.from_pretrained(method, device=device)
    swaps: list[Tensor] = []
    photos: dict[str, Tensor] = {}
    swap_people: list[tuple[str, ...]] = []
    results = {row["number"]: out / row["result"] for row in rows if row["result"]}
    files = [(pair, results.get(pair.number)) for pair in pairs]
    files += [(pair, _training_swap(swapper, pair, folder)) for pair in train_pairs]
    for pair, result in files:
        attribute = look(read_photo(pair.attribute).pixels) if result is not None else None
        if result is None or attribute is None or attribute.landmarks is None:
            continue
        alignment = attribute.alignment(TWO_SAMPLE_SIDE)
        swaps.append(from_pixels(alignment.crop(read_photo(result).pixels)))
        swap_people.append(
            tuple(people.get(name, name) for name in (pair.identity_name, pair.attribute_name))
        )
        photos[pair.attribute_name] = from_pixels(alignment.crop(attribute.pixels))
    photo_people = [people.get(name, name) for name in photos]
    return torch.cat(swaps), torch.cat(list(photos.values())), swap_people, photo_people


def kid_of_method(
    pairs: Sequence[Pair], rows: Sequence[Mapping[str, Any]], out: Path
) -> tuple[Column, float, float, float] | None:
    """``kid_dlib`` of results against attribute photos and both ends of its spread; None below 50 faces.

    Below 1,000 of each it has a column of its own, fit for comparing methods on the same photos.
    """
    results = _results(pairs, rows, out)
    photos = list(dict.fromkeys(attribute for attribute, _ in results))
    count = min(len(results), len(photos))
    if count < FEWEST_OF_FEW:
        return None
    network = DlibIdentity()
    swaps = dlib_features(_crops(results), network)
    real = dlib_features(_crops([(path, path) for path in photos]), network)
    distance = kid_dlib(swaps, real, allow_few=True)
    column = KID_COLUMN if count >= FEWEST else FEW_KID_COLUMN
    return column, distance.value, distance.value - distance.deviation, distance.value + distance.deviation


def perceptual_of_method(
    pairs: Sequence[Pair], rows: Sequence[Mapping[str, Any]], out: Path
) -> list[tuple[Column, float]]:
    """LPIPS (result to attribute photo), FID and KID, each if its backbone lies in torch's hub folder.

    All on 256-px crops under the attribute photo's alignment; see ``perceptual`` for files and formulas.
    """
    results = _results(pairs, rows, out)
    columns: list[tuple[Column, float]] = []
    with contextlib.suppress(MissingDependencyError):
        network = lpips_network()
        distances = [
            float(lpips_distance(swap, photo, network)[0])
            for swap, photo in zip(_crops(results), _crops([(a, a) for a, _ in results]), strict=True)
        ]
        if distances:
            columns.append((LPIPS_COLUMN, float(np.mean(distances))))
    with contextlib.suppress(MissingDependencyError):
        features = inception()
        photos = list(dict.fromkeys(attribute for attribute, _ in results))
        fewest = min(len(results), len(photos))
        for column, distance, required in ((FID_COLUMN, fid, 2), (INCEPTION_KID_COLUMN, _kid_mean, FEWEST)):
            if fewest >= required:
                swaps, real = _bytes(_crops(results)), _bytes(_crops([(path, path) for path in photos]))
                columns.append((column, distance(swaps, real, features)))
    return columns


def _results(pairs: Sequence[Pair], rows: Sequence[Mapping[str, Any]], out: Path) -> list[tuple[Path, Path]]:
    """Attribute photo and result of every pair with a face in the result."""
    files = {row["number"]: out / row["result"] for row in rows if row["status"] == "ok"}
    return [(pair.attribute, files[pair.number]) for pair in pairs if pair.number in files]


def _crops(files: Iterable[tuple[Path, Path]]) -> Iterator[Tensor]:
    """The second picture of each, under the alignment of the first, ``[1, 3, 256, 256]``."""
    for attribute, picture in files:
        alignment = look(read_photo(attribute).pixels).alignment(CROP_SIDE)
        yield from_pixels(alignment.crop(read_photo(picture).pixels))


def _kid_mean(swaps: Iterable[Tensor], photos: Iterable[Tensor], network: nn.Module) -> float:
    return kid(swaps, photos, network, subset_size=FEWEST)[0]


def _bytes(crops: Iterable[Tensor]) -> Iterator[Tensor]:
    for crop in crops:
        yield ((crop + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _training_swap(swapper: PhotoSwapper, pair: Pair, folder: Path) -> Path | None:
    """The swap as a file, made unless an earlier run has; None where it fails."""
    path = folder / "training" / f"{pair.number:05d}.png"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            result = swapper(swapper.prepare(pair.identity), pair.attribute)
        except StyleganSwapError:
            return None
        write_photo(path, np.ascontiguousarray(np.asarray(result.image)[..., :3]))
    return path
