"""Fit directions for a network on a folder of photographs, and measure them: one call from photos to a file.

Photographs → encoder → codes; landmarks and manifest → labels; ``editing.fit`` → directions; ``judge`` →
calibrated and validated on faces that the generator draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_swap.editing.direction import Direction
from stylegan_swap.editing.direction_file import generator_fingerprint
from stylegan_swap.editing.fit import FitMethod, fit_directions
from stylegan_swap.editing.fitting.judge import BATCH, Judge, Validation, calibrated, describe, validate
from stylegan_swap.editing.fitting.labels import MEASURED, PICTURED, manifest_labels, measure_face
from stylegan_swap.errors import ImageReadError, UnsupportedOptionError
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.methods.base.protocol import generator_of
from stylegan_swap.training.data.photo_folder import MANIFEST
from stylegan_swap.training.data.photos import Photos

# Faces that calibrate, and that validate, a direction: the slope is then right to a few per cent.
_CALIBRATING = 48
_VALIDATING = 48
# A collection of fewer photographs says nothing about its own look.
_SMALL_COLLECTION = 20


@dataclass(frozen=True)
class Labelled:
    """Photographs as codes, with what is known of them.

    Attributes:
        codes: ``[n, L, D]``.
        descriptors: dlib's, ``[n, 128]``.
        labels: by name, ``[n]``, NaN where unknown.
        held: ``[n, k]``, what is to stay: the picture's mean colour and the collection.
    """

    codes: Tensor
    descriptors: np.ndarray
    labels: dict[str, np.ndarray]
    confounders: np.ndarray


@dataclass(frozen=True)
class Fitted:
    """What was found.

    Attributes:
        directions: by name.
        validations: by name, on the validation people; empty without any.
        notes: what was left out and why, one line each.
    """

    directions: dict[str, Direction]
    validations: dict[str, Validation]
    notes: tuple[str, ...]


def fit_folder(
    method: Any,
    identity: Any,
    folder: Path,
    *,
    attributes: Sequence[str] = tuple(MEASURED),
    columns: Sequence[str] = (),
    split: str = "train",
    validation: str | None = "val",
    fit: FitMethod = "regression",
    progress: Callable[[str], None] = lambda text: None,
) -> Fitted:
    """Find yaw, pitch, smile, mouth, eyes and brows, and columns of the manifest, in a network's codes.

    Args:
        method: with ``invert``, ``generate`` and ``generator``.
        identity: dlib's recognition network, ``DlibIdentity``.
        folder: the photographs; see ``training.photo_folder``.
        attributes: which of ``labels.MEASURED`` and ``labels.PICTURED``.
        columns: of manifest.csv, numbers or two words; see ``manifest_labels``.
        split: the photographs to fit on.
        validation: those of other people to measure on; None for none.
        fit: see ``fit_directions``.
        progress: is told what is being done.

    Raises:
        ImageReadError: photographs, landmarks or the manifest are missing.
        UnsupportedOptionError: the network has no latent space, or there are too few photographs.
    """
    if generator_of(method) is None:
        raise UnsupportedOptionError(
            f"method {method.name!r} lacks a generator or an encoder: give weights that hold both"
        )
    train = _labelled(method, identity, folder, split, attributes, columns, progress)
    directions = fit_directions(
        train.codes,
        train.labels,
        confounders=train.confounders,
        method=fit,
        network=generator_fingerprint(method.generator),
        source=f"{fit} on {len(train.codes)} photographs, split {split}",
    )
    judge = Judge(method, identity)
    judge.learn(train.descriptors, {name: train.labels[name] for name in directions if name not in MEASURED})
    deviations = {name: direction.measured["label_deviation"] for name, direction in directions.items()}
    calibration = _spread(train.codes, _CALIBRATING)
    fitted: dict[str, Direction] = {}
    notes = []
    for name, direction in directions.items():
        progress(f"calibrating {name}")
        scaled, slope = calibrated(direction, judge, calibration, deviations[name])
        if scaled is direction:
            notes.append(
                f"{name}: left out, faces drawn with it change by {slope:.2f} σ where 1 was asked for"
            )
            continue
        fitted[name] = scaled
    validations = {}
    if validation is not None and fitted:
        held_out = _labelled(method, identity, folder, validation, (), (), progress)
        unseen = _spread(held_out.codes, _VALIDATING)
        baseline = judge.measure(unseen)
        for name, direction in fitted.items():
            progress(f"validating {name}")
            scales = {key: deviations[key] for key in fitted}
            result = validate(direction, judge, unseen, scales, baseline)
            validations[name] = result
            measured = {
                **direction.measured,
                "correlation": result.correlation,
                "slope": result.slope,
                "leak": result.leak,
                "identity": result.identity,
            }
            fitted[name] = replace(direction, measured=measured)
    # What has a unit of its own is given in it.
    degrees = {name for name in fitted if MEASURED.get(name) == "°"}
    for name in degrees:
        fitted[name] = replace(fitted[name], scale=fitted[name].scale / deviations[name], unit="°")
    return Fitted(fitted, validations, tuple(notes))


def _spread(codes: Tensor, count: int) -> Tensor:
    """So many of the codes, from all over the folder."""
    chosen = np.unique(np.linspace(0, len(codes) - 1, min(count, len(codes))).round().astype(int))
    return codes[torch.from_numpy(chosen)]


def _labelled(
    method: Any,
    identity: Any,
    folder: Path,
    split: str,
    attributes: Sequence[str],
    columns: Sequence[str],
    progress: Callable[[str], None],
) -> Labelled:
    size = max(256, method.size or 0)
    progress(f"reading the photographs of split {split}")
    photos = Photos.from_folder(folder, split, size)
    codes, descriptors, colours = [], [], []
    for start in range(0, len(photos), BATCH):
        progress(f"encoding {split}: {start} of {len(photos)}")
        faces = torch.cat(
            [from_pixels(photos.image(i)) for i in range(start, min(start + BATCH, len(photos)))]
        )
        codes.append(method.invert(faces).wplus.float().cpu())
        descriptors.append(describe(identity, faces))
        colours.append(faces.mean((2, 3)))
    rows = [measure_face(photos.landmarks(i)) for i in range(len(photos))]
    labels = {name: np.array([row[name] for row in rows]) for name in attributes if name in MEASURED}
    for name in (name for name in attributes if name in PICTURED):
        pictured = [PICTURED[name](photos.image(i), photos.landmarks(i)) for i in range(len(photos))]
        labels[name] = np.array(pictured, float)
    if columns:
        if not (folder / MANIFEST).is_file():
            raise ImageReadError(f"{folder / MANIFEST}: missing; columns are read from it")
        labels |= manifest_labels(folder / MANIFEST, [crop.name for crop in photos.crops], columns)
    return Labelled(
        torch.cat(codes),
        torch.cat(descriptors).numpy(),
        labels,
        np.column_stack([torch.cat(colours).double().numpy(), _collections(photos)]),
    )


def _collections(photos: Photos) -> np.ndarray:
    """One column of 0 and 1 per collection but the last, ``[n, k]``."""
    sources = np.array([crop.source for crop in photos.crops])
    names, counts = np.unique(sources, return_counts=True)
    large = names[counts >= _SMALL_COLLECTION][:-1]
    return (sources[:, None] == large[None]).astype(float)
