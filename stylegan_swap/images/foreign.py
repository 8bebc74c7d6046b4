"""What a file is that ``decode`` does not read: its kind by name, and what to save it as.

Kinds are told by their first bytes (ISO 14496-12 for the brands of HEIC and of videos), a TIFF's pixels by
its tags (TIFF 6.0, sections 3 to 6).
"""

from __future__ import annotations

import struct
import warnings
from typing import BinaryIO

from PIL import TiffImagePlugin

_HEIC_BRANDS = frozenset(
    (
        *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
        b"mif1",
        b"mif2",
        b"msf1",
        b"miaf",
    )
)
_AVIF_BRANDS = frozenset((b"avif", b"avis", b"avio"))
_RAW = "this is the raw file of a camera; develop it and save it as JPEG, TIFF or PNG"

# Beginning of a file → what to say.
_BEGINNINGS = {
    b"\xff\x0a": "JPEG XL pictures cannot be read; save it as JPEG or PNG",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL pictures cannot be read; save it as JPEG or PNG",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000 pictures cannot be read; save it as JPEG or PNG",
    b"\xff\x4f\xff\x51": "JPEG 2000 pictures cannot be read; save it as JPEG or PNG",
    b"II\xbc\x01": "JPEG XR pictures cannot be read; save it as JPEG or PNG",
    b"\x76\x2f\x31\x01": "OpenEXR pictures cannot be read; save it as an 8-bit or 16-bit PNG",
    b"#?RADIANCE": "Radiance HDR pictures cannot be read; save it as an 8-bit or 16-bit PNG",
    **dict.fromkeys((b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR"), _RAW),
    **dict.fromkeys(
        (b"%PDF", b"%!PS", b"8BPS"),
        "PDF, PostScript and Photoshop files cannot be read; export it as JPEG or PNG",
    ),
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# Values of TIFF's tags.
_WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _EXTRA, _FORMAT = 256, 258, 259, 262, 277, 338, 339
_COLOURS = {
    0: "grey",
    1: "grey",
    2: "RGB",
    3: "palette",
    5: "CMYK",
    6: "YCbCr",
    8: "Lab",
    9: "Lab",
    10: "Lab",
}
_NUMBERS = {1: "", 2: " signed", 3: " float", 5: " complex", 6: " complex float"}
_RAW_PIXELS = (32803, 34892)  # a colour filter array, and linear raw (DNG)


def foreign_kind(file: BinaryIO, formats: tuple[str, ...]) -> str:
    """Likely kind of a file that no decoder took, and the remedy; one line without the file's name.

    ``file``: open for reading, anywhere; ``formats``: names of those that are read.
    """
    file.seek(0)
    head = file.read(64)
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head.startswith(_TIFF):
        return _tiff_pixels(file)
    for beginning, kind in _BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    if head.lstrip()[:1] == b"<":
        return "this is a web page or SVG, not a photo; download the picture itself"
    return f"not a picture, or of no known format; use one of {', '.join(formats)}"


def _by_brand(head: bytes) -> str:
    """Of a file of boxes: the main brand, then the compatible ones as far as the head goes."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[start : start + 4] for start in range(16, end - 3, 4))}
    if head[8:12] == b"crx ":
        return _RAW
    if brands & _AVIF_BRANDS:
        return "this AVIF picture is damaged, or Pillow is too old for it; save it as JPEG or PNG"
    if brands & _HEIC_BRANDS:
        return "HEIC pictures cannot be read; save it as JPEG or PNG"
    return "this seems to be a video, not a picture; export a frame as JPEG or PNG"


def _tiff_pixels(file: BinaryIO) -> str:
    """What the pixels of a TIFF are that Pillow knows no mode for."""
    file.seek(0)
    head = file.read(16)
    if head[8:10] == b"CR":
        return _RAW
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(head if head[2:4] in (b"+\0", b"\0+") else head[:8])
        file.seek(tags.next)
        with warnings.catch_warnings():
            # Pillow warns of damage, which is told below.
            warnings.simplefilter("ignore", UserWarning)
            tags.load(file)
        bits, kind = _first(tags.get(_BITS, 1)), _first(tags.get(_FORMAT, 1))
        samples, photometric = int(tags.get(_SAMPLES, 1)), int(tags.get(_PHOTOMETRIC, 1))
        extra, compression, width = tags.get(_EXTRA, ()), tags.get(_COMPRESSION, 1), tags[_WIDTH]
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, struct.error):
        return "the TIFF's header is damaged; copy or download it again"
    if not width:
        return "the TIFF has no pixels; use another file"
    if photometric in _RAW_PIXELS:
        return _RAW
    colour = _COLOURS.get(photometric, f"colours of kind {photometric}")
    alpha = " with alpha" if extra else ""
    packing = "" if compression in TiffImagePlugin.COMPRESSION_INFO else f", compression {compression}"
    pixels = f"{colour}{alpha}, {samples} × {bits}-bit{_NUMBERS.get(kind, '')}{packing}"
    return f"this is a TIFF whose pixels ({pixels}) are not read; save it as a TIFF or PNG of 8-bit RGB"


def _first(value: int | tuple[int, ...]) -> int:
    return value[0] if isinstance(value, tuple) else value
