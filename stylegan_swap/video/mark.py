"""What a swapped clip says about itself: tags of the container, and an XMP packet in MP4 and MOV.

Written with the file by ``run``, read back by ``read_video_marks``. The watermark is put into the frames by
``encoding``; a visible label would be a ``FrameFinisher`` of ``swapping``.
Source of the XMP box: Adobe, XMP Specification Part 3, section 1.2.7 (MPEG-4).
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from pathlib import Path

from stylegan_swap.provenance import metadata as provenance
from stylegan_swap.provenance.metadata import COMPOSITE_WITH_TRAINED, Marks, software_name
from stylegan_swap.video.reading import open_input

DISCLOSURE = "AI-modified face"
_XMP_BOX = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
# Credit that is carried over. Anything else of the clip's (place, camera, serial numbers) is dropped.
_CREDIT = ("title", "artist", "copyright", "description", "date", "creation_time")
_LONGEST = 1000


def container_tags(source: Mapping[str, str], *, mark: bool) -> dict[str, str]:
    """Tags of the new file.

    ``source``: tags of the clip; ``mark``: whether to say that AI was used.
    """
    lowered = {key.lower(): value for key, value in source.items()}
    tags = {key: lowered[key][:_LONGEST] for key in _CREDIT if lowered.get(key)}
    if mark:
        tags |= {
            "comment": f"{DISCLOSURE} ({software_name()})",
            "DigitalSourceType": COMPOSITE_WITH_TRAINED,
            "software": software_name(),
        }
    return tags


def append_xmp(path: Path, credit: Mapping[str, str]) -> None:
    """Add the XMP packet to a finished MP4 or MOV file, as the last of its boxes."""
    named = {key: credit[key] for key in ("artist", "copyright", "description") if key in credit}
    packet = provenance.xmp_packet(credit=named)
    with path.open("ab") as file:
        file.write((24 + len(packet)).to_bytes(4, "big") + b"uuid" + _XMP_BOX + packet)


def read_video_marks(path: Path) -> Marks:
    """What a clip's tags say about its origin.

    Raises:
        VideoReadError: it is no video that can be read.
    """
    with contextlib.closing(open_input(path)) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
    return Marks(tags.get("digitalsourcetype"), tags.get("software"))
