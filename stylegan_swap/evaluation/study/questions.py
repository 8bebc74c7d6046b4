"""The questions raters answer, the photo each is asked beside, and the default consent text.

Where it sits on the road: below everything else in ``study``; the server sends these texts to the page.
"""

from __future__ import annotations

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
