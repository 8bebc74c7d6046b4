"""The log of answers: one JSON line each, on the disk before the page is told that it is saved.

Killing the server at any moment loses no acknowledged answer; reading the file again restores raters and
their answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from stylegan_swap.errors import os_errors_as
from stylegan_swap.evaluation.study.manifest import Study, StudyError
from stylegan_swap.evaluation.study.plan import Step, make_plan

ANSWERS_FILE = "answers.jsonl"
MOST_RATERS = 10_000

#: Token of a rater: 128 random bits drawn by the page.
TOKEN = re.compile(r"[0-9a-f]{32}")

_SIDES = {"left": 1.0, "tie": 0.5, "right": 0.0}


@dataclass(frozen=True)
class Answer:
    """One answer as the analysis needs it.

    Attributes:
        rater: number of the rater.
        step: position in the rater's plan.
        source: id of the item or check.
        role: ``item``, ``duplicate`` or ``check``.
        question: key of the question.
        value: 2afc: 1 the item's first method, 0 the second, 0.5 no difference; mos: 1 to 5.
        swapped: 2afc: whether the first method was on the right.
    """

    rater: int
    step: int
    source: str
    role: str
    question: str
    value: float
    swapped: bool


def allowed(study: Study) -> tuple[str, ...]:
    """Answers the study accepts: sides, or the numbers of the scale."""
    if study.kind == "mos":
        return ("1", "2", "3", "4", "5")
    return ("left", "tie", "right") if study.ties else ("left", "right")


def read_answers(folder: Path, study: Study) -> list[Answer]:
    """All answers of the study in a folder, in the order of their arrival.

    Raises:
        StudyError: no answers yet, a damaged line, or answers to another study.
    """
    path = folder / ANSWERS_FILE
    _, answers, _ = _restore(path, study)
    if not any(answers.values()):
        raise StudyError(f"{path}: holds no answers; run 'study serve' and let people answer first")
    plans = {rater: make_plan(study, rater) for rater in answers}
    return [
        _as_answer(study, rater, number, plans[rater][number], text)
        for rater, by_step in answers.items()
        for number, text in by_step.items()
    ]


def _as_answer(study: Study, rater: int, number: int, step: Step, text: str) -> Answer:
    value = float(text) if study.kind == "mos" else _SIDES[text]
    if step.swapped:
        value = 1.0 - value
    return Answer(rater, number, step.source, step.role, step.question, value, step.swapped)


class AnswerLog:
    """The open log of a study being served.

    Attributes:
        raters: token → number.
        answers: number → step → answer.
    """

    def __init__(self, folder: Path, study: Study) -> None:
        """Opens the log and restores what it holds.

        Raises:
            StudyError: damaged, of another study, not writable, or another server has it.
        """
        self.path, self.study = folder / ANSWERS_FILE, study
        self._lock = threading.Lock()
        with os_errors_as(StudyError, self.path, "cannot be written", "check the folder"):
            # Unbuffered: a line is one write, and its end is where the file ends.
            self._file: BinaryIO = open(self.path, "ab", buffering=0)  # noqa: SIM115
        try:
            _claim(self._file, self.path)
            self.raters, self.answers, complete = _restore(self.path, study)
            # Half a line was never acknowledged; the next one must not be glued to it.
            self._file.truncate(complete)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Gives the file back."""
        self._file.close()

    def join(self, token: str) -> int:
        """The rater's number; joining twice with one token changes nothing.

        Raises:
            StudyError: the study is full.
            OSError: the disk did not take it.
        """
        with self._lock:
            if token not in self.raters:
                if len(self.raters) >= MOST_RATERS:
                    raise StudyError(f"{self.path}: has {MOST_RATERS} raters; start another study")
                number = len(self.raters)
                self._append({"event": "join", "study": self.study.id, "token": token, "rater": number})
                self.raters[token], self.answers[number] = number, {}
            return self.raters[token]

    def record(self, rater: int, step: int, answer: str, milliseconds: int) -> str:
        """Stores an answer; the first one to a step stays.

        Returns:
            The answer that is stored, which is an earlier one after a double click.

        Raises:
            OSError: the disk did not take it; nothing is remembered, the page tries again.
        """
        with self._lock:
            by_step = self.answers[rater]
            if step not in by_step:
                line = {"event": "answer", "rater": rater, "step": step, "answer": answer, "ms": milliseconds}
                self._append(line)
                by_step[step] = answer
            return by_step[step]

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps({**record, "time": round(time.time(), 3)}).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError("the disk is full")
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise


def _claim(file: BinaryIO, path: Path) -> None:
    """Two servers would give the same number to two raters; where the system can, the second is refused."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    with os_errors_as(StudyError, path, "another server writes here", "stop it first"):
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _restore(path: Path, study: Study) -> tuple[dict[str, int], dict[int, dict[int, str]], int]:
    """Raters, answers by rater and step, and the length of the complete lines in bytes."""
    raters: dict[str, int] = {}
    answers: dict[int, dict[int, str]] = {}
    lengths: dict[int, int] = {}
    with os_errors_as(StudyError, path, "cannot be read", "check the file"):
        content = path.read_bytes() if path.exists() else b""
    complete = content.rfind(b"\n") + 1
    for number, line in enumerate(content[:complete].splitlines(), 1):
        try:
            record = json.loads(line)
            rater = int(record["rater"])
            if record["event"] == "join":
                if record["study"] != study.id:
                    raise StudyError(f"{path}: holds answers to another study; move the file away")
                raters[str(record["token"])] = rater
                answers.setdefault(rater, {})
                lengths[rater] = len(make_plan(study, rater))
            else:
                step, answer = int(record["step"]), str(record["answer"])
                if answer not in allowed(study) or not 0 <= step < lengths[rater]:
                    raise ValueError(f"step {step}, answer {answer!r}")
                answers[rater].setdefault(step, answer)
        except (ValueError, KeyError, TypeError) as error:
            raise StudyError(f"{path}: line {number} is damaged ({error!r}); mend or remove it") from error
    return raters, answers, complete
