"""Marks of a picture or a clip: metadata, C2PA manifest and watermark, read together.

They fail differently: metadata and manifest are lost where a site rewrites files, the watermark where a
picture is cropped hard or drawn over; only a manifest cannot be forged. Of a clip, frames at equal distances
are read, and their sum. Only frames with a swapped face carry the watermark, so two of them suffice, or the
sum: with false alarms of 1.0·10⁻⁷ a picture, that is wrong in about one of ten million clips.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan_swap.errors import MissingDependencyError
from stylegan_swap.images.photo import read_photo
from stylegan_swap.provenance.credentials import Manifest, read_manifest
from stylegan_swap.provenance.metadata import Marks, read_marks
from stylegan_swap.provenance.watermark import FramesMark, Kind, Watermark, read_watermark, verify_frames
from stylegan_swap.video.mark import read_video_marks
from stylegan_swap.video.spread import is_clip, spread_frames

#: Frames of a clip that are read.
FRAMES = 16
_ENOUGH_VOTES = 2

_KINDS = {
    Kind.SWAP: "a face in it was swapped",
    Kind.GENERATED: "it was made by a network",
    Kind.EDITED: "a face in it was changed",
}
_STATES = {
    "Trusted": "signed, unchanged since, by a trusted signer",
    "Valid": "signed and unchanged since; whether the signer can be trusted is not checked",
    "Invalid": "NOT valid: file or manifest was changed after signing, or the signature is broken",
}


@dataclass(frozen=True)
class Verdict:
    """The marks of one file.

    Attributes:
        path: the file.
        marks: of its metadata.
        manifest: its C2PA manifest; None where it has none or could not be looked for.
        watermark: in a picture's pixels; None where there is none.
        manifest_unread: why no manifest could be looked for; None where it could.
        frames: watermarks of the frames of a clip; None for a picture.
    """

    path: Path
    marks: Marks
    manifest: Manifest | None
    watermark: Watermark | None
    manifest_unread: str | None = None
    frames: FramesMark | None = None

    @property
    def watermarked(self) -> bool:
        """Whether the pixels carry the watermark: of the picture, or of enough frames of the clip."""
        if self.frames is None:
            return self.watermark is not None
        return self.frames.summed is not None or self.frames.votes >= _ENOUGH_VOTES

    @property
    def marked(self) -> bool:
        """Whether any of the three says that a network made or changed the picture.

        An invalid manifest counts as well: one who edits a marked file must not be able to unmark it by that.
        """
        signed = self.manifest is not None and self.manifest.synthetic
        return self.marks.synthetic or signed or self.watermarked

    def as_dict(self) -> dict[str, Any]:
        """The verdict as plain values, for JSON."""
        manifest, watermark, frames = self.manifest, self.watermark, self.frames
        return {
            "file": str(self.path),
            "marked": self.marked,
            "metadata": {
                "synthetic": self.marks.synthetic,
                "digital_source_type": self.marks.source_type,
                "software": self.marks.software,
            },
            "c2pa": None if manifest is None else vars(manifest),
            "c2pa_unread": self.manifest_unread,
            "watermark": watermark
            and {
                "kind": watermark.kind.name.lower(),
                "scale": round(watermark.scale, 3),
                "mirrored": watermark.mirrored,
            },
            "frames": frames
            and {
                "looked_at": frames.frames,
                "marked": frames.votes,
                "together": frames.summed is not None,
            },
        }

    def lines(self) -> Iterator[str]:
        """The verdict in plain words, one line for each mark, the conclusion first."""
        yield f"{self.path}: " + (
            "MARKED as made or changed with AI" if self.marked else "no mark found; that proves nothing"
        )
        yield f"  metadata:  {self._metadata()}"
        yield f"  C2PA:      {self._c2pa()}"
        yield f"  watermark: {self._watermark()}"

    def _metadata(self) -> str:
        if not self.marks.source_type:
            return "name no digital source type"
        by = f", written by {self.marks.software}" if self.marks.software else ""
        word = "synthetic" if self.marks.synthetic else "not synthetic"
        return f"{self.marks.source_type.rsplit('/', 1)[-1]} ({word}){by}"

    def _c2pa(self) -> str:
        if self.manifest_unread:
            return f"not looked for: {self.manifest_unread}"
        if self.manifest is None:
            return "no manifest"
        claim = "says it is synthetic" if self.manifest.synthetic else "does not say it is synthetic"
        by = f" by {self.manifest.signer}" if self.manifest.signer else ""
        return f"manifest{by} {claim}; {_STATES.get(self.manifest.state, self.manifest.state)}"

    def _watermark(self) -> str:
        if self.frames is not None:
            votes = f"{self.frames.votes} of the {self.frames.frames} frames looked at"
            if not self.watermarked:
                return f"{votes} carry it: too few" if self.frames.votes else f"none found, {votes}"
            return f"of stylegan_swap, in {votes}" + ("" if self.frames.kind else " and in their sum")
        if self.watermark is None:
            return "none found"
        about = ", mirrored since" if self.watermark.mirrored else ""
        if self.watermark.scale < 0.99:
            about += f", about {self.watermark.scale**2:.0%} of the marked picture is left"
        return f"of stylegan_swap: {_KINDS[self.watermark.kind]}{about}"


def verify_file(path: str | os.PathLike[str]) -> Verdict:
    """Looks for all three marks in a picture or a clip.

    Raises:
        ImageReadError: the file is missing or neither picture nor clip. VideoReadError: the clip is damaged.
    """
    moving = is_clip(Path(path))
    pixels = None if moving else read_photo(path).pixels
    manifest, unread = None, None
    try:
        manifest = read_manifest(path)
    except MissingDependencyError as error:
        unread = str(error)
    if pixels is not None:
        return Verdict(Path(path), read_marks(path), manifest, read_watermark(pixels), unread)
    frames = verify_frames(spread_frames(Path(path), FRAMES))
    return Verdict(Path(path), read_video_marks(Path(path)), manifest, None, unread, frames)
