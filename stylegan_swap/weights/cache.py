"""The user's cache: where downloaded weights lie, and what their first download looked like.

``download`` writes here, ``store`` reads here. One folder per name, so that two projects may call their files
alike: <cache>/weights/<name>/<file>. Beside it <file>.sha256, which `sha256sum -c` reads: where
the library lists no hash, the one of the first complete download is trusted from then on.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from stylegan_swap.errors import CheckpointError
from stylegan_swap.files.atomic import replacing
from stylegan_swap.files.cache import cache_folder
from stylegan_swap.weights.registry import PublishedWeights


def cached_path(entry: PublishedWeights) -> Path:
    """Where the file of a published name lies once it was downloaded, or put there by hand."""
    return cache_folder() / "weights" / entry.name / entry.file


def record_path(entry: PublishedWeights) -> Path:
    """Where the hash of the first complete download is kept."""
    path = cached_path(entry)
    return path.with_name(path.name + ".sha256")


def recorded_sha256(entry: PublishedWeights) -> str | None:
    """The hash of the first complete download; None before it.

    Raises:
        CheckpointError: the record cannot be read, or is none.
    """
    path = record_path(entry)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise CheckpointError(f"{path}: cannot be read ({reason}); delete it and download again") from error
    if (match := re.match(r"[0-9a-f]{64}(?= |$)", text)) is None:
        raise CheckpointError(f"{path}: holds no sha256; delete it and download again")
    return match.group()


def record_sha256(entry: PublishedWeights, digest: str) -> Path:
    """Keeps the hash of the first complete download.

    Returns:
        The path of the record.

    Raises:
        OSError: the cache cannot be written to.
    """
    path = record_path(entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(f"{digest}  {entry.file}\n", encoding="utf-8")
    return path


def find_cached(entry: PublishedWeights) -> Path:
    """The downloaded file of a published name, verified against the hash the library or the record has.

    Raises:
        CheckpointError: it was not downloaded, or is not the file it was.
    """
    path = cached_path(entry)
    if not path.is_file():
        raise CheckpointError(
            f"{entry.name}: is published by others and not downloaded yet; run `stylegan-swap download "
            f"{entry.name}`, or put the file from {entry.page} at {path}"
        )
    expected = entry.sha256.lower() or recorded_sha256(entry)
    if expected and (digest := sha256_of(path)) != expected:
        raise CheckpointError(
            f"{path}: sha256 is {digest}, not {expected}; delete it and run "
            f"`stylegan-swap download {entry.name}`"
        )
    return path


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in small hexadecimal digits.

    Raises:
        CheckpointError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return digest.hexdigest()
