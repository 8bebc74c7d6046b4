"""An evaluation as one HTML page: counts, measures with intervals, plots, and the best and worst swaps.

The page carries everything it shows, so it can be mailed, archived and opened without a network. Its template
is ``report.html.j2``.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from stylegan_swap.errors import ImageWriteError, os_errors_as
from stylegan_swap.evaluation import report_plots
from stylegan_swap.evaluation.table import finite
from stylegan_swap.files.atomic import replacing

#: One swap of a method: number, identity, attribute, status, reason, and a value per column.
Row: TypeAlias = Mapping[str, Any]

#: Identity, attribute and result photo of a swap, each uint8 RGB ``[H, W, 3]``.
Triple: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]

#: Text of a missing number.
NOTHING = "–"

_ARROWS = {"lower": "↓", "higher": "↑", "one": "→1"}
_DIRECTIONS = {"lower": "lower is better", "higher": "higher is better", "one": "nearer to 1 is better"}
_THUMBNAIL_PX = 120
_JPEG_QUALITY = 82


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    rows: Mapping[str, Sequence[Row]],
    triple: Callable[[str, Row], Triple],
    *,
    limit: int = 12,
) -> None:
    """Writes one self-contained HTML page, completely or not at all.

    Args:
        path: the file; its folder must exist, an existing file is replaced.
        summary: ``title``, ``command``, ``version``, ``pairs``, ``people``, ``sort_by`` (the column that
            ranks the swaps), ``columns`` (name → ``better``, ``unit``, ``floor``, ``meaning``) and
            ``methods`` (name → ``counts`` of ``ok``, ``miss`` and ``error``, ``seconds``, and ``measures``:
            column → ``value``, ``low``, ``high``).
        rows: method → one mapping per pair: ``number``, ``identity``, ``attribute``, ``status`` ("ok", "miss"
            or "error"), ``reason``, and a number or None per column.
        triple: method and row → identity, attribute and result photo; asked only for swaps that are shown,
            and those have the status "ok".
        limit: the most swaps at either end of the ranking of a method; no swap is shown at both.

    Raises:
        ImageWriteError: no such folder, no permission, or the disk is full.
        ValueError: ``sort_by`` is no column, or a picture is not uint8 RGB.
    """
    columns = summary["columns"]
    if summary["sort_by"] not in columns:
        raise ValueError(f"sort_by {summary['sort_by']!r} is no column: use one of {', '.join(columns)}")
    target = Path(path)
    if not target.parent.is_dir():
        raise ImageWriteError(f"{target}: the folder {target.parent} does not exist; create it first")
    page = _page(summary, rows, triple, limit)
    remedy = "free some space or choose another folder"
    with (
        os_errors_as(ImageWriteError, target, "could not be written", remedy),
        replacing(target) as temporary,
    ):
        temporary.write_text(page, encoding="utf-8")


def ranked(rows: Sequence[Row], column: str, better: str) -> list[Row]:
    """The successful swaps that have a finite value in a column, best first; ties by their number.

    Args:
        rows: of one method.
        column: to rank by.
        better: "lower", "higher" or "one".
    """
    graded = [row for row in rows if row["status"] == "ok" and finite(row.get(column)) is not None]
    return sorted(graded, key=lambda row: (badness(row[column], better), row["number"]))


def badness(value: float, better: str) -> float:
    """A number that is the smaller, the better the value is."""
    return {"lower": value, "higher": -value, "one": abs(value - 1)}[better]


def _page(
    summary: Mapping[str, Any],
    rows: Mapping[str, Sequence[Row]],
    triple: Callable[[str, Row], Triple],
    limit: int,
) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["sha256"] = _sha256
    source = resources.files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    methods = list(summary["methods"])
    of_methods = {method: rows.get(method, ()) for method in methods}
    return environment.from_string(source).render(
        summary=summary,
        methods=[_method(name, summary) for name in methods],
        keys=report_plots.keys(methods),
        failures=[failure for name in methods for failure in _failures(name, of_methods[name])],
        measures=[_measure(name, column, summary) for name, column in summary["columns"].items()],
        plots=report_plots.distributions(summary, of_methods),
        intervals=report_plots.intervals(summary),
        galleries=[_gallery(name, of_methods[name], summary, triple, limit) for name in methods],
        nothing=NOTHING,
    )


def _method(name: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the table of counts."""
    method = summary["methods"][name]
    counts = {state: int(method["counts"].get(state, 0)) for state in ("ok", "miss", "error")}
    pairs = sum(counts.values())
    seconds = finite(method.get("seconds"))
    per_pair = None if seconds is None or not pairs else seconds / pairs
    return {
        "name": name,
        "pairs": pairs,
        **counts,
        "seconds": _text(seconds, 1),
        "each": _text(per_pair, 0 if per_pair is None else _decimals([per_pair])),
        "seconds_value": seconds,
        "each_value": per_pair,
    }


def _failures(method: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every pair of a method that gave no swap with a face, with the reason."""
    return [
        {**row, "method": method, "reason": row.get("reason") or NOTHING}
        for row in rows
        if row["status"] != "ok"
    ]


def _measure(name: str, column: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the table measure × method."""
    measured = {method: entry["measures"].get(name) or {} for method, entry in summary["methods"].items()}
    values = {method: finite(entry.get("value")) for method, entry in measured.items()}
    defined = [value for value in values.values() if value is not None]
    best = min((badness(value, column["better"]) for value in defined), default=None)
    floor = finite(column.get("floor"))
    decimals = _decimals(defined or [floor or 0.0])
    cells = []
    for method, entry in measured.items():
        value, low, high = values[method], finite(entry.get("low")), finite(entry.get("high"))
        cells.append(
            {
                "method": method,
                "sort": value,
                "value": _text(value, decimals),
                "interval": ""
                if value is None or low is None or high is None
                else f"{_text(low, decimals)} … {_text(high, decimals)}",
                "best": value is not None and badness(value, column["better"]) == best,
            }
        )
    return {
        "name": name,
        "meaning": column.get("meaning", ""),
        "unit": column.get("unit", ""),
        "arrow": _ARROWS[column["better"]],
        "direction": _DIRECTIONS[column["better"]],
        "floor": _text(floor, decimals if floor is None else max(decimals, _decimals([floor], digits=1))),
        "floor_value": floor,
        "cells": cells,
    }


def _gallery(
    method: str,
    rows: Sequence[Row],
    summary: Mapping[str, Any],
    triple: Callable[[str, Row], Triple],
    limit: int,
) -> dict[str, Any]:
    """The two ends of a method's ranking with their pictures."""
    name = summary["sort_by"]
    order = ranked(rows, name, summary["columns"][name]["better"])
    # The better half feeds the one end and the worse half the other: no swap stands at both.
    half = (len(order) + 1) // 2
    best, worst = order[:half][:limit], order[half:][::-1][:limit]
    decimals = _decimals([float(row[name]) for row in order] or [0.0])

    def card(row: Row) -> dict[str, Any]:
        images = [_inline(picture, method, row) for picture in triple(method, row)]
        return {
            "number": row["number"],
            "identity": row["identity"],
            "attribute": row["attribute"],
            "value": _text(finite(row[name]), decimals),
            "pictures": list(zip(("identity", "attribute", "result"), images, strict=True)),
        }

    ends = [("Best", [card(row) for row in best]), ("Worst", [card(row) for row in worst])]
    return {"method": method, "ends": ends, "graded": len(order)}


def _inline(picture: np.ndarray, method: str, row: Row) -> str:
    """A small JPEG as a data address."""
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(
            f"{method}, pair {row['number']}: a picture is {pixels.dtype} {list(pixels.shape)}; "
            "give uint8 [H, W, 3] in RGB order"
        )
    image = Image.fromarray(np.ascontiguousarray(pixels))
    # Twice the size on the page, so that faces stay sharp on a phone's dense screen.
    image.thumbnail((2 * _THUMBNAIL_PX, 2 * _THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _decimals(values: Sequence[float], digits: int = 3) -> int:
    """Decimals that show the largest of the values with that many significant digits."""
    largest = max(abs(value) for value in values)
    return digits if largest == 0 else min(max(digits - 1 - math.floor(math.log10(largest)), 0), 6)


def _text(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else f"{value:.{decimals}f}"


def _sha256(script: Markup) -> str:
    """What the page's security policy calls its one script by."""
    return base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode("ascii")
