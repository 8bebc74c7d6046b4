"""What a study found: ``analysis.json``, a table for the terminal and a plot.

Where it sits on the road: the last step; it calls screening, preference or opinion, and agreement.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stylegan_swap.evaluation.study.agreement import krippendorff_alpha
from stylegan_swap.evaluation.study.answers import Answer, read_answers
from stylegan_swap.evaluation.study.manifest import StudyError, load_study
from stylegan_swap.evaluation.study.opinion import analyse_scores
from stylegan_swap.evaluation.study.preference import analyse_choices
from stylegan_swap.evaluation.study.screening import LEAST_AGREEMENT, LEAST_CHECKS, Screened, screen
from stylegan_swap.files.atomic import replacing

ANALYSIS_FILE, PLOT_FILE = "analysis.json", "analysis.png"
VERSION = 1


def analyse_study(
    folder: Path,
    draws: int = 1000,
    seed: int = 0,
    least_checks: float = LEAST_CHECKS,
    least_agreement: float = LEAST_AGREEMENT,
) -> dict[str, Any]:
    """Everything ``analysis.json`` holds.

    Args:
        folder: a study with answers.
        draws: bootstrap samples.
        seed: of the bootstrap.
        least_checks: share of attention checks a rater must pass.
        least_agreement: share of repeated questions a rater must answer alike.

    Raises:
        StudyError: no answers, none of an attentive rater, or methods that were never compared.
    """
    study = load_study(folder)
    answers = read_answers(folder, study)
    verdicts = screen(study, answers, least_checks, least_agreement)
    kept = {verdict.rater for verdict in verdicts if not verdict.dropped}
    if not kept:
        raise StudyError(f"{folder}: all {len(verdicts)} raters failed the checks; collect more answers")
    questions = {}
    for question in study.questions:
        items = [
            answer
            for answer in answers
            if answer.rater in kept and answer.question == question and answer.role == "item"
        ]
        if not items:
            raise StudyError(f"{folder}: question {question!r} has no answers; collect more")
        found = (
            analyse_choices(study, items, draws, seed)
            if study.kind == "2afc"
            else analyse_scores(study, items)
        )
        questions[question] = {
            **found,
            "krippendorff_alpha": _alpha(study.kind, items),
        }
    return {
        "format": "stylegan-swap-study-analysis",
        "version": VERSION,
        "study": study.id,
        "kind": study.kind,
        "raters": {
            "answered": len(verdicts),
            "kept": len(kept),
            "dropped": {str(verdict.rater): verdict.dropped for verdict in verdicts if verdict.dropped},
        },
        "checks": {
            "least_checks": least_checks,
            "least_agreement": least_agreement,
            "agreement_of_kept": _mean_agreement(verdicts, kept),
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


def _mean_agreement(verdicts: Sequence[Screened], kept: set[int]) -> float | None:
    """How far the kept raters agree with themselves."""
    found = [each.agreement for each in verdicts if each.rater in kept and each.agreement is not None]
    return sum(found) / len(found) if found else None


def write_analysis(folder: Path, analysis: dict[str, Any], overwrite: bool = False) -> list[Path]:
    """Writes ``analysis.json`` and ``analysis.png``.

    Args:
        folder: an existing folder.
        analysis: from :func:`analyse_study`.
        overwrite: whether to replace earlier ones.

    Returns:
        Both files.

    Raises:
        StudyError: they exist already or cannot be written.
    """
    paths = [folder / ANALYSIS_FILE, folder / PLOT_FILE]
    for path in paths:
        if path.exists() and not overwrite:
            raise StudyError(f"{path}: exists already; allow replacing it with --overwrite")
    try:
        with replacing(paths[0]) as temporary:
            temporary.write_text(json.dumps(analysis, indent=1) + "\n", encoding="utf-8")
        with replacing(paths[1]) as temporary:
            plot(analysis, temporary)
    except OSError as error:
        raise StudyError(f"{folder}: cannot be written ({error.strerror}); check the folder") from error
    return paths


def _rows(kind: str, found: dict[str, Any]) -> list[tuple[str, float, list[float]]]:
    """Method, value and interval, best first."""
    if kind == "2afc":
        return [(row["method"], row["log_strength"], row["interval"]) for row in found["strengths"]]
    return [(row["method"], row["mean"], row["interval"] or [row["mean"]] * 2) for row in found["methods"]]


def plot(analysis: dict[str, Any], path: Path) -> None:
    """A panel per question: methods with their values and 95 % intervals.

    Args:
        analysis: from :func:`analyse_study`.
        path: a PNG to write.
    """
    questions = analysis["questions"]
    most = max(len(_rows(analysis["kind"], found)) for found in questions.values())
    figure = Figure(figsize=(4.2 * len(questions), 1.4 + 0.45 * most), layout="constrained")
    # Not pyplot: it would keep the figure and choose a window system.
    FigureCanvasAgg(figure)
    for axes, (question, found) in zip(
        figure.subplots(1, len(questions), squeeze=False)[0], questions.items(), strict=True
    ):
        rows = _rows(analysis["kind"], found)[::-1]
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
        if analysis["kind"] == "2afc":
            axes.axvline(0, color="black", linewidth=0.7)
            axes.set_xlabel("log strength (Bradley–Terry), 95 %")
        else:
            axes.set_xlim(1, 5)
            axes.set_xlabel("mean opinion, 95 %")
    figure.savefig(path, dpi=130, format="png")


def table(analysis: dict[str, Any]) -> str:
    """The analysis in lines of text."""
    raters = analysis["raters"]
    lines = [f"raters: {raters['answered']} answered, {raters['kept']} kept"]
    lines += [f"  dropped rater {rater}: {reason}" for rater, reason in raters["dropped"].items()]
    repeated = analysis["checks"]["agreement_of_kept"]
    if repeated is not None:
        lines.append(f"repeated questions answered alike: {repeated:.0%}")
    for question, found in analysis["questions"].items():
        alpha = found["krippendorff_alpha"]
        told = "not defined" if alpha is None else f"{alpha:.2f}"
        lines += ["", f"{question}   (Krippendorff's alpha {told})"]
        lines += _choice_lines(found) if analysis["kind"] == "2afc" else _score_lines(found)
    return "\n".join(lines)


def _choice_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for row in found["strengths"]:
        low, high = row["interval"]
        lines.append(f"  {row['method']:<24} strength {row['log_strength']:+.2f}  [{low:+.2f}, {high:+.2f}]")
    for row in found["shares"]:
        decided = row["wins"] + row["losses"]
        if decided:
            low, high = row["interval"]
            told = f"{row['share']:.0%} [{low:.0%}, {high:.0%}] of {decided}, p = {row['p']:.2g}"
        else:
            told = "no decided answer"
        lines.append(f"  {row['first']} over {row['second']}: {told}, {row['ties']} ties")
    side = found["left_side"]
    low, high = side["interval"]
    return [*lines, f"  left side chosen between equals: {side['share']:.0%} [{low:.0%}, {high:.0%}]"]


def _score_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for row in found["methods"]:
        span = "" if row["interval"] is None else f"  [{row['interval'][0]:.2f}, {row['interval'][1]:.2f}]"
        normal = "" if row["z"] is None else f"  z {row['z']:+.2f}"
        if row["z_interval"] is not None:
            normal += f" [{row['z_interval'][0]:+.2f}, {row['z_interval'][1]:+.2f}]"
        lines.append(f"  {row['method']:<24} {row['mean']:.2f}{span}{normal}  ({row['raters']} raters)")
    return lines
