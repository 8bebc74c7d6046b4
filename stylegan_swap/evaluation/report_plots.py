"""Plots of the report as inline SVG in the page's text colour, so that they fit light and dark.

Drawn by matplotlib without pyplot, hence without global state or a display.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from stylegan_swap.evaluation.table import finite

# Colours that keep a contrast of at least 3:1 on white and on near-black alike; the marks differ as well,
# for readers who do not see the colours.
_COLOURS = ("#2f7ed8", "#d55e00", "#1f9d61", "#b061c9", "#a5851a", "#d6477a", "#2596a3", "#808080")
_MARKS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"), ("X", "✖"), ("*", "★"))

# Placeholder of the page's text colour, replaced in the finished SVG.
_INK = "#010203"

_IDENTITY, _EXPRESSION = "id_distance", "expression_error"
_MOST_VECTOR_MARKS = 3000


def keys(methods: Sequence[str]) -> list[dict[str, str]]:
    """The legend: name, colour and mark of every method."""
    return [
        {"name": name, "colour": _COLOURS[i % len(_COLOURS)], "mark": _MARKS[i % len(_MARKS)][1]}
        for i, name in enumerate(methods)
    ]


def distributions(
    summary: Mapping[str, Any], rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """How the single swaps lie: every identity distance, the ranking column, and identity against expression.

    Args:
        summary: of the report.
        rows: of the report; only swaps with status "ok" and a finite value are drawn.

    Returns:
        Per plot its ``title``, what it ``says``, and the ``svg``; plots without any value are left out.
    """
    columns = list(summary["columns"])
    distances = [name for name in columns if name.startswith(_IDENTITY)]
    names = distances + [name for name in (summary["sort_by"],) if name not in distances]
    plots = [_strips(name, summary, rows) for name in names]
    expressions = [name for name in columns if name.startswith(_EXPRESSION)]
    if distances and expressions:
        plots.append(_scatter(distances[0], expressions[0], summary, rows))
    return [plot for plot in plots if plot is not None]


def intervals(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One small plot per measure: the value of every method with its interval, and the noise floor."""
    plots: list[dict[str, Any]] = []
    for name, column in summary["columns"].items():
        entries = [entry["measures"].get(name) or {} for entry in summary["methods"].values()]
        values = [[_number(entry.get(key)) for key in ("value", "low", "high")] for entry in entries]
        if all(math.isnan(value[0]) for value in values):
            continue
        figure, axes = _axes(3.4, 0.55 + 0.25 * len(values))
        for i, (value, low, high) in enumerate(values):
            if math.isnan(value):
                continue
            colour, mark = _COLOURS[i % len(_COLOURS)], _MARKS[i % len(_MARKS)][0]
            axes.plot([low, high], [i, i], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot([value], [i], mark, color=colour, markersize=6)
        _method_axis(axes, list(summary["methods"]))
        _floor(axes, column)
        plots.append({"title": name, "says": "", "svg": _svg(figure, f"int{len(plots)}", name)})
    return plots


def _strips(
    name: str, summary: Mapping[str, Any], rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any] | None:
    """Every swap as a mark, the quartiles as a box, one line per method."""
    values = {method: _pairs(rows[method], name)[:, 0] for method in rows}
    if not any(len(numbers) for numbers in values.values()):
        return None
    figure, axes = _axes(5.6, 0.8 + 0.55 * len(values))
    jitter = np.random.default_rng(0)
    rasterized = sum(map(len, values.values())) > _MOST_VECTOR_MARKS
    for i, numbers in enumerate(values.values()):
        if not len(numbers):
            continue
        colour = _COLOURS[i % len(_COLOURS)]
        axes.scatter(
            numbers,
            i + jitter.uniform(-0.3, 0.3, len(numbers)),
            s=9,
            color=colour,
            alpha=0.55,
            linewidths=0,
            rasterized=rasterized,
        )
        low, middle, high = np.quantile(numbers, (0.25, 0.5, 0.75))
        axes.barh(i, high - low, left=low, height=0.5, fill=False, edgecolor=_INK, linewidth=1)
        axes.plot([middle, middle], [i - 0.25, i + 0.25], color=_INK, linewidth=2.5, solid_capstyle="butt")
    _method_axis(axes, list(values))
    _floor(axes, summary["columns"][name])
    axes.set_xlabel(_heading(name, summary), parse_math=False)
    caption = "One mark per swap; box: middle half and median"
    if not math.isnan(_number(summary["columns"][name].get("floor"))):
        caption += "; dashed: the measure's own noise"
    return {
        "title": f"{name} of every swap",
        "says": caption + ".",
        "svg": _svg(figure, f"dist-{_slug(name)}", name),
    }


def _scatter(
    across: str, upwards: str, summary: Mapping[str, Any], rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any] | None:
    """The trade between two measures, swap by swap, with the median of every method."""
    values = {method: _pairs(rows[method], across, upwards) for method in rows}
    total = sum(map(len, values.values()))
    if not total:
        return None
    figure, axes = _axes(5.6, 4.2)
    for i, numbers in enumerate(values.values()):
        if not len(numbers):
            continue
        style: dict[str, Any] = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKS[i % len(_MARKS)][0]}
        x, y = numbers.T
        axes.scatter(x, y, s=14, alpha=0.55, linewidths=0, rasterized=total > _MOST_VECTOR_MARKS, **style)
        axes.scatter(
            [np.median(x)], [np.median(y)], s=110, edgecolors=_INK, linewidths=1.5, zorder=3, **style
        )
    axes.grid(color=_INK, alpha=0.15, linewidth=0.6)
    axes.set_xlabel(_heading(across, summary), parse_math=False)
    axes.set_ylabel(_heading(upwards, summary), parse_math=False)
    return {
        "title": f"{across} against {upwards}",
        "says": "One mark per swap; large marks: medians.",
        "svg": _svg(figure, "trade", f"{across} against {upwards}"),
    }


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    return figure, axes


def _method_axis(axes: Axes, methods: Sequence[str]) -> None:
    """Names downwards in the order of the tables; long ones are cut, the legend has them whole."""
    names = [name if len(name) <= 18 else name[:17] + "…" for name in methods]
    axes.set_yticks(range(len(methods)), labels=names, parse_math=False)
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.grid(axis="x", color=_INK, alpha=0.15, linewidth=0.6)
    axes.locator_params(axis="x", nbins=5)


def _floor(axes: Axes, column: Mapping[str, Any]) -> None:
    floor = _number(column.get("floor"))
    if not math.isnan(floor):
        axes.axvline(floor, color=_INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.7)


def _heading(name: str, summary: Mapping[str, Any]) -> str:
    """Name, unit and direction of a column, for an axis."""
    column = summary["columns"][name]
    unit = f" [{column['unit']}]" if column.get("unit") else ""
    return f"{name}{unit} ({'nearer to 1' if column['better'] == 'one' else column['better']} is better)"


def _pairs(rows: Sequence[Mapping[str, Any]], *names: str) -> np.ndarray:
    """``[n, len(names)]`` values of the successful swaps that have them all."""
    values = [[_number(row.get(name)) for name in names] for row in rows if row["status"] == "ok"]
    table = np.array(values, np.float64).reshape(-1, len(names))
    return table[np.isfinite(table).all(axis=1)]


def _number(value: object) -> float:
    """A number as float, NaN for anything else."""
    number = finite(value)
    return math.nan if number is None else number


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _svg(figure: Figure, prefix: str, label: str) -> Markup:
    """The figure as an element of an HTML page: no fixed size, ids of its own, ink from the page."""
    buffer = io.StringIO()
    # Text stays text (small, selectable, in the page's font); the salt makes ids the same in every run.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix, "font.family": "sans-serif"}):
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Names of XML name spaces look like addresses; inside HTML they are implied.
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    rest = re.sub(r'\bid="', f'id="{prefix}-', rest)
    rest = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{prefix}-", rest).replace(_INK, "currentColor")
    return Markup(f'{head} role="img" aria-label="{escape(label)}">{rest}')
