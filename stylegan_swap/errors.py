"""Errors and warnings of the library.

Each message names the file, key or option, the cause and the remedy in one line, so that the command line can
print it as it is. The packages below (``inversion``, ``cuda_ops``) raise ValueError and RuntimeError instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class StyleganSwapError(Exception):
    """Base of all errors of this library; the command line exits with code 1."""


class ImageReadError(StyleganSwapError):
    """A picture is missing, unreadable, truncated, too large, or of no known format."""


class ImageWriteError(StyleganSwapError):
    """A result cannot be written: folder, permissions, disk, format, or it exists already."""


class VideoReadError(StyleganSwapError):
    """A clip is missing, unreadable, damaged, a playlist, of no known format, or of high dynamic range."""


class VideoWriteError(StyleganSwapError):
    """A clip cannot be written: folder, disk, format, it exists already, or other work is kept there."""


class NoFaceError(StyleganSwapError):
    """No face was found; the message lists what was tried."""


class FaceSelectionError(StyleganSwapError):
    """The face asked for does not exist: index out of range, or no match for the reference."""


class FaceTooSmallError(StyleganSwapError):
    """The face is smaller than the library can swap."""


class CheckpointError(StyleganSwapError):
    """Weights are missing, truncated, unsafe, or do not fit the network they are for."""


class DownloadError(CheckpointError):
    """Weights could not be downloaded: network, quota, disk, or the file is not the one expected."""


class UnsupportedOptionError(StyleganSwapError):
    """The chosen method does not offer the option that was asked for."""


class ConfigError(StyleganSwapError):
    """A training configuration cannot be read, or a value in it is missing, unknown or out of range."""


class TrainingError(StyleganSwapError):
    """A training run cannot start or go on; the message says where it stands."""


class BatchError(StyleganSwapError):
    """A batch cannot start or go on: its list, its output folder or its workers."""


class NotEnoughMemoryError(StyleganSwapError):
    """The network does not fit into memory, whatever was tried to make it smaller."""


class NonFiniteError(StyleganSwapError, ValueError):
    """A network gave NaN or infinity; the message names the stage. Nothing is written then."""


class AppError(StyleganSwapError):
    """The page cannot be served, or a picture, a clip or a choice is missing on it."""


class ExportError(StyleganSwapError):
    """A network cannot be exported: folder, disk, format, it exists already, or the file fails its checks."""


class MissingDependencyError(StyleganSwapError):
    """An optional package or file is needed; the message says how to install it."""


class StyleganSwapWarning(UserWarning):
    """Something the user should know but that does not stop the work."""


class FallbackWarning(StyleganSwapWarning):
    """The work goes on, but in another way than asked for: slower, or a little less exact."""


@contextlib.contextmanager
def os_errors_as(kind: type[StyleganSwapError], path: object, cause: str, remedy: str) -> Iterator[None]:
    """Raise an OSError of the block as an error of this library: ``PATH: CAUSE (system's reason); REMEDY``.

    Args:
        kind: the class to raise.
        path: the file or folder the block works on.
        cause: what failed, e.g. "cannot be written".
        remedy: what the user can do.
    """
    try:
        yield
    except OSError as error:
        raise kind(f"{path}: {cause} ({error.strerror or error}); {remedy}") from error
