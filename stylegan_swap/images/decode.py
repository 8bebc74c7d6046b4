"""Decoding picture files of the allowed formats to 8-bit sRGB.

Holds the guards (allow-list of formats, size before decoding) and the colour conversions; ``images.photo``
makes a ``Photo`` of the result.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from stylegan_swap.errors import ImageReadError
from stylegan_swap.images.foreign import foreign_kind

#: Formats that are read. Pillow knows some forty more, each a parser open to attack.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")

#: The largest picture read unless the caller or STYLEGAN_SWAP_MAX_PIXELS says otherwise.
DEFAULT_MAX_PIXELS = 64_000_000

LIMIT_VARIABLE = "STYLEGAN_SWAP_MAX_PIXELS"

# Errors of Pillow's decoders on damaged data, depending on the format and on the damaged part.
_DAMAGE = (
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

# Held while Pillow's global limit is replaced.
_limit_lock = threading.Lock()


def pixel_limit(max_pixels: int | None = None) -> int:
    """The number of pixels a picture may have.

    Args:
        max_pixels: the caller's wish; None asks the environment variable STYLEGAN_SWAP_MAX_PIXELS,
            then takes 64 million.

    Raises:
        ImageReadError: the limit is not a whole number above zero.
    """
    origin, value = "max_pixels", str(max_pixels)
    if max_pixels is None:
        origin, value = LIMIT_VARIABLE, os.environ.get(LIMIT_VARIABLE, "").strip() or str(DEFAULT_MAX_PIXELS)
    try:
        limit = int(value)
    except ValueError:
        limit = 0
    if limit < 1:
        raise ImageReadError(
            f"{origin}={value}: not a number of pixels; give one such as {DEFAULT_MAX_PIXELS}"
        )
    return limit


def check_size(width: int, height: int, name: str, limit: int) -> None:
    """Refuses a picture without pixels or with more than `limit`.

    Raises:
        ImageReadError: says how large it is and how to raise the limit.
    """
    pixels = width * height
    if pixels < 1:
        raise ImageReadError(f"{name}: the picture has no pixels ({width} × {height}); use another file")
    if pixels > limit:
        raise ImageReadError(
            f"{name}: {width} × {height} pixels are {pixels / 1e6:.1f} megapixels, more than the limit of "
            f"{limit / 1e6:g}; shrink the picture or set {LIMIT_VARIABLE}={pixels}"
        )


@contextlib.contextmanager
def open_picture(file: BinaryIO, name: str, limit: int) -> Iterator[Image.Image]:
    """Reads the header of a picture and checks format and size; no pixel is decoded yet.

    ``file``: open for reading, at its start; ``name``: for messages; ``limit``: most pixels allowed.

    Yields:
        The Pillow image, still to be decoded; closed afterwards.

    Raises:
        ImageReadError: not a picture, a format that is not allowed, or too large.
    """
    Image.init()
    formats = [kind for kind in FORMATS if kind in Image.OPEN]
    try:
        with _pillow_limit(limit):
            image: Image.Image = Image.open(file, formats=formats)
    except Image.UnidentifiedImageError:
        raise ImageReadError(f"{name}: {foreign_kind(file, FORMATS)}") from None
    except Image.DecompressionBombError:
        raise ImageReadError(
            f"{name}: the picture has more than twice the {limit / 1e6:g} megapixels allowed; "
            f"shrink it or raise {LIMIT_VARIABLE}"
        ) from None
    except _DAMAGE as error:
        raise _damaged(name, error) from error
    with image:
        check_size(image.width, image.height, name, limit)
        yield image


def decode(image: Image.Image, name: str, limit: int) -> list[str]:
    """Decodes the pixels of `image`, or of its first frame.

    Returns notes on what the file holds and is left out: further frames, the lower 8 of 16 bits.

    Raises:
        ImageReadError: the data are truncated or damaged.
    """
    # Pillow checks some formats again here, against its own limit: only a user who went above it
    # pays for the lock, so ordinary photos are decoded in parallel.
    raised = Image.MAX_IMAGE_PIXELS is not None and limit > Image.MAX_IMAGE_PIXELS
    notes = []
    try:
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            notes.append(f"only the first of {frames} pictures in the file is used")
        if image.mode not in ("I", "F") and not image.mode.startswith("I;") and _stored_16_bit(image):
            notes.append("16-bit colour reduced to 8 bit")
        with _pillow_limit(limit) if raised else contextlib.nullcontext():
            image.load()
    except _DAMAGE as error:
        raise _damaged(name, error) from error
    return notes


def to_srgb(
    image: Image.Image, name: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None, list[str]]:
    """Converts a decoded picture of any mode to 8-bit sRGB.

    Returns pixels uint8 [H, W, 3] RGB, C-contiguous; alpha uint8 [H, W], or None where the picture has no
    transparency; notes on what was lost on the way. ``name`` is for messages; ``image`` stays as it is.

    Raises:
        ImageReadError: a floating-point picture holds NaN or infinity, or the mode is unknown.
    """
    notes: list[str] = []
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _scaled_gray(image, name, notes)

    alpha = None
    gray = image.mode in ("1", "L", "LA", "La")
    try:
        if image.mode == "La":
            # Pillow converts it to nothing else.
            image = image.convert("LA")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            alpha = np.array(image.getchannel("A"))
        if image.mode not in ("CMYK", "LAB"):
            image = image.convert("L" if gray else "RGB")
        converted = _from_profile(image, profile, notes)
    except ValueError as error:
        raise ImageReadError(
            f"{name}: pixels of the kind {image.mode} cannot be converted; save it as an RGB PNG"
        ) from error
    return np.array(converted, order="C"), alpha, notes


def _from_profile(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """Applies the embedded ICC profile to an L, RGB, CMYK or LAB image; returns RGB."""
    standard = ImageCms.createProfile("sRGB")
    lab = ImageCms.createProfile("LAB") if image.mode == "LAB" else None
    if profile or lab:
        try:
            source = ImageCms.ImageCmsProfile(lab or io.BytesIO(profile or b""))
            if image.mode == "L" and source.profile.xcolor_space.strip() == "RGB":
                image = image.convert("RGB")
            transform = ImageCms.buildTransform(
                source,
                standard,
                image.mode,
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            # sRGB goes by many names. A profile that moves no colour by more than one step is left
            # out, so that the pixels outside the face stay exactly those of the file.
            if image.mode in ("L", "RGB") and _is_neutral(transform, image.mode):
                return image.convert("RGB")
            converted = ImageCms.applyTransform(image, transform)
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            notes.append("colour profile is broken or of another colour space; ignored")
    if image.mode == "CMYK":
        notes.append("CMYK without a usable colour profile: colours are approximate")
    return image.convert("RGB")


def _is_neutral(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform leaves a grid over all colours (or a ramp of grays) as it is."""
    if mode == "L":
        probe = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    else:
        steps = np.linspace(0, 255, 17).astype(np.uint8)
        grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
        probe = Image.fromarray(grid.reshape(17, -1, 3))
    converted = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int)
    return bool(np.abs(converted - np.asarray(probe.convert("RGB"))).max() <= 1)


def _scaled_gray(image: Image.Image, name: str, notes: list[str]) -> Image.Image:
    """Brings 16-bit, 32-bit and floating-point gray to 8 bit; Pillow's own conversion clips instead."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageReadError(f"{name}: the picture holds NaN or infinite values; save it as 8-bit or 16-bit")
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;"):
        scale, kind = 255 / 65535, "16-bit gray"
    elif image.mode == "I" and low >= 0 and 255 < high <= 65535:
        # Older versions of Pillow open 16-bit PNGs as 32-bit integers.
        scale, kind = 255 / 65535, "16-bit gray"
    elif image.mode == "F" and low >= 0 and high <= 1:
        scale, kind = 255.0, "floating-point gray (0 to 1)"
    elif low >= 0 and high <= 255:
        scale, kind = 1.0, "32-bit gray (0 to 255)"
    else:
        values -= low
        scale, kind = 255 / max(high - low, 1e-12), f"32-bit gray ({low:g} to {high:g})"
    notes.append(f"{kind} reduced to 8 bit")
    return Image.fromarray(np.rint(values * scale).astype(np.uint8))


def _stored_16_bit(image: Image.Image) -> bool:
    """Whether a file not decoded yet has 16 bits per channel, of which Pillow keeps only the upper 8."""
    for tile in getattr(image, "tile", []):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if ";16" in str(arguments[0]):
            return True
    return False


@contextlib.contextmanager
def _pillow_limit(limit: int) -> Iterator[None]:
    """Replaces Pillow's limit, which is global and warns before it refuses."""
    with _limit_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        pillow_limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = limit
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = pillow_limit


def _damaged(name: str, error: BaseException) -> ImageReadError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageReadError(
        f"{name}: the picture is truncated or damaged ({reason}); copy or download it again"
    )
