"""Photographs come in and results go out: the one place where pictures are read and written.

Both ends of the road: **read photo** → detect → align → encoder → swapper → generator → paste → **write**.
:func:`read_photo` makes upright 8-bit sRGB of whatever it is given; :func:`check_writable` refuses
a bad output path before the work; :func:`write_photo` writes completely or not at all.
Nothing of the input's metadata passes through but the names in :data:`CREDIT`.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from stylegan_swap import decode, provenance
from stylegan_swap.atomic import replacing
from stylegan_swap.errors import ImageReadError, ImageWriteError

if TYPE_CHECKING:
    from stylegan_swap.content_credentials import Credentials
    from stylegan_swap.watermark import Kind

#: Suffixes that can be written, and the format each stands for.
WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}

#: The metadata kept from a photo. Anything else (position, camera, serial numbers, previews) is dropped.
CREDIT = ("artist", "copyright", "description", "date")

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_DATE_TAKEN = 0x9003
_DATE_CHANGED = 0x0132
_EXIF_CREDIT = {"artist": 0x013B, "copyright": 0x8298, "description": 0x010E}
_TEXT_CREDIT = {"artist": "Author", "copyright": "Copyright", "description": "Description"}
_LONGEST_CREDIT = 1000

# How to bring a picture stored with each EXIF orientation upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright photograph in 8-bit sRGB.

    Attributes:
        pixels: uint8 [H, W, 3], RGB, C-contiguous.
        alpha: uint8 [H, W], 0 transparent to 255 opaque; None without transparency.
        name: the file name, or what else the picture came from, for messages.
        credit: artist, copyright, description and date, as far as the file told them.
        notes: what was lost or assumed in reading, e.g. "16-bit gray reduced to 8 bit".
    """

    pixels: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    name: str = "picture"
    credit: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


#: What :func:`read_photo` accepts.
PhotoSource: TypeAlias = "str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | Photo"


def read_photo(source: PhotoSource, max_pixels: int | None = None) -> Photo:
    """Reads a picture of any usual kind as upright 8-bit sRGB.

    Orientation and embedded colour profiles are applied, 16-bit and floating-point gray is scaled,
    transparency is kept apart, and of an animation the first frame is taken.

    Args:
        source: a path, a Pillow image, a uint8 array ([H, W], [H, W, 1], [H, W, 3] RGB or [H, W, 4]
            RGBA), or a Photo, which is returned as it is.
        max_pixels: largest number of pixels; None asks STYLEGAN_SWAP_MAX_PIXELS, then takes 64 million.

    Raises:
        ImageReadError: missing, not a picture, too large, damaged, or an array of another kind.
    """
    if isinstance(source, Photo):
        return source
    limit = decode.pixel_limit(max_pixels)
    if isinstance(source, np.ndarray):
        return _from_array(source, limit)
    if isinstance(source, Image.Image):
        # The whole path: where the picture came from must not be overwritten by the result.
        name = os.fsdecode(getattr(source, "filename", "") or "Pillow image")
        decode.check_size(source.width, source.height, name, limit)
        return _from_image(source, name, limit)
    if not isinstance(source, str | os.PathLike):
        kind = type(source).__name__
        raise ImageReadError(f"{kind}: not a picture; give a path, a Pillow image or a uint8 RGB array")
    path = _readable(source)
    try:
        with path.open("rb") as file, decode.open_picture(file, str(path), limit) as image:
            return _from_image(image, str(path), limit)
    except OSError as error:
        raise ImageReadError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error


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
        shown = repr(str(target)[:200])
        raise ImageWriteError(f"{shown}: is no usable path ({reason}); choose another name") from error
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
        source_type: the IPTC term of the mark, see :mod:`stylegan_swap.provenance`.
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
        found = f"{pixels.dtype} {list(pixels.shape)}"
        raise ImageWriteError(f"{target}: pixels are {found}; give uint8 [H, W, 3] in RGB order")
    if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != pixels.shape[:2]):
        found = f"{alpha.dtype} {list(alpha.shape)}"
        raise ImageWriteError(
            f"{target}: alpha is {found}; give uint8 {list(pixels.shape[:2])} like the pixels"
        )
    if not 1 <= quality <= 100:
        raise ImageWriteError(f"{target}: quality {quality} is out of range; give 1 to 100")

    notes = []
    signer = None
    if mark and result is not None:
        from stylegan_swap.content_credentials import Credentials
        from stylegan_swap.watermark import SMALLEST_SIDE, embed_watermark

        signer = credentials or Credentials.from_environment()
        pixels = embed_watermark(pixels, result)
        if min(pixels.shape[:2]) < SMALLEST_SIDE:
            notes.append(f"no watermark: a side is under {SMALLEST_SIDE} pixels; the metadata are marked")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if alpha is not None and kind == "JPEG":
        notes.append("transparency dropped: JPEG has none; write a PNG to keep it")
    elif alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
    kept = {key: value for key in CREDIT if (value := _cleaned((credit or {}).get(key)))}
    options = _encoder_options(kind, kept, mark, source_type, software, quality)
    try:
        # In memory first: Pillow's encoders write to files themselves, and take the part of a picture that a
        # nearly full disk still holds for the whole.
        encoded = io.BytesIO()
        image.save(encoded, format=kind, **options)
        with replacing(target) as temporary:
            temporary.write_bytes(encoded.getbuffer())
            if signer is not None and result is not None:
                from stylegan_swap.content_credentials import sign_file

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
    """What Pillow's encoder is told: compression, credit as EXIF, the mark as XMP and text."""
    exif = Image.Exif()
    for key, tag in _EXIF_CREDIT.items():
        if key in credit:
            # Pillow would write question marks for every letter outside ASCII.
            exif[tag] = credit[key].encode()
    if "date" in credit:
        date = credit["date"].encode("ascii", "replace")
        if kind == "TIFF":
            # Pillow's compressed TIFF cannot hold the EXIF folder where the date belongs.
            exif[_DATE_CHANGED] = date
        else:
            exif.get_ifd(_EXIF_IFD)[_DATE_TAKEN] = date
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


def _from_array(array: npt.NDArray[Any], limit: int) -> Photo:
    shape, name = list(array.shape), f"array {array.dtype} {list(array.shape)}"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageReadError(f"{name}: holds NaN or infinite values; give uint8 values from 0 to 255")
    if array.dtype != np.uint8:
        raise ImageReadError(f"{name}: pixels must be uint8 from 0 to 255; scale and convert the array first")
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (3, 4)):
        hint = "put the channels last" if array.ndim == 3 and shape[0] in (1, 3, 4) else "reshape it"
        raise ImageReadError(f"{name}: must be [H, W], [H, W, 3] RGB or [H, W, 4] RGBA; {hint}")
    decode.check_size(shape[1], shape[0], name, limit)
    if array.ndim == 2:
        return Photo(np.repeat(array[:, :, None], 3, axis=2), name=name)
    # Copies, so that a caller who goes on drawing in the array does not change the photo.
    alpha = array[:, :, 3].copy() if shape[2] == 4 else None
    return Photo(np.array(array[:, :, :3], order="C"), alpha, name)


def _from_image(image: Image.Image, name: str, limit: int) -> Photo:
    notes = decode.decode(image, name, limit)
    # Only now: Pillow turns some formats upright while decoding and then takes the tag away.
    orientation, credit = _read_metadata(image, notes)
    pixels, alpha, lost = decode.to_srgb(image, name)
    if orientation in _UPRIGHT:
        turn = _UPRIGHT[orientation]
        pixels = np.array(Image.fromarray(pixels).transpose(turn), order="C")
        alpha = None if alpha is None else np.array(Image.fromarray(alpha).transpose(turn), order="C")
    return Photo(pixels, alpha, name, credit, notes + lost)


def _read_metadata(image: Image.Image, notes: list[str]) -> tuple[int, dict[str, str]]:
    """The orientation (1 to 8) and the credit of a decoded picture."""
    found: dict[str, object] = {}
    orientation = 1
    try:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        found = {key: exif.get(tag) for key, tag in _EXIF_CREDIT.items()}
        found["date"] = exif.get_ifd(_EXIF_IFD).get(_DATE_TAKEN) or exif.get(_DATE_CHANGED)
    except (OSError, ValueError, TypeError, LookupError, SyntaxError, ArithmeticError):
        notes.append("EXIF data are damaged; ignored")
    for key, text in _TEXT_CREDIT.items():
        found[key] = found.get(key) or image.info.get(text)
    credit = {key: value for key in CREDIT if (value := _cleaned(found.get(key)))}
    return orientation if isinstance(orientation, int) else 1, credit


def _cleaned(value: object) -> str:
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


def _readable(source: str | os.PathLike[str]) -> Path:
    """Refuses what is not a file with something in it."""
    path = Path(source)
    if "://" in str(source):
        raise ImageReadError(f"{source}: is an address, not a file; download the picture first")
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ImageReadError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageReadError(f"{str(path)[:200]!r}: is no usable path ({reason}); check it") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageReadError(f"{path}: is a folder; give a picture in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageReadError(f"{path}: is not an ordinary file; copy the picture to one")
    if status.st_size == 0:
        raise ImageReadError(f"{path}: the file is empty; copy or download it again")
    return path


def _same_file(target: Path, source: object) -> bool:
    if not isinstance(source, str | os.PathLike):
        return False
    try:
        return target.samefile(source)
    except (OSError, ValueError):
        return False
