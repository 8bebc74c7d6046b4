"""Reading photographs as upright 8-bit sRGB; of their metadata only :data:`CREDIT` is kept."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

from stylegan_swap.errors import ImageReadError, os_errors_as
from stylegan_swap.images import decode

#: The metadata kept from a photo. Anything else (position, camera, serial numbers, previews) is dropped.
CREDIT = ("artist", "copyright", "description", "date")

# EXIF tags and PNG text keys that hold them.
EXIF_IFD = 0x8769
DATE_TAKEN = 0x9003
DATE_CHANGED = 0x0132
EXIF_CREDIT = {"artist": 0x013B, "copyright": 0x8298, "description": 0x010E}
TEXT_CREDIT = {"artist": "Author", "copyright": "Copyright", "description": "Description"}
_LONGEST_CREDIT = 1000  # letters of one entry

_ORIENTATION = 0x0112

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
        credit: artist, copyright, description and date, as far as the file holds them.
        notes: losses and assumptions in reading, e.g. "16-bit gray reduced to 8 bit".
    """

    pixels: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    name: str = "picture"
    credit: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@runtime_checkable
class BinaryFile(Protocol):
    """A file object open for reading bytes: ``open(path, "rb")``, ``io.BytesIO``, an upload."""

    def read(self) -> bytes:
        """The bytes from here to the end."""


#: Sources that :func:`read_photo` accepts.
PhotoSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | BinaryFile | Image.Image | npt.NDArray[Any] | Photo"
)


def read_photo(source: PhotoSource, max_pixels: int | None = None) -> Photo:
    """Reads a picture of any usual kind as upright 8-bit sRGB.

    Orientation and embedded colour profiles are applied, 16-bit and floating-point gray is scaled,
    transparency is kept apart, and of an animation the first frame is taken.

    Args:
        source: a path, the bytes of a picture file, a binary file object (read from where it stands, not
            closed), a Pillow image, a uint8 array ([H, W], [H, W, 1], [H, W, 3] RGB or [H, W, 4] RGBA), or
            a Photo, which is returned as it is. OpenCV's arrays are BGR: give ``array[..., ::-1]``.
        max_pixels: largest number of pixels; None asks STYLEGAN_SWAP_MAX_PIXELS, then takes 64 million.

    Raises:
        ImageReadError: missing, not a picture, too large, damaged, or an array of another kind.
    """
    if isinstance(source, Photo):
        return source
    limit = decode.pixel_limit(max_pixels)
    if isinstance(source, np.ndarray):
        # Subclasses keep their own rules: np.matrix is always two-dimensional and cannot be repeated.
        return _from_array(np.asarray(source), limit)
    if isinstance(source, Image.Image):
        # The whole path: where the picture came from must not be overwritten by the result.
        name = os.fsdecode(getattr(source, "filename", "") or "Pillow image")
        decode.check_size(source.width, source.height, name, limit)
        return _from_image(source, name, limit)
    if isinstance(source, bytes | bytearray):
        return _from_bytes(bytes(source), "bytes of a picture", limit)
    if isinstance(source, BinaryFile):
        return _from_file(source, limit)
    if not isinstance(source, str | os.PathLike):
        kind = type(source).__name__
        raise ImageReadError(
            f"{kind}: not a picture; give a path, bytes, a binary file, a Pillow image or a uint8 RGB array"
        )
    path = _readable(source)
    with (
        os_errors_as(ImageReadError, path, "cannot be read", "check the file"),
        path.open("rb") as file,
        decode.open_picture(file, str(path), limit) as image,
    ):
        return _from_image(image, str(path), limit)


def _from_file(file: BinaryFile, limit: int) -> Photo:
    # Where it is a file with a path, the path is the name: a result must not overwrite it.
    path = getattr(file, "name", None)
    name = path if isinstance(path, str) and path else "file object"
    try:
        data = file.read()
    except (OSError, ValueError) as error:
        raise ImageReadError(f"{name}: cannot be read ({error}); open it for reading, in binary") from error
    if not isinstance(data, bytes):
        raise ImageReadError(f"{name}: is open as text; open it in binary, as open(path, 'rb')")
    return _from_bytes(data, name, limit)


def _from_bytes(data: bytes, name: str, limit: int) -> Photo:
    if not data:
        raise ImageReadError(f"{name}: nothing to read; give a whole picture file, from its start (seek(0))")
    with decode.open_picture(io.BytesIO(data), name, limit) as image:
        return _from_image(image, name, limit)


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
    pixels, alpha, losses = decode.to_srgb(image, name)
    if orientation in _UPRIGHT:
        turn = _UPRIGHT[orientation]
        pixels = np.array(Image.fromarray(pixels).transpose(turn), order="C")
        alpha = None if alpha is None else np.array(Image.fromarray(alpha).transpose(turn), order="C")
    return Photo(pixels, alpha, name, credit, notes + losses)


def _read_metadata(image: Image.Image, notes: list[str]) -> tuple[int, dict[str, str]]:
    """The orientation (1 to 8) and the credit of a decoded picture."""
    entries: dict[str, object] = {}
    orientation = 1
    try:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        entries = {key: exif.get(tag) for key, tag in EXIF_CREDIT.items()}
        entries["date"] = exif.get_ifd(EXIF_IFD).get(DATE_TAKEN) or exif.get(DATE_CHANGED)
    except (OSError, ValueError, TypeError, LookupError, SyntaxError, ArithmeticError):
        notes.append("EXIF data are damaged; ignored")
    for key, text in TEXT_CREDIT.items():
        entries[key] = entries.get(key) or image.info.get(text)
    credit = {key: value for key in CREDIT if (value := credit_line(entries.get(key)))}
    return orientation if isinstance(orientation, int) else 1, credit


def _readable(source: str | os.PathLike[str]) -> Path:
    """The path of a regular file that is not empty; refuses everything else."""
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


def demo_photos() -> tuple[Photo, Photo]:
    """The two portraits, read from the installed packages."""
    import matplotlib.cbook
    import skimage.data

    hopper = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return read_photo(skimage.data.astronaut()), read_photo(str(hopper))
