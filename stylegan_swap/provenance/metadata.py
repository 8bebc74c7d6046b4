"""Metadata that tell a result from a photograph: written into every file, read by :func:`read_marks`.

The mark uses the IPTC vocabulary, which search engines, archives and the EU's rules on synthetic media refer
to. It survives copying, not a screenshot: it informs, it does not prove. The two other marks are
``watermark``, in the pixels, and ``credentials``, signed; ``verify`` reads all three.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image, PngImagePlugin

from stylegan_swap._version import __version__
from stylegan_swap.errors import ImageReadError, os_errors_as
from stylegan_swap.images import decode

_TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"

#: A photograph with a part made by a trained network: what a swap is. The classical `warp` method
#: draws no pixel with a network, but trained networks find and steer the face, so it keeps the term.
COMPOSITE_WITH_TRAINED = _TERMS + "compositeWithTrainedAlgorithmicMedia"

#: A picture made by a trained network alone: what `generate` gives.
TRAINED = _TERMS + "trainedAlgorithmicMedia"

#: The TIFF tag that holds an XMP packet.
TIFF_TAG = 700

#: Terms under which a picture counts as synthetic, whoever wrote them.
SYNTHETIC = {COMPOSITE_WITH_TRAINED, TRAINED, _TERMS + "algorithmicMedia", _TERMS + "compositeSynthetic"}

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_JPEG_HEADER = _XMP.encode() + b"\0"
_LARGEST_PACKET = 1_000_000  # bytes
_DISCLOSURE = "AI-modified face"


@dataclass(frozen=True)
class Marks:
    """Statements of a file about its origin.

    Attributes:
        source_type: address of the IPTC digital source type; None where the file names none.
        software: name and version of the program that made it; None where the file names none.
    """

    source_type: str | None = None
    software: str | None = None

    @property
    def synthetic(self) -> bool:
        """Whether the file says that it was made or changed by an algorithm."""
        return self.source_type in SYNTHETIC


def software_name() -> str:
    """Name and version of this library, as they appear in the mark."""
    return f"stylegan_swap {__version__}"


def xmp_packet(
    source_type: str = COMPOSITE_WITH_TRAINED,
    *,
    software: str | None = None,
    credit: Mapping[str, str] | None = None,
) -> bytes:
    """The XMP packet of a result, as UTF-8.

    Args:
        source_type: address of the IPTC digital source type.
        software: name and version of the program; None for this library's.
        credit: any of artist, copyright, description, date of the photograph.
    """
    credit = credit or {}
    parts = []
    if artist := credit.get("artist"):
        parts.append(f"<dc:creator><rdf:Seq><rdf:li>{_xml(artist)}</rdf:li></rdf:Seq></dc:creator>")
    for key, term in (("copyright", "rights"), ("description", "description")):
        if text := credit.get(key):
            item = f'<rdf:li xml:lang="x-default">{_xml(text)}</rdf:li>'
            parts.append(f"<dc:{term}><rdf:Alt>{item}</rdf:Alt></dc:{term}>")
    # EXIF writes 2024:05:31 10:20:30, XMP wants 2024-05-31T10:20:30.
    if date := re.fullmatch(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)", credit.get("date", "")):
        year, month, day, time = date.groups()
        parts.append(f"<photoshop:DateCreated>{year}-{month}-{day}T{time}</photoshop:DateCreated>")
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">
<rdf:Description rdf:about="" xmlns:xmp="{_XMP}" xmlns:Iptc4xmpExt="{_IPTC}" \
xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/">
<Iptc4xmpExt:DigitalSourceType>{_xml(source_type)}</Iptc4xmpExt:DigitalSourceType>
<xmp:CreatorTool>{_xml(software or software_name())}</xmp:CreatorTool>
{"".join(parts)}</rdf:Description>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>""".encode()


def jpeg_segment(packet: bytes) -> bytes:
    """An XMP packet as a JPEG APP1 segment.

    Raises:
        ValueError: the packet has more than the 65,504 bytes that fit.
    """
    body = _JPEG_HEADER + packet
    if len(body) > 65_533:
        raise ValueError(f"XMP packet of {len(packet)} bytes does not fit into a JPEG; shorten the credit")
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def png_text(
    packet: bytes,
    source_type: str = COMPOSITE_WITH_TRAINED,
    *,
    software: str | None = None,
    credit: Mapping[str, str] | None = None,
) -> PngImagePlugin.PngInfo:
    """The text entries of a marked PNG: the XMP packet, and the same in plain words.

    Args:
        packet: from :func:`xmp_packet`.
        source_type: address of the IPTC digital source type.
        software: name and version of the program; None for this library's.
        credit: artist, copyright and description are entered.
    """
    credit = credit or {}
    entries = {
        "Software": software or software_name(),
        "DigitalSourceType": source_type,
        "Disclaimer": _DISCLOSURE,
        "Author": credit.get("artist"),
        "Copyright": credit.get("copyright"),
        "Description": credit.get("description"),
    }
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode())
    for key, value in entries.items():
        if value:
            info.add_itxt(key, value)
    return info


def read_marks(path: str | os.PathLike[str]) -> Marks:
    """Reads the statements of a picture file about its origin, of this library or any other.

    Packets that are no well-formed XML, or that define entities, count as absent.

    Raises:
        ImageReadError: the file is missing or no picture.
    """
    source = Path(path)
    limit = decode.pixel_limit()
    with (
        os_errors_as(ImageReadError, source, "cannot be read", "check the path"),
        source.open("rb") as file,
        decode.open_picture(file, str(source), limit) as image,
    ):
        if image.format == "PNG":
            # Text may follow the pixels, and is only read once they are decoded.
            decode.decode(image, str(source), limit)
        for packet in _packets(image):
            marks = _parse(packet)
            if marks.source_type:
                return marks
        text, software = image.info.get("DigitalSourceType"), image.info.get("Software")
    return Marks(str(text) if text else None, str(software) if software else None)


def _packets(image: Image.Image) -> Iterator[bytes]:
    """Every XMP packet of an opened file, wherever its format keeps it."""
    tags = getattr(image, "tag_v2", {})
    for value in (image.info.get("xmp"), image.info.get("XML:com.adobe.xmp"), tags.get(TIFF_TAG)):
        if isinstance(value, str):
            yield value.encode("utf-8", "replace")
        elif isinstance(value, bytes):
            yield value
    for _, segment in getattr(image, "applist", []):
        if segment.startswith(_JPEG_HEADER):
            yield segment[len(_JPEG_HEADER) :]


def _parse(packet: bytes) -> Marks:
    """The marks of one packet; empty ones where it cannot be trusted."""
    # No packet needs a document type; with one come entities that grow or point elsewhere. A zero
    # byte means UTF-16, in which the word would not be seen.
    packet = packet.strip(b"\0")
    if len(packet) > _LARGEST_PACKET or any(sign in packet for sign in (b"\0", b"<!DOCTYPE", b"<!ENTITY")):
        return Marks()
    try:
        root = ElementTree.fromstring(packet)
    except (ElementTree.ParseError, ValueError, LookupError):
        return Marks()
    fields: dict[str, str] = {}
    for node in root.iter():
        for name, value in node.attrib.items():
            fields.setdefault(name, value)
        fields.setdefault(str(node.tag), node.get(f"{{{_RDF}}}resource") or (node.text or "").strip())
    return Marks(
        fields.get(f"{{{_IPTC}}}DigitalSourceType") or None, fields.get(f"{{{_XMP}}}CreatorTool") or None
    )


def _xml(text: str) -> str:
    """Escaped, and without the characters that XML cannot hold at all."""
    return escape("".join(letter for letter in text if letter.isprintable() or letter in "\n\t"))
