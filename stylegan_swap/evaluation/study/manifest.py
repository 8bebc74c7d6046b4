"""The file ``study.json``: methods compared, questions and their texts, and how much of it one rater sees.

``build`` writes it, ``server`` and ``analysis`` read it. It names the methods and is therefore never sent to
the page; pictures have random names.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from stylegan_swap.errors import StyleganSwapError, os_errors_as
from stylegan_swap.files.atomic import replacing

FORMAT = "stylegan-swap-study"
VERSION = 1
STUDY_FILE = "study.json"
PICTURES = "pictures"

#: Names of pictures tell nothing and can hold no path.
PICTURE_NAME = re.compile(r"[0-9a-f]{16}\.jpg")

#: Two results side by side, or one result rated from 1 to 5.
KINDS = ("2afc", "mos")

#: Question → the photo shown with it; realism is judged without one.
REFERENCE: dict[str, str | None] = {"identity": "identity", "attribute": "attribute", "natural": None}

#: Kind → question → what the rater reads.
TEXTS = {
    "2afc": {
        "identity": "Which face looks more like this person?",
        "attribute": "Which keeps more of this photo: pose, expression, light, background?",
        "natural": "Which looks more like an untouched photograph?",
    },
    "mos": {
        "identity": "How much does the face look like this person?",
        "attribute": "How well are pose, expression, light and background of this photo kept?",
        "natural": "How natural does the picture look?",
    },
}

#: Question → the words at both ends of the scale from 1 to 5.
SCALE = {
    "identity": ("someone else", "the same person"),
    "attribute": ("not at all", "fully"),
    "natural": ("clearly fake", "like a real photo"),
}

CONSENT = (
    "You will see portraits, many of them changed by computer programs, and answer short questions. "
    "There are no wrong opinions; a few questions only check that you are looking. "
    "Taking part is voluntary: you may stop at any time by closing the page. "
    "Your answers and the time each one took are stored under a random number, without your name or address, "
    "and are used to compare the programs. Please do not copy or share the pictures."
)


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
    """Writes ``study.json`` into an existing folder, whole or not at all; returns its path.

    Raises:
        StudyError: the disk is full.
    """
    path = folder / STUDY_FILE
    content = {"format": FORMAT, "version": VERSION, "id": study.id, **asdict(study)}
    with os_errors_as(StudyError, path, "cannot be written", "make room"), replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def load_study(folder: Path) -> Study:
    """Reads and checks the ``study.json`` of a folder.

    Raises:
        StudyError: missing, damaged, of a later version, or with pictures of impossible names.
    """
    path = folder / STUDY_FILE
    try:
        with os_errors_as(StudyError, path, "cannot be read", "make the study first with 'study build'"):
            content = json.loads(path.read_text(encoding="utf-8"))
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
        fields = {name: content[name] for name in Study.__dataclass_fields__}
        study = TypeAdapter(Study).validate_python(fields)
        if not set(study.questions) <= set(TEXTS[study.kind]) or not study.items:
            raise ValueError("questions or items")
        if invalid := [name for name in study.pictures if not PICTURE_NAME.fullmatch(name)]:
            raise ValueError(f"picture {invalid[0]!r}")
    except (KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise StudyError(f"{path}: is damaged ({reason}); build the study again") from error
    if study.id != content.get("id"):
        raise StudyError(f"{path}: was changed after it was built; build the study again")
    return study
