"""The file ``study.json``: what is compared, with which questions, and how much of it one rater sees.

Where it sits on the road: **build** writes it, the server and the analysis read it. It holds the names of the
methods and is therefore never sent to the page; pictures have random names.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stylegan_swap.errors import StyleganSwapError
from stylegan_swap.evaluation.study.questions import KINDS, TEXTS
from stylegan_swap.files.atomic import replacing

FORMAT = "stylegan-swap-study"
VERSION = 1
STUDY_FILE = "study.json"
PICTURES = "pictures"

#: Names of pictures tell nothing and can hold no path.
PICTURE_NAME = re.compile(r"[0-9a-f]{16}\.jpg")


class StudyError(StyleganSwapError):
    """A study, its results or its answers are missing, damaged, or do not fit together."""


@dataclass(frozen=True)
class Item:
    """One thing to judge.

    Attributes:
        id: its name in the answers.
        pair: number of the photo pair.
        methods: two methods to compare (2afc), or one to rate (mos).
        pictures: their results, in the same order.
        identity: the identity photo.
        attribute: the attribute photo.
    """

    id: str
    pair: str
    methods: tuple[str, ...]
    pictures: tuple[str, ...]
    identity: str
    attribute: str


@dataclass(frozen=True)
class Check:
    """A question with one right answer, to find those who do not look.

    Attributes:
        id: its name in the answers.
        question: the key of the question asked.
        pictures: 2afc: an untouched photo, then a destroyed one; mos: one of the two.
        expected: ``first`` (2afc), ``high`` (mos: 4 or 5) or ``low`` (mos: 1 or 2).
        identity: the identity photo.
        attribute: the attribute photo.
    """

    id: str
    question: str
    pictures: tuple[str, ...]
    expected: str
    identity: str
    attribute: str


@dataclass(frozen=True)
class Study:
    """Everything in ``study.json``.

    Attributes:
        kind: ``2afc`` or ``mos``.
        seed: of every random choice, together with the rater's number.
        title: heading of the page.
        consent: what a rater agrees to before the first question.
        questions: keys into ``questions.TEXTS``.
        ties: 2afc: whether "no difference" may be answered.
        methods: names of the methods.
        items_per_rater: items one rater judges.
        checks_per_rater: attention checks among them.
        duplicates_per_rater: items shown a second time (2afc: with the sides swapped).
        items: in balanced order: raters take consecutive stretches of this list (``plan``).
        checks: a pool, taken in the same way.
    """

    kind: str
    seed: int
    title: str
    consent: str
    questions: tuple[str, ...]
    ties: bool
    methods: tuple[str, ...]
    items_per_rater: int
    checks_per_rater: int
    duplicates_per_rater: int
    items: tuple[Item, ...]
    checks: tuple[Check, ...]

    @property
    def id(self) -> str:
        """A digest of the contents; the answers carry it, so they cannot be read with another study."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def pictures(self) -> frozenset[str]:
        """Names of all pictures that may be sent to the page."""
        return frozenset(
            {name for item in self.items for name in (*item.pictures, item.identity, item.attribute)}
            | {name for check in self.checks for name in (*check.pictures, check.identity, check.attribute)}
        )


def save_study(folder: Path, study: Study) -> Path:
    """Writes ``study.json`` whole or not at all.

    Args:
        folder: the study's folder; must exist.
        study: what to write.

    Returns:
        The file.

    Raises:
        StudyError: the disk is full.
    """
    path = folder / STUDY_FILE
    content = {"format": FORMAT, "version": VERSION, "id": study.id, **asdict(study)}
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path}: cannot be written ({error.strerror}); make room") from error
    return path


def load_study(folder: Path) -> Study:
    """Reads and checks ``study.json``.

    Args:
        folder: the study's folder.

    Raises:
        StudyError: missing, damaged, of a later version, or with pictures of impossible names.
    """
    path = folder / STUDY_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(
            f"{path}: cannot be read ({error.strerror}); make the study first with 'study build'"
        ) from error
    except ValueError as error:
        raise StudyError(f"{path}: is no JSON ({error}); build the study again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StudyError(f"{path}: is not a study of this library; give a folder made by 'study build'")
    if content.get("version") != VERSION:
        raise StudyError(
            f"{path}: has version {content.get('version')!r}, this library reads {VERSION}; "
            "use the library that built it or build it again"
        )
    try:
        study = _study(content)
    except (KeyError, TypeError, ValueError) as error:
        raise StudyError(f"{path}: is damaged ({error!r}); build the study again") from error
    if study.id != content.get("id"):
        raise StudyError(f"{path}: was changed after it was built; build the study again")
    return study


def _study(content: dict[str, Any]) -> Study:
    """The dataclasses of a parsed file; raises what a wrong type or value raises."""
    fields = {key: content[key] for key in Study.__dataclass_fields__}
    for key in ("questions", "methods"):
        fields[key] = tuple(str(name) for name in fields[key])
    fields["items"] = tuple(Item(**_with_tuples(item)) for item in fields["items"])
    fields["checks"] = tuple(Check(**_with_tuples(check)) for check in fields["checks"])
    study = Study(**fields)
    if study.kind not in KINDS or not set(study.questions) <= set(TEXTS[study.kind]) or not study.items:
        raise ValueError("kind, questions or items")
    if bad := [name for name in study.pictures if not PICTURE_NAME.fullmatch(name)]:
        raise ValueError(f"picture {bad[0]!r}")
    return study


def _with_tuples(part: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in part.items()}
