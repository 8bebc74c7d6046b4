"""Fetching the files other projects publish into the cache: ``stylegan-swap download``.

Only when it is asked for: nothing else in the library opens a connection. A file appears under its name when
it is complete and has the hash it must have; it is never executed, loaded or unpacked here.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from stylegan_swap.errors import DownloadError
from stylegan_swap.files.atomic import put_in_place
from stylegan_swap.files.lock import exclusive
from stylegan_swap.weights.cache import (
    cached_path,
    record_path,
    record_sha256,
    recorded_sha256,
    sha256_of,
)
from stylegan_swap.weights.download.drive import drive_address, drive_refusal, page_title
from stylegan_swap.weights.download.transfer import Job, WebPage, fetch, open_session
from stylegan_swap.weights.readers import is_web_page
from stylegan_swap.weights.registry import PublishedWeights
from stylegan_swap.weights.store import find_weights, published_weights, registered_weights

__all__ = ["Downloaded", "download_published", "download_weights"]


@dataclass(frozen=True)
class Downloaded:
    """What came of a download.

    Attributes:
        path: the file.
        sha256: its hash.
        fetched: False if it was there already.
        trusted: whether nothing was known to compare the hash with, so that it was recorded now.
    """

    path: Path
    sha256: str
    fetched: bool
    trusted: bool


def download_weights(
    name: str,
    folder: Path | None = None,
    *,
    say: Callable[[str], None] = print,
    progress: Callable[[int, int | None], None] = lambda size, total: None,
) -> Downloaded:
    """Fetches a published file by its name in the registry, unless it is there already.

    Args:
        name: see ``stylegan-swap download --list``.
        folder: where to put the file; None is the cache, where the library finds it by its name.
        say: told notes for the user, one line each.
        progress: told the bytes that are here, and how many there will be (None: unknown).

    Raises:
        DownloadError: unknown name, or network, server, disk or hash do not allow it; one line.
    """
    published = published_weights()
    if name in published:
        return download_published(published[name], folder, say=say, progress=progress)
    if name in (shipped := registered_weights()):
        path = find_weights(name)
        return Downloaded(path, shipped[name].sha256 or sha256_of(path), fetched=False, trusted=False)
    near = difflib.get_close_matches(name, [*published, *shipped], n=1)
    hint = f" (nearest: {near[0]})" if near else ""
    raise DownloadError(f"{name!r}: no known weights{hint}; `stylegan-swap download --list` shows all names")


def download_published(
    entry: PublishedWeights,
    folder: Path | None = None,
    *,
    say: Callable[[str], None] = print,
    progress: Callable[[int, int | None], None] = lambda size, total: None,
) -> Downloaded:
    """As :func:`download_weights`, of an entry."""
    target = folder / entry.file if folder is not None else cached_path(entry)
    job = Job(entry, target, None, say, progress)
    with contextlib.ExitStack() as held:
        with job.disk():
            target.parent.mkdir(parents=True, exist_ok=True)
            lock = exclusive(
                target.with_name(f".{target.name}.lock"),
                waiting=lambda: say(f"{entry.name}: another process is fetching it; waiting for it"),
            )
            held.enter_context(lock)
            # Only now: the process waited for may have recorded the hash.
            expected = entry.sha256.lower() or recorded_sha256(entry)
            fetched = not target.exists()
        job = replace(job, expected=expected)
        digest = _fetched(job) if fetched else _already_there(job)
    return Downloaded(target, digest, fetched, trusted=expected is None)


def _fetched(job: Job) -> str:
    """Fetches the file, checks it and gives it its name."""
    on_drive = not job.entry.url
    with open_session(job) as session:
        try:
            url = drive_address(job, session) if on_drive else job.entry.url
            fetch(job, session, url)
        except WebPage as page:
            if not job.collected:
                job.discard()
            title = page_title(str(page)) or "without a title"
            if on_drive:
                raise drive_refusal(job, title) from None
            raise job.error(f"this is a web page, not weights ({title})") from None
    with job.disk("read"):
        digest, size = sha256_of(job.part), job.part.stat().st_size
    problem = _mismatch(job, digest, size)
    if problem or not size:
        job.discard()
        raise job.error(
            f"{problem or 'the file is empty'}; it was thrown away",
            f"run the command again; if it stays so, the file behind {job.entry.page} was changed: "
            f"ask its authors{_forget(job)}",
        )
    _record(job, digest)
    with job.disk():
        put_in_place(job.part, job.target)
    job.discard()
    return digest


def _already_there(job: Job) -> str:
    """Checks a file that lies where the download would go: fetched before, or put there by hand."""
    if not job.target.is_file():
        raise job.error(f"{job.target} is no file", "move it away, or choose another folder (--dir)")
    with job.disk("read"), job.target.open("rb") as stream:
        digest, size = sha256_of(job.target), job.target.stat().st_size
        page = is_web_page(stream.read(512))
    problem = "it is a web page, not weights" if page else _mismatch(job, digest, size)
    if problem or not size:
        raise job.error(
            f"{job.target} lies there already, but {problem or 'it is empty'}",
            f"delete it and run the command again{_forget(job)}",
        )
    _record(job, digest)
    return digest


def _mismatch(job: Job, digest: str, size: int) -> str | None:
    if job.entry.size and size != job.entry.size:
        return f"it has {size} bytes, not {job.entry.size}"
    if job.expected and digest != job.expected:
        return f"its sha256 is {digest}, not {job.expected}"
    return None


def _forget(job: Job) -> str:
    """How to go on with a file that is another one now, where only our own record speaks against it."""
    if job.entry.sha256 or not job.expected:
        return ""
    return f", or delete {record_path(job.entry)} if you trust the new file"


def _record(job: Job, digest: str) -> None:
    """Trusts the first complete file of a name whose hash nobody knows, and says so."""
    if job.expected is not None:
        return
    with job.disk():
        path = record_sha256(job.entry, digest)
    job.say(
        f"{job.entry.name}: its sha256 was not known; {digest} is trusted from now on (recorded in {path})"
    )
