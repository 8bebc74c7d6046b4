"""Labels of photographs: what landmarks tell of a face, and what a manifest says of a person.

First step of ``from_folder``; ``judge`` measures synthesised faces in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stylegan_swap.errors import ImageReadError, UnsupportedOptionError
from stylegan_swap.faces.geometry.head_pose import head_pose
from stylegan_swap.faces.masks.glasses import wears_glasses
from stylegan_swap.files.table import decimal, read_table
from stylegan_swap.metrics.expression import FEATURES, SPREAD, expression_features

#: What is measured, and the unit of a strength: degrees, or the spread between the photographs.
MEASURED = {"yaw": "°", "pitch": "°", "smile": "σ", "mouth_open": "σ", "eyes_open": "σ", "brows_up": "σ"}
#: What is seen in the photograph itself, 1 or 0; in drawn faces it is read off dlib's descriptor.
PICTURED = {"glasses": wears_glasses}
_SPREAD = dict(zip(FEATURES, SPREAD.tolist(), strict=True))
_UNKNOWN = {"", "na", "n/a", "nan", "none", "unknown", "?"}


def measure_face(landmarks: np.ndarray) -> dict[str, float]:
    """The values of ``MEASURED`` of one face.

    ``smile`` is how wide the mouth is and how far its corners are lifted, each in spreads between the neutral
    faces of different people, halved; the others are those of ``metrics.pose`` and ``metrics.expression``,
    of two eyes or brows their mean.

    ``landmarks``: ``[68, 2]`` in pixels.

    Raises:
        ValueError: the landmarks show no face.
    """
    pose = head_pose(landmarks)
    measured = dict(zip(FEATURES, expression_features(landmarks).tolist(), strict=True))
    return {
        "yaw": pose.yaw,
        "pitch": pose.pitch,
        "smile": sum(measured[name] / _SPREAD[name] for name in ("mouth_width", "corner_lift")) / 2,
        "mouth_open": measured["inner_mouth_opening"],
        "eyes_open": (measured["left_eye_opening"] + measured["right_eye_opening"]) / 2,
        "brows_up": (measured["left_brow_height"] + measured["right_brow_height"]) / 2,
    }


def manifest_labels(manifest: Path, files: Sequence[str], columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns of a manifest as numbers, ``[len(files)]`` each, NaN where nothing is noted.

    Args:
        manifest: list with a column ``file``; see ``files.table``.
        files: which photographs, in order.
        columns: of numbers, or of two words: then the label is 1 for the later in the alphabet, which also
            names it (gender: female, male → ``male``).

    Raises:
        ImageReadError: the file is missing or unreadable.
        UnsupportedOptionError: no such column, or one of more than two words.
    """
    table = read_table(manifest, ImageReadError, ("file", *columns))
    if "file" not in table.columns:
        raise ImageReadError(f"{manifest}: has no column 'file'; labels need it")
    rows = {row["file"]: row for row in table.rows}
    labels = {}
    for column in columns:
        if not rows or column not in table.columns:
            raise UnsupportedOptionError(f"{manifest}: has no column {column!r}; choose one of its columns")
        texts = [rows.get(file, {}).get(column, "").strip() for file in files]
        label_texts = [text for text in texts if text.lower() not in _UNKNOWN]
        name, values = column, [_number(text) for text in texts]
        if any(np.isnan(_number(text)) for text in label_texts):
            words = sorted({row[column].strip() for row in rows.values()} - {""})
            words = [word for word in words if word.lower() not in _UNKNOWN]
            if len(words) != 2:
                raise UnsupportedOptionError(
                    f"{manifest}: column {column!r} holds {len(words)} words; numbers or two words are needed"
                )
            name = re.sub(r"[^A-Za-z0-9_-]+", "_", words[1])
            values = [{words[0]: 0.0, words[1]: 1.0}.get(text, np.nan) for text in texts]
        labels[name] = np.array(values)
    return labels


def _number(text: str) -> float:
    try:
        return decimal(text)
    except ValueError:
        return float("nan")
