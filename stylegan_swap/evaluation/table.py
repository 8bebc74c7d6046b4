"""Tables of numbers: an evaluation's summary (means over pairs, intervals over people), plain text, CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_swap._version import __version__
from stylegan_swap.files.atomic import replacing
from stylegan_swap.metrics.intervals import bootstrap_over_people
from stylegan_swap.metrics.sample import Column

SORT_BY = "id_distance"


def summarise(
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    columns: Sequence[Column],
    people: Mapping[str, str],
    *,
    title: str = "Face swaps, measured",
    command: str = "",
    resamples: int = 1000,
) -> dict[str, Any]:
    """The contents of ``summary.json``.

    Every mean is over all pairs: misses and errors are in the rows with a column's worst value. Only values
    that a measure cannot define (no visible iris, no known frontal photo) are left out, and counted.

    Args:
        rows: method → one row per pair, as ``benchmark.run_method`` returns them.
        columns: what the rows hold.
        people: photo name → person; the bootstrap draws identity people.
        title: of the report.
        command: what was run.
        resamples: of the bootstrap.

    Returns:
        Plain values for JSON; the layout ``report.write_report`` reads.
    """
    first = next(iter(rows.values()))
    identities = {people.get(str(row["identity"]), str(row["identity"])) for row in first}
    return {
        "title": title,
        "command": command,
        "version": __version__,
        "pairs": len(first),
        "people": len(identities),
        "sort_by": SORT_BY,
        "columns": {column.name: _about(column) for column in columns},
        "methods": {
            method: _method(method_rows, columns, people, resamples) for method, method_rows in rows.items()
        },
    }


def add_measure(
    summary: dict[str, Any],
    method: str,
    column: Column,
    value: float,
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Put a measure of a method, or of many swaps at once, into a summary, with both ends of its interval."""
    summary["columns"][column.name] = _about(column)
    for entry in summary["methods"].values():
        entry["measures"].setdefault(column.name, _entry(None))
    summary["methods"][method]["measures"][column.name] = _entry(value, low, high)


def as_table(summary: Mapping[str, Any]) -> str:
    """The summary as CSV: one line per measure and method, numbers only."""
    rows = []
    for column, about in summary["columns"].items():
        for method, values in summary["methods"].items():
            entry = values["measures"][column]
            rows.append(
                {
                    "measure": column,
                    "better": about["better"],
                    "unit": about["unit"],
                    "method": method,
                    **{
                        key: "" if entry[key] is None else f"{entry[key]:.5g}"
                        for key in ("value", "low", "high")
                    },
                    "pairs": summary["pairs"],
                    "undefined": entry["undefined"],
                }
            )
    return csv_text(rows)


def _about(column: Column) -> dict[str, Any]:
    return {"better": column.better, "unit": column.unit, "floor": column.floor, "meaning": ""}


def _method(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], people: Mapping[str, str], resamples: int
) -> dict[str, Any]:
    statuses = [str(row["status"]) for row in rows]
    seconds = [float(row["seconds"]) for row in rows if row["status"] != "error"]
    return {
        "counts": {status: statuses.count(status) for status in ("ok", "miss", "error")},
        "seconds": float(np.sum(seconds)),
        "measures": {column.name: _interval(rows, column.name, people, resamples) for column in columns},
    }


def _interval(
    rows: Sequence[Mapping[str, Any]], name: str, people: Mapping[str, str], resamples: int
) -> dict[str, float | int | None]:
    defined = [row for row in rows if finite(row[name]) is not None]
    values = [float(row[name]) for row in defined]
    clusters = [people.get(str(row["identity"]), str(row["identity"])) for row in defined]
    undefined = len(rows) - len(values)
    if len(set(clusters)) < 2:
        return _entry(float(np.mean(values)) if values else None, undefined=undefined)
    interval = bootstrap_over_people(values, clusters, resamples=resamples)
    return _entry(interval.estimate, interval.low, interval.high, undefined)


def _entry(
    value: float | None, low: float | None = None, high: float | None = None, undefined: int = 0
) -> dict[str, float | int | None]:
    return {"value": value, "low": low, "high": high, "undefined": undefined}


def finite(value: object) -> float | None:
    """A number as float; None for None, NaN, infinity and anything that is no number."""
    if isinstance(value, int | float | np.number) and math.isfinite(value):
        return float(value)
    return None


Row = Mapping[str, "str | int | float | None"]


def lines_of(rows: Sequence[Row]) -> list[str]:
    """A table in plain text: the first row's keys as heading, numbers to three digits."""
    if not rows:
        return []
    names = list(rows[0])
    cells = [names, *([cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    return ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in cells]


def cell(value: str | int | float | None) -> str:
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
    with replacing(path) as temporary:
        temporary.write_text(csv_text(rows), encoding="utf-8")


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV, with the keys of all of them as columns and numbers to three digits."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: cell(row.get(name)) for name in names})
    return text.getvalue()
