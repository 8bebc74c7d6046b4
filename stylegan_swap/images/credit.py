"""The metadata kept from a photograph: artist, copyright, description and date."""

from __future__ import annotations

import contextlib

#: The metadata kept from a photo. Anything else (position, camera, serial numbers, previews) is dropped.
CREDIT = ("artist", "copyright", "description", "date")

# EXIF tags and PNG text keys that hold them.
EXIF_IFD = 0x8769
DATE_TAKEN = 0x9003
DATE_CHANGED = 0x0132
EXIF_CREDIT = {"artist": 0x013B, "copyright": 0x8298, "description": 0x010E}
TEXT_CREDIT = {"artist": "Author", "copyright": "Copyright", "description": "Description"}
# Letters kept of one entry.
_LONGEST_CREDIT = 1000


def credit_line(value: object) -> str:
    """A credit as one line of printable text; empty where there is none."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    # EXIF knows only ASCII; cameras and programs write UTF-8 there, which Pillow reads as Latin-1.
    with contextlib.suppress(UnicodeError):
        value = value.encode("latin-1").decode("utf-8")
    printable = "".join(letter if letter.isprintable() else " " for letter in value)
    return " ".join(printable.split())[:_LONGEST_CREDIT]
