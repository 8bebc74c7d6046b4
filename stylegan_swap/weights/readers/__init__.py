"""Readers of foreign files; none executes what it reads.

What they share: the errors of a file that is refused or damaged, and the tell-tale beginnings of files that
are no weights. ``torch_file`` reads PyTorch's files and pickles, ``numpy_file`` .npy and .npz.
"""

from __future__ import annotations

import contextlib
import pickle
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from stylegan_swap.errors import CheckpointError

# What a damaged or hostile file raises inside the readers.
_DAMAGE = (
    *(EOFError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError),
    *(struct.error, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


class ForbiddenPickle(Exception):
    """A pickle asks for more than plain values; the message says what, without the file's name."""


@contextlib.contextmanager
def own_errors(file: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into one line about that file.

    Raises:
        CheckpointError: in place of the original error.
    """
    try:
        yield
    except ForbiddenPickle as error:
        raise CheckpointError(
            f"{file}: refused, it asks for more than numbers ({error}); nothing in it was executed; "
            "ask its author for a .safetensors file"
        ) from None
    except MemoryError as error:
        raise CheckpointError(f"{file}: not enough memory to read it; close other programs") from error
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{file}: is truncated or damaged ({reason}); fetch it again") from error


def is_web_page(head: bytes) -> bool:
    """Whether a file that should hold weights begins as a web page does."""
    # The length at the start of a safetensors file may begin with '<' too, but has zero bytes after it.
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") and b"\0" not in head


def refuse_impostors(file: Path) -> None:
    """Name the files that most often lie where weights should be.

    Raises:
        CheckpointError: unreadable, empty, a git-lfs pointer or a web page.
    """
    with own_errors(file), file.open("rb") as stream:
        head = stream.read(512)
    if not head:
        raise CheckpointError(f"{file}: the file is empty; fetch it again")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{file}: is a git-lfs pointer, not the weights; run `git lfs pull` in its folder"
        )
    if is_web_page(head):
        raise CheckpointError(
            f"{file}: is a web page, not weights; open the link in a browser and download them"
        )
