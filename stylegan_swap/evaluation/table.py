"""From rows to a table: means over all pairs, intervals over people; between ``benchmark`` and ``report``."""

from __future__ import annotations

import csv
import io
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
    some = next(iter(rows.values()))
    identities = {people.get(str(row["identity"]), str(row["identity"])) for row in some}
    return {
        "title": title,
        "command": command,
        "version": __version__,
        "pairs": len(some),
        "people": len(identities),
        "sort_by": SORT_BY,
        "columns": {column.name: _about(column) for column in columns},
        "methods": {
            method: _method(method_rows, columns, people, resamples) for method, method_rows in rows.items()
        },
    }


def add_measure(
    summary: dict[str, Any], method: str, column: Column, found: tuple[float, float | None, float | None]
) -> None:
    """Put a measure of a method, or of many swaps at once, into a summary: value, lower and upper end."""
    summary["columns"][column.name] = _about(column)
    for measures in (values["measures"] for values in summary["methods"].values()):
        measures.setdefault(column.name, {"value": None, "low": None, "high": None, "undefined": 0})
    summary["methods"][method]["measures"][column.name] = {
        **dict(zip(("value", "low", "high"), found, strict=True)),
        "undefined": 0,
    }


def as_table(summary: Mapping[str, Any]) -> str:
    """The summary as CSV: one line per measure and method, numbers only."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["measure", "better", "unit", "method", "value", "low", "high", "pairs", "undefined"])
    for column, about in summary["columns"].items():
        for method, values in summary["methods"].items():
            found = values["measures"][column]
            numbers = ["" if found[key] is None else f"{found[key]:.5g}" for key in ("value", "low", "high")]
            writer.writerow(
                [
                    column,
                    about["better"],
                    about["unit"],
                    method,
                    *numbers,
                    summary["pairs"],
                    found["undefined"],
                ]
            )
    return text.getvalue()


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
    known = [row for row in rows if row[name] is not None and np.isfinite(row[name])]
    values = [float(row[name]) for row in known]
    who = [people.get(str(row["identity"]), str(row["identity"])) for row in known]
    if not values:
        return {"value": None, "low": None, "high": None, "undefined": len(rows)}
    undefined = len(rows) - len(values)
    if len(set(who)) < 2:
        return {"value": float(np.mean(values)), "low": None, "high": None, "undefined": undefined}
    found = bootstrap_over_people(values, who, resamples=resamples)
    return {"value": found.estimate, "low": found.low, "high": found.high, "undefined": undefined}


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
