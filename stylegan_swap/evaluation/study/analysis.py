"""Analysis of a study: raters are screened, answers become strengths or mean opinions, both with intervals.

:func:`analyse_study` gives the contents of ``analysis.json``, :func:`write_analysis` writes it with a plot,
:func:`table` prints it. Strengths of 2afc studies come from ``preference``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

from stylegan_swap.errors import os_errors_as
from stylegan_swap.evaluation.study.answers import Answer, read_answers
from stylegan_swap.evaluation.study.manifest import Study, StudyError, load_study
from stylegan_swap.evaluation.study.preference import analyse_choices
from stylegan_swap.files.atomic import replacing

ANALYSIS_FILE, PLOT_FILE = "analysis.json", "analysis.png"
VERSION = 1

#: Share of attention checks to pass. 7 of 8: random answers pass in 4 % of cases (two choices).
LEAST_CHECKS = 0.8
#: Share of repeated questions to answer alike. Honest raters repeat only half of their choices between equal
#: methods, so this excludes only those who always press the same side.
LEAST_AGREEMENT = 0.2
#: Raters with fewer answered checks than this are dropped.
FEWEST_CHECKS = 3

# Expected answer of a check → least and greatest value that passes.
_PASSING = {"first": (1.0, 1.0), "high": (4.0, 5.0), "low": (1.0, 2.0)}


@dataclass(frozen=True)
class Screening:
    """The verdict on one rater.

    Attributes:
        rater: number of the rater.
        answers: count of all answers.
        checks: share of attention checks passed; None without any.
        agreement: share of repeated questions answered alike; None without any.
        dropped: reason why the answers do not count; empty if they do.
    """

    rater: int
    answers: int
    checks: float | None
    agreement: float | None
    dropped: str


def screen(
    study: Study,
    answers: Sequence[Answer],
    least_checks: float = LEAST_CHECKS,
    least_agreement: float = LEAST_AGREEMENT,
) -> list[Screening]:
    """One verdict per rater who answered anything.

    Args:
        study: the study.
        answers: all answers.
        least_checks: share of checks to pass. Raters who stopped before ``FEWEST_CHECKS`` checks are dropped
            as well, unless the study has fewer.
        least_agreement: share of repeated questions to answer alike.
    """
    passing = {check.id: _PASSING[check.expected] for check in study.checks}
    by_rater: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_rater[answer.rater].append(answer)
    verdicts = []
    for rater, rater_answers in sorted(by_rater.items()):
        passed = [
            passing[answer.source][0] <= answer.value <= passing[answer.source][1]
            for answer in rater_answers
            if answer.role == "check"
        ]
        agreements = _agreements(study, rater_answers)
        checks = sum(passed) / len(passed) if passed else None
        agreement = sum(agreements) / len(agreements) if agreements else None
        dropped = ""
        if len(passed) < min(FEWEST_CHECKS, study.checks_per_rater):
            dropped = f"only {len(passed)} attention checks answered"
        elif checks is not None and checks < least_checks:
            dropped = f"{sum(passed)} of {len(passed)} attention checks passed"
        elif agreement is not None and agreement < least_agreement:
            dropped = f"{agreement:.0%} of repeated questions answered alike"
        verdicts.append(Screening(rater, len(rater_answers), checks, agreement, dropped))
    return verdicts


def _agreements(study: Study, answers: Sequence[Answer]) -> list[float]:
    """Per repeated question of one rater: 1 the same answer, 0 the opposite; scores may differ by one."""
    first = {(answer.source, answer.question): answer.value for answer in answers if answer.role == "item"}
    distances = [
        abs(answer.value - first[answer.source, answer.question])
        for answer in answers
        if answer.role == "duplicate" and (answer.source, answer.question) in first
    ]
    return [float(distance <= 1) if study.kind == "mos" else 1.0 - distance for distance in distances]


def krippendorff_alpha(units: Sequence[Hashable], values: Sequence[float]) -> float | None:
    """Krippendorff's alpha for interval data (squared distances); raters may have judged different units.

    1 is perfect agreement, 0 chance. A tie coded ½ between 0 and 1 counts as a quarter of a disagreement.

    Args:
        units: what each value judges.
        values: the judgements.

    Returns:
        Alpha; None where no unit was judged twice or all values are the same.
    """
    by_unit: dict[Hashable, list[float]] = defaultdict(list)
    for unit, value in zip(units, values, strict=True):
        by_unit[unit].append(value)
    repeated = [np.array(judgements) for judgements in by_unit.values() if len(judgements) > 1]
    if not repeated:
        return None
    pooled = np.concatenate(repeated)
    # The mean squared distance of all ordered pairs is twice the unbiased variance.
    expected = 2.0 * float(pooled.var(ddof=1))
    if expected == 0.0:
        return None
    observed = sum(len(unit) * 2.0 * float(unit.var(ddof=1)) for unit in repeated) / len(pooled)
    return 1.0 - observed / expected


def analyse_scores(study: Study, answers: Sequence[Answer]) -> dict[str, Any]:
    """Mean opinion of every method for one question of a mos study.

    The unit is the rater: scores of one person are not independent, so each rater's scores of a method are
    averaged first and the t interval is over raters. ``z`` is the same after each rater's scores were brought
    to mean 0 and standard deviation 1; raters with constant scores are left out of it.

    Args:
        study: a mos study.
        answers: answers of attentive raters to one question.

    Returns:
        ``scores`` (count) and ``methods``, best first: ``method``, ``raters``, ``mean``, ``interval``, ``z``,
        ``z_interval``; intervals are None with one rater.
    """
    method = {item.id: item.methods[0] for item in study.items}
    items = [answer for answer in answers if answer.role == "item"]
    by_rater: dict[int, list[Answer]] = defaultdict(list)
    for answer in items:
        by_rater[answer.rater].append(answer)
    # One mean per method and rater, as scored and standardised by the rater's rater_answers scale.
    scores: dict[str, list[float]] = defaultdict(list)
    standardised: dict[str, list[float]] = defaultdict(list)
    for rater_answers in by_rater.values():
        values = np.array([answer.value for answer in rater_answers])
        names = np.array([method[answer.source] for answer in rater_answers])
        spread = values.std(ddof=1) if len(values) > 1 else 0.0
        for name in np.unique(names):
            mean = values[names == name].mean()
            scores[str(name)].append(float(mean))
            if spread > 0:
                standardised[str(name)].append(float((mean - values.mean()) / spread))
    rows: list[dict[str, Any]] = []
    for name in scores:
        row: dict[str, Any] = {"method": name, "raters": len(scores[name])}
        row["mean"], row["interval"] = _mean_interval(scores[name])
        row["z"], row["z_interval"] = _mean_interval(standardised[name])
        rows.append(row)
    return {"scores": len(items), "methods": sorted(rows, key=lambda row: row["mean"], reverse=True)}


def _mean_interval(values: Sequence[float]) -> tuple[float | None, list[float] | None]:
    """The mean and its 95 % t interval; None where there are too few values."""
    if not values:
        return None, None
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return mean, [mean - half, mean + half]


def analyse_study(
    folder: Path,
    draws: int = 1000,
    seed: int = 0,
    least_checks: float = LEAST_CHECKS,
    least_agreement: float = LEAST_AGREEMENT,
) -> dict[str, Any]:
    """The contents of ``analysis.json``.

    Args:
        folder: a study with answers.
        draws: bootstrap samples.
        seed: of the bootstrap.
        least_checks: see :func:`screen`.
        least_agreement: see :func:`screen`.

    Raises:
        StudyError: no answers, none of an attentive rater, or methods that were never compared.
    """
    study = load_study(folder)
    answers = read_answers(folder, study)
    verdicts = screen(study, answers, least_checks, least_agreement)
    attentive = {verdict.rater: verdict for verdict in verdicts if not verdict.dropped}
    if not attentive:
        raise StudyError(f"{folder}: all {len(verdicts)} raters failed the checks; collect more answers")
    # Every question on its rater_answers, over the items alone.
    questions = {}
    for question in study.questions:
        items = [
            answer
            for answer in answers
            if answer.rater in attentive and answer.question == question and answer.role == "item"
        ]
        if not items:
            raise StudyError(f"{folder}: question {question!r} has no answers; collect more")
        result = (
            analyse_choices(study, items, draws, seed)
            if study.kind == "2afc"
            else analyse_scores(study, items)
        )
        questions[question] = {**result, "krippendorff_alpha": _alpha(study.kind, items)}
    agreements = [verdict.agreement for verdict in attentive.values() if verdict.agreement is not None]
    return {
        "format": "stylegan-swap-study-analysis",
        "version": VERSION,
        "study": study.id,
        "kind": study.kind,
        "raters": {
            "answered": len(verdicts),
            "kept": len(attentive),
            "dropped": {str(verdict.rater): verdict.dropped for verdict in verdicts if verdict.dropped},
        },
        "checks": {
            "least_checks": least_checks,
            "least_agreement": least_agreement,
            "agreement_of_kept": sum(agreements) / len(agreements) if agreements else None,
        },
        "bootstrap": {"draws": draws, "seed": seed} if study.kind == "2afc" else None,
        "questions": questions,
    }


def _alpha(kind: str, items: Sequence[Answer]) -> float | None:
    """Krippendorff's alpha of the raters.

    Which of two methods is called the first is arbitrary. Each choice therefore counts both ways round:
    chance is then a coin, and raters who all prefer the same method agree whatever it is called.
    """
    units: list[tuple[str, bool]] = [(answer.source, False) for answer in items]
    values = [answer.value for answer in items]
    if kind == "2afc":
        units += [(answer.source, True) for answer in items]
        values += [1.0 - answer.value for answer in items]
    return krippendorff_alpha(units, values)


def write_analysis(folder: Path, analysis: dict[str, Any], overwrite: bool = False) -> list[Path]:
    """Writes ``analysis.json`` and ``analysis.png``; returns both paths.

    Args:
        folder: an existing folder.
        analysis: from :func:`analyse_study`.
        overwrite: whether to replace earlier ones.

    Raises:
        StudyError: they exist already or cannot be written.
    """
    paths = [folder / ANALYSIS_FILE, folder / PLOT_FILE]
    for path in paths:
        if path.exists() and not overwrite:
            raise StudyError(f"{path}: exists already; allow replacing it with --overwrite")
    with os_errors_as(StudyError, folder, "cannot be written", "check the folder"):
        with replacing(paths[0]) as temporary:
            temporary.write_text(json.dumps(analysis, indent=1) + "\n", encoding="utf-8")
        with replacing(paths[1]) as temporary:
            plot(analysis, temporary)
    return paths


def plot(analysis: dict[str, Any], path: Path) -> None:
    """Writes a PNG with one panel per question: methods with their values and 95 % intervals."""
    compares = analysis["kind"] == "2afc"
    panels = {question: _plotted(result, compares) for question, result in analysis["questions"].items()}
    longest = max(map(len, panels.values()))
    figure = Figure(figsize=(4.2 * len(panels), 1.4 + 0.45 * longest), layout="constrained")
    # Not pyplot: it would keep the figure and choose a window system.
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (question, rows) in zip(grid, panels.items(), strict=True):
        values = [value for _, value, _ in rows]
        spans = [
            [max(0.0, value - low) for _, value, (low, _) in rows],
            [max(0.0, high - value) for _, value, (_, high) in rows],
        ]
        axes.errorbar(values, range(len(rows)), xerr=spans, fmt="o", capsize=4, color="#1a66cc")
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.grid(axis="x", alpha=0.3)
        axes.set_title(question)
        if compares:
            axes.axvline(0, color="black", linewidth=0.7)
            axes.set_xlabel("log strength (Bradley–Terry), 95 %")
        else:
            axes.set_xlim(1, 5)
            axes.set_xlabel("mean opinion, 95 %")
    figure.savefig(path, dpi=130, format="png")


def _plotted(result: dict[str, Any], compares: bool) -> list[tuple[str, float, list[float]]]:
    """Method, value and interval of one question, worst first (the plot's lowest row)."""
    if compares:
        rows = [(row["method"], row["log_strength"], row["interval"]) for row in result["strengths"]]
    else:
        rows = [
            (row["method"], row["mean"], row["interval"] or [row["mean"]] * 2) for row in result["methods"]
        ]
    return rows[::-1]


def table(analysis: dict[str, Any]) -> str:
    """The analysis in lines of text."""
    raters = analysis["raters"]
    lines = [f"raters: {raters['answered']} answered, {raters['kept']} kept"]
    lines += [f"  dropped rater {rater}: {reason}" for rater, reason in raters["dropped"].items()]
    agreement = analysis["checks"]["agreement_of_kept"]
    if agreement is not None:
        lines.append(f"repeated questions answered alike: {agreement:.0%}")
    for question, result in analysis["questions"].items():
        alpha = result["krippendorff_alpha"]
        alpha_text = "not defined" if alpha is None else f"{alpha:.2f}"
        lines += ["", f"{question}   (Krippendorff's alpha {alpha_text})"]
        lines += _choice_lines(result) if analysis["kind"] == "2afc" else _score_lines(result)
    return "\n".join(lines)


def _choice_lines(result: dict[str, Any]) -> list[str]:
    lines = []
    for row in result["strengths"]:
        low, high = row["interval"]
        lines.append(f"  {row['method']:<24} strength {row['log_strength']:+.2f}  [{low:+.2f}, {high:+.2f}]")
    for row in result["shares"]:
        decided, share = row["wins"] + row["losses"], "no decided answer"
        if decided:
            low, high = row["interval"]
            share = f"{row['share']:.0%} [{low:.0%}, {high:.0%}] of {decided}, p = {row['p']:.2g}"
        lines.append(f"  {row['first']} over {row['second']}: {share}, {row['ties']} ties")
    side = result["left_side"]
    low, high = side["interval"]
    return [*lines, f"  left side chosen between equals: {side['share']:.0%} [{low:.0%}, {high:.0%}]"]


def _score_lines(result: dict[str, Any]) -> list[str]:
    lines = []
    for row in result["methods"]:
        span = "" if row["interval"] is None else f"  [{row['interval'][0]:.2f}, {row['interval'][1]:.2f}]"
        z = "" if row["z"] is None else f"  z {row['z']:+.2f}"
        if row["z_interval"] is not None:
            z += f" [{row['z_interval'][0]:+.2f}, {row['z_interval'][1]:+.2f}]"
        lines.append(f"  {row['method']:<24} {row['mean']:.2f}{span}{z}  ({row['raters']} raters)")
    return lines
