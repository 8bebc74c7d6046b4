"""The bytes of one address into one file: resumed, counted, and retried where that may help.

A server is asked for the rest of the file only if it can be told which version the beginning belongs to
(If-Range), or if a hash will show at the end whether both fit. A server that sends the whole file instead is
taken at its word: the transfer begins anew.
"""

from __future__ import annotations

import contextlib
import email.utils
import errno
import json
import re
import shutil
import time
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stylegan_swap._version import __version__
from stylegan_swap.weights.download.job import Job
from stylegan_swap.weights.readers import is_web_page

if TYPE_CHECKING:
    import requests

# Of what came before a connection broke off, less than a block is lost.
_BLOCK = 1 << 16
# A transfer that brought at least this much is getting on: its next failure counts as the first.
_GETTING_ON = 1 << 20
_LARGEST_PAGE = 1 << 20
_BUSY = (408, 429, 500, 502, 503, 504)
_GONE = (404, 410)
# What urllib3 calls a server that did not even take the call.
_NOT_REACHED = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")


class _Failed(Exception):
    """Trying again may help.

    Attributes:
        wait: seconds the server asks to wait; None: it does not say.
        reached: whether a server had answered.
    """

    def __init__(self, cause: str, *, wait: float | None = None, reached: bool = True) -> None:
        super().__init__(cause)
        self.wait = wait
        self.reached = reached


class WebPage(Exception):
    """The answer is a page for people, not a file; its beginning is the only argument."""


def open_session(job: Job) -> requests.Session:
    """A session that can open nothing but the schemes of the job, also when it is redirected."""
    import requests

    session = requests.Session()
    session.adapters.clear()
    for scheme in job.network.schemes:
        session.mount(f"{scheme}://", requests.adapters.HTTPAdapter())
    # Offsets count the bytes of the file, not of a compressed form of it.
    session.headers["Accept-Encoding"] = "identity"
    session.headers["User-Agent"] = f"Mozilla/5.0 (compatible; stylegan-swap/{__version__})"
    return session


def fetch(job: Job, session: requests.Session, url: str) -> None:
    """Collects the whole file in ``job.part``.

    Raises:
        DownloadError: the server, the network or the disk does not let it.
        WebPage: a page came in place of the file.
    """
    patience = _Patience(job)
    while True:
        before = _size(job)
        try:
            _collect(job, session, url)
            return
        except _Failed as failure:
            patience.after(failure, gained=_size(job) - before)


def look(job: Job, session: requests.Session, url: str) -> str | None:
    """The page at an address, or None if a file lies there, of which nothing is read.

    Raises:
        DownloadError: the server or the network does not let it.
    """
    patience = _Patience(job)
    while True:
        try:
            with _answer(job, session, url, {}) as response:
                if not _says_page(response):
                    return None
                return _text(response)
        except _Failed as failure:
            patience.after(failure, gained=0)


class _Patience:
    """Counts failures in a row and waits after each, or gives up."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.failures = 0
        self.reached = False

    def after(self, failure: _Failed, gained: int) -> None:
        """Waits before the next attempt, or raises DownloadError."""
        network = self.job.network
        self.reached = self.reached or failure.reached
        self.failures = 1 if gained >= _GETTING_ON else self.failures + 1
        kept = f"; {_human(here)} are kept" if (here := _size(self.job)) else ""
        goes_on = ", it goes on from there" if kept else ""
        again = f"run the command again{goes_on}, or {self.job.by_hand}"
        if not self.reached:
            raise self.job.error(f"{failure}{kept}", f"check the network and {again}") from failure
        if failure.wait is not None and failure.wait > network.longest_wait:
            when = f"in {_duration(failure.wait)}"
            raise self.job.error(f"{failure}{kept}", f"{when} {again}") from failure
        if self.failures >= network.attempts:
            tries = f"{failure}, {self.failures} times in a row{kept}"
            raise self.job.error(tries, f"later {again}") from failure
        wait = failure.wait if failure.wait is not None else 2.0 ** (self.failures - 1)
        self.job.say(f"{self.job.entry.name}: {failure}; trying again in {wait:.0f} s")
        network.sleep(wait)


def _collect(job: Job, session: requests.Session, url: str) -> None:
    """One attempt."""
    offset = _size(job)
    headers = _resuming(job, offset)
    if not headers:
        offset = 0
    with _answer(job, session, url, headers) as response:
        if _says_page(response) and response.status_code != 416:
            raise WebPage(_text(response))
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise job.error(f"{_host(url)} sends the file compressed although it was asked not to")
        start, total = _extent(response)
        if response.status_code == 416:
            # Nothing lies behind our last byte: either it was the last, or it is another file.
            if total is not None and total == offset:
                job.progress(offset, total)
                return
            job.discard()
            raise _Failed(f"{_host(url)} has another file than the one that was begun")
        if response.status_code == 206 and (start != offset or not _same_version(job, response)):
            job.discard()
            raise _Failed(f"{_host(url)} sent another part than was asked for")
        if response.status_code == 200:
            if offset:
                job.say(f"{job.entry.name}: {_host(url)} sends the whole file anew; beginning again")
            offset = 0
        if job.entry.size and total not in (None, job.entry.size):
            raise job.error(f"{_host(url)} offers {total} bytes, the file has {job.entry.size}")
        total = total if total is not None else job.entry.size or None
        chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        if total is None and not chunked and not job.expected:
            raise job.error(f"{_host(url)} does not say how large the file is: half of it would pass for all")
        _check_space(job, total, offset)
        if offset:
            job.say(f"{job.entry.name}: going on after {_human(offset)}")
        here = _write(job, response, offset, total)
    if total is not None and here != total:
        if here > total:
            job.discard()
        raise _Failed(f"the connection ended after {here} of {total} bytes")


def _write(job: Job, response: requests.Response, offset: int, total: int | None) -> int:
    """Appends to the part; returns how many bytes it has."""
    here = offset
    try:
        if not offset:
            job.discard()
            job.origin.write_text(json.dumps(_version(job, response)), encoding="utf-8")
        with job.part.open("ab") as stream:
            for piece in _pieces(response):
                if not here and is_web_page(piece[:512]):
                    raise WebPage(piece[: 1 << 16].decode("utf-8", "replace"))
                stream.write(piece)
                here += len(piece)
                job.progress(here, total)
                if total is not None and here > total:
                    # The caller throws it away; an endless answer would fill the disk.
                    break
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _full(job, f"{error.strerror} after {_human(_size(job))}") from error
        raise job.error(
            f"{job.part} cannot be written ({error.strerror})", "choose another folder (--dir)"
        ) from error
    return here


def _answer(
    job: Job, session: requests.Session, url: str, headers: dict[str, str]
) -> contextlib.closing[requests.Response]:
    """The answer of the server, if it is one to go on with (200, 206, and 416 to a request for a part)."""
    import requests

    host = _host(url)
    try:
        response = session.get(url, headers=headers, stream=True, timeout=job.network.timeout)
    except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
        raise job.error(f"no safe connection to {host} ({_innermost(error)})") from error
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        reached = not any(type(cause).__name__ in _NOT_REACHED for cause in _causes(error))
        raise _Failed(f"no connection to {host} ({_innermost(error)})", reached=reached) from error
    except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
        allowed = " and ".join(sorted(job.network.schemes))
        raise job.error(f"{host} leads to an address that is not {allowed} ({_innermost(error)})") from error
    except requests.exceptions.RequestException as error:
        raise job.error(f"{host} cannot be read ({_innermost(error)})") from error
    status = response.status_code
    if status in (200, 206) or (status == 416 and headers):
        return contextlib.closing(response)
    response.close()
    if status in _BUSY:
        busy = "asks to wait: too many requests" if status == 429 else "is busy or broken"
        wait = _retry_after(response.headers.get("Retry-After"))
        raise _Failed(f"{host} {busy} ({status})", wait=wait)
    if status in _GONE:
        raise job.error(f"{host} has no such file ({status}): it was moved or removed")
    if status in (401, 403):
        raise job.error(f"{host} refuses the file ({status})")
    raise job.error(f"{host} answers {status} {response.reason or ''}".rstrip())


def _pieces(response: requests.Response) -> Iterator[bytes]:
    import requests

    try:
        yield from response.iter_content(_BLOCK)
    except requests.exceptions.RequestException as error:
        raise _Failed(f"the connection broke off ({_innermost(error)})") from error


def _text(response: requests.Response) -> str:
    """The beginning of a page."""
    found = b""
    for piece in _pieces(response):
        found += piece
        if len(found) >= _LARGEST_PAGE:
            break
    return found[:_LARGEST_PAGE].decode("utf-8", "replace")


def _says_page(response: requests.Response) -> bool:
    kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml")


def _extent(response: requests.Response) -> tuple[int | None, int | None]:
    """(first byte, size of the whole file), each None where the server does not say."""
    ranged = response.headers.get("Content-Range", "").strip()
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    if found := re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", ranged):
        start, total = found.groups()
        return (int(start) if start else None), (int(total) if total != "*" else None)
    return None, None


def _version(job: Job, response: requests.Response) -> dict[str, str]:
    tag = response.headers.get("ETag", "")
    # A weak tag does not promise the same bytes.
    return {
        "page": job.entry.page,
        "etag": "" if tag.startswith("W/") else tag,
        "modified": response.headers.get("Last-Modified", ""),
    }


def _begun(job: Job) -> dict[str, str]:
    """Which version of the file the part belongs to; empty if nobody can say."""
    try:
        found = json.loads(job.origin.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    usable = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if usable and found.get("page") == job.entry.page else {}


def _resuming(job: Job, offset: int) -> dict[str, str]:
    """The headers that ask for the rest of the file; none where it has to begin anew."""
    begun = _begun(job)
    validator = begun.get("etag") or begun.get("modified")
    if not offset or not begun or not (validator or job.expected):
        return {}
    return {"Range": f"bytes={offset}-", **({"If-Range": validator} if validator else {})}


def _same_version(job: Job, response: requests.Response) -> bool:
    before, now = _begun(job), _version(job, response)
    return all(not before.get(key) or not now[key] or before[key] == now[key] for key in ("etag", "modified"))


def _check_space(job: Job, total: int | None, offset: int) -> None:
    # What lies in the part and is not kept makes room.
    room = shutil.disk_usage(job.part.parent).free + (0 if offset else _size(job))
    if total is not None and total - offset > room:
        raise _full(job, f"{_human(total - offset)} are needed, {_human(room)} are free")


def _full(job: Job, cause: str) -> Exception:
    return job.error(
        f"no space on the disk of {job.target.parent} ({cause})",
        "free some and run the command again, it goes on from there, or choose another folder (--dir)",
    )


def _size(job: Job) -> int:
    try:
        return job.part.stat().st_size
    except OSError:
        return 0


def _retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After asks for: a number or a date."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _causes(error: BaseException) -> list[BaseException]:
    """An error and all that is wrapped in it."""
    found = [error]
    for inner in found:
        around = (inner.__cause__, inner.__context__, getattr(inner, "reason", None), *inner.args)
        found += [item for item in around if isinstance(item, BaseException) and item not in found]
    return found


def _innermost(error: BaseException) -> str:
    """The cause at the bottom, in a few words: "Connection refused" of all that requests wraps around it."""
    words = [cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror]
    return (words[-1:] or [" ".join(str(error).split())[:200] or type(error).__name__])[0]


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _human(size: int) -> str:
    if size >= 1e9:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size} bytes"


def _duration(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 60:.0f} min" if seconds > 120 else f"{seconds:.0f} s"
