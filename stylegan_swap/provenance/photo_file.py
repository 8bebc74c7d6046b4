"""Writing photographs completely or not at all, with credit, metadata mark, watermark and C2PA manifest.

:func:`check_writable` refuses a bad output path before the work.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from stylegan_swap.errors import ImageWriteError, os_errors_as
from stylegan_swap.files.atomic import replacing
from stylegan_swap.images.photo import (
    CREDIT,
    DATE_CHANGED,
    DATE_TAKEN,
    EXIF_CREDIT,
    EXIF_IFD,
    credit_line,
)
from stylegan_swap.provenance import metadata as provenance
from stylegan_swap.provenance.credentials import Credentials, sign_file
from stylegan_swap.provenance.watermark import SMALLEST_SIDE, Kind, embed_watermark

#: Suffixes that can be written, and the format each stands for.
WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}


def check_writable(
    path: str | os.PathLike[str], overwrite: bool = False, *, inputs: Iterable[object] = ()
) -> Path:
    """Refuses a path that :func:`write_photo` could not write, before the expensive work begins.

    Args:
        path: the output; its suffix names the format.
        overwrite: whether an existing file may be replaced.
        inputs: the sources of this swap; those that are paths are never overwritten.

    Returns:
        The path.

    Raises:
        ImageWriteError: unknown suffix, a folder, no such folder, no permission, exists, or is an input.
    """
    target = Path(path)
    if target.suffix.lower() not in WRITABLE:
        known = ", ".join(WRITABLE)
        raise ImageWriteError(
            f"{target}: the suffix {target.suffix!r} names no known format; use one of {known}"
        )
    folder = target.parent
    try:
        if target.is_dir():
            raise ImageWriteError(f"{target}: is a folder; give the name of a file in it")
        if not folder.is_dir():
            raise ImageWriteError(f"{target}: the folder {folder} does not exist; create it first")
        exists = target.exists()
        if exists and any(_same_file(target, source) for source in inputs):
            raise ImageWriteError(
                f"{target}: is one of the input pictures; choose another name for the result"
            )
        if exists and not target.is_file():
            raise ImageWriteError(f"{target}: is not an ordinary file; choose another name")
        # A link is followed when writing, so the folder that must be writable is that of the file it names.
        real = Path(os.path.realpath(target))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageWriteError(
            f"{str(target)[:200]!r}: is no usable path ({reason}); choose another name"
        ) from error
    if exists and not overwrite:
        raise ImageWriteError(
            f"{target}: exists already; choose another name or allow overwriting (--overwrite)"
        )
    if not os.access(real.parent, os.W_OK | os.X_OK) or (exists and not os.access(real, os.W_OK)):
        raise ImageWriteError(f"{target}: no permission to write there; change it or choose another folder")
    return target


def write_photo(
    path: str | os.PathLike[str],
    pixels: npt.NDArray[np.uint8],
    *,
    alpha: npt.NDArray[np.uint8] | None = None,
    credit: Mapping[str, str] | None = None,
    mark: bool = True,
    source_type: str = provenance.COMPOSITE_WITH_TRAINED,
    software: str | None = None,
    result: Kind | None = None,
    parent: Path | None = None,
    credentials: Credentials | None = None,
    overwrite: bool = False,
    inputs: Iterable[object] = (),
    quality: int = 95,
) -> list[str]:
    """Writes a picture completely or not at all.

    Args:
        path: suffix .png, .jpg, .jpeg, .webp, .tif or .tiff.
        pixels: uint8 [H, W, 3], sRGB.
        alpha: uint8 [H, W]; dropped, with a note, where the format has no transparency.
        credit: any of artist, copyright, description, date; carried into the file.
        mark: whether the file says in its metadata that it was made with AI.
        source_type: the IPTC term of the mark, see :mod:`stylegan_swap.provenance.metadata`.
        software: name and version in the mark; None for this library's.
        result: what the picture is, if it is to be published: then `mark` also puts the watermark into its
            pixels and, with `credentials`, a signed C2PA manifest into the file. None for contact sheets and
            other working pictures.
        parent: the photograph that was edited, an ingredient of the manifest.
        credentials: who signs the manifest; None asks the environment.
        overwrite: whether an existing file may be replaced.
        inputs: sources that must not be overwritten.
        quality: 1 to 100, for JPEG (always without chroma subsampling) and WebP.

    Returns:
        Notes on what the format could not keep.

    Raises:
        ImageWriteError: as in :func:`check_writable`, arrays of another kind, or the disk is full;
            nothing is left behind then, and an existing file stays as it was.
    """
    target = check_writable(path, overwrite, inputs=inputs)
    kind = WRITABLE[target.suffix.lower()]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        kind = f"{pixels.dtype} {list(pixels.shape)}"
        raise ImageWriteError(f"{target}: pixels are {kind}; give uint8 [H, W, 3] in RGB order")
    if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != pixels.shape[:2]):
        kind = f"{alpha.dtype} {list(alpha.shape)}"
        raise ImageWriteError(f"{target}: alpha is {kind}; give uint8 {list(pixels.shape[:2])} as the pixels")
    if not 1 <= quality <= 100:
        raise ImageWriteError(f"{target}: quality {quality} is out of range; give 1 to 100")

    # The watermark.
    notes = []
    signer = None
    if mark and result is not None:
        signer = credentials or Credentials.from_environment()
        pixels = embed_watermark(pixels, result)
        if min(pixels.shape[:2]) < SMALLEST_SIDE:
            notes.append(f"no watermark: a side is under {SMALLEST_SIDE} pixels; the metadata are marked")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if alpha is not None and kind == "JPEG":
        notes.append("transparency dropped: JPEG has none; write a PNG to keep it")
    elif alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
    # Metadata and file.
    credit = {key: value for key in CREDIT if (value := credit_line((credit or {}).get(key)))}
    options = _encoder_options(kind, credit, mark, source_type, software, quality)
    try:
        # In memory first: Pillow's encoders do not notice where a nearly full disk holds only a part.
        encoded = io.BytesIO()
        image.save(encoded, format=kind, **options)
        with replacing(target) as temporary:
            temporary.write_bytes(encoded.getbuffer())
            if signer is not None and result is not None:
                sign_file(temporary, kind, signer, result=result, source_type=source_type, parent=parent)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ImageWriteError(
            f"{target}: could not be written ({reason}); free some space or choose another folder or format"
        ) from error
    return notes


def _encoder_options(
    kind: str, credit: dict[str, str], mark: bool, source_type: str, software: str | None, quality: int
) -> dict[str, Any]:
    """Options of Pillow's encoder: compression, credit as EXIF, the mark as XMP and text."""
    exif = Image.Exif()
    for key, tag in EXIF_CREDIT.items():
        if key in credit:
            # Pillow would write question marks for every letter outside ASCII.
            exif[tag] = credit[key].encode()
    if "date" in credit:
        date = credit["date"].encode("ascii", "replace")
        if kind == "TIFF":
            # Pillow's compressed TIFF cannot hold the EXIF folder where the date belongs.
            exif[DATE_CHANGED] = date
        else:
            exif.get_ifd(EXIF_IFD)[DATE_TAKEN] = date
    packet = provenance.xmp_packet(source_type, software=software, credit=credit) if mark else b""
    options: dict[str, Any] = {"exif": exif}
    if kind == "JPEG":
        options |= {"quality": quality, "subsampling": 0, "optimize": True}
        if mark:
            options["extra"] = provenance.jpeg_segment(packet)
    elif kind == "WEBP":
        options |= {"quality": quality, "xmp": packet}
    elif kind == "TIFF":
        options["compression"] = "tiff_deflate"
        if mark:
            exif[provenance.TIFF_TAG] = packet
    elif mark:
        options["pnginfo"] = provenance.png_text(packet, source_type, software=software, credit=credit)
    return options


def photo_bytes(format_name: str, pixels: npt.NDArray[np.uint8], **options: Any) -> tuple[bytes, list[str]]:
    """The bytes of the file :func:`write_photo` would write: same encoding, credit, marks and signature.

    Args:
        format_name: png, jpg, jpeg, webp, tif or tiff, in any case, with or without a dot.
        pixels: uint8 [H, W, 3], sRGB.
        options: as of :func:`write_photo`.

    Returns:
        The bytes, and notes on what the format could not keep.

    Raises:
        ImageWriteError: an unknown format, or as in :func:`write_photo`.
    """
    suffix = "." + format_name.lower().removeprefix(".")
    if suffix not in WRITABLE:
        known = ", ".join(name[1:] for name in WRITABLE)
        raise ImageWriteError(f"{format_name!r} is no known picture format; use one of {known}")
    # A signature needs a file, so every picture goes through one.
    with (
        os_errors_as(ImageWriteError, tempfile.gettempdir(), "cannot be written", "free space there"),
        tempfile.TemporaryDirectory() as folder,
    ):
        path = Path(folder) / f"picture{suffix}"
        notes = write_photo(path, pixels, **options)
        return path.read_bytes(), notes


def _same_file(target: Path, source: object) -> bool:
    if not isinstance(source, str | os.PathLike):
        return False
    try:
        return target.samefile(source)
    except (OSError, ValueError):
        return False
