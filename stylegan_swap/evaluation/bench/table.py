"""Rows of numbers, on the screen and as CSV. Used by everything that prints timings."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from stylegan_swap.files.atomic import replacing

Row = Mapping[str, "str | int | float | None"]


def lines_of(rows: Sequence[Row]) -> list[str]:
    """A table in plain text: the first row's keys as heading, numbers to three digits."""
    if not rows:
        return []
    names = list(rows[0])
    cells = [names, *([shown(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    return ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in cells]


def shown(value: str | int | float | None) -> str:
    """One cell: three significant digits for numbers with a fraction, nothing for None."""
    if value is None:
        return ""
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else str(round(value) if isinstance(value, float) else value)
    )


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows with the keys of all of them as columns; the file appears whole or not at all."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: shown(row.get(name)) for name in names})
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
