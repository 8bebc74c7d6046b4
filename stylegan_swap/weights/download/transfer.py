"""One download: which file, from where, to where; and its bytes, resumed where the server allows it.

requests connects, urllib3's ``Retry`` waits for busy servers. What neither does is here: going on after an
answer that broke off, with the certainty that both parts are of one file. A server is asked for the rest only
if it can be told which version the beginning belongs to (If-Range), or if a hash will show at the end whether
both fit.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stylegan_swap._version import __version__
from stylegan_swap.errors import DownloadError
from stylegan_swap.weights.download.connection import cause, connection_error
from stylegan_swap.weights.readers import is_web_page
from stylegan_swap.weights.registry import PublishedWeights

if TYPE_CHECKING:
    import requests

#: The only kinds of address that are opened, also after a redirection.
SCHEMES = ("https",)
_TIMEOUT_S = (15, 60)  # to connect, and between two blocks
_ATTEMPTS = 5  # in a row without getting on
_GETTING_ON = 1 << 20  # bytes; after so many the next failure counts as the first
_LONGEST_WAIT_S = 120  # a server that asks for more is told as an error
_BLOCK = 1 << 16  # bytes; of what came before a connection broke off, less is lost
_LARGEST_PAGE = 1 << 20  # bytes
_BUSY = (408, 429, 500, 502, 503, 504)


class WebPage(Exception):
    """The answer is a page for people, not a file; its beginning is the only argument."""


class _BrokenOff(Exception):
    """The rest of the file did not come; asking for it again may help."""


@dataclass(frozen=True)
class Job:
    """One file on its way.

    Attributes:
        entry: what is fetched.
        target: the path it will have.
        expected: SHA-256 the file must have; None while nobody knows it.
        say: told notes for the user, one line each.
        progress: told the bytes that are here, and how many there will be (None: unknown).
    """

    entry: PublishedWeights
    target: Path
    expected: str | None = None
    say: Callable[[str], None] = lambda text: None
    progress: Callable[[int, int | None], None] = lambda size, total: None

    @property
    def part(self) -> Path:
        """Where the bytes are collected until they are all there."""
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def origin(self) -> Path:
        """Says which version of the file the part belongs to."""
        return self.target.with_name(f".{self.target.name}.part.json")

    @property
    def collected(self) -> int:
        """How many bytes were collected."""
        with self.disk():
            return self.part.stat().st_size if self.part.exists() else 0

    def discard(self) -> None:
        """Forgets what was collected."""
        with self.disk():
            self.part.unlink(missing_ok=True)
            self.origin.unlink(missing_ok=True)

    @property
    def by_hand(self) -> str:
        """The remedy that always remains."""
        return f"open {self.entry.page} in a browser and put the file at {self.target}"

    def error(self, cause: str, remedy: str | None = None) -> DownloadError:
        """The error to raise; by default the remedy is to fetch the file by hand."""
        return DownloadError(f"{self.entry.name}: {cause}; {remedy or self.by_hand}")

    @contextlib.contextmanager
    def disk(self, verb: str = "written") -> Iterator[None]:
        """Raise errors of the disk as ours; a block of it asks nothing of the network.

        ``verb``: what cannot be done, ``written`` or ``read``.
        """
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                # Not ``collected``, which may fail on the same disk.
                size = self.part.stat().st_size if self.part.exists() else 0
                raise full(self, f"{error.strerror} after {size / 1e6:.1f} MB") from error
            reason = error.strerror or type(error).__name__
            raise self.error(
                f"{error.filename or self.target} cannot be {verb} ({reason})",
                "choose another folder: --dir, or STYLEGAN_SWAP_CACHE",
            ) from error

    def later(self, cause: str, advice: str = "later ") -> DownloadError:
        """The error of a failure that may pass."""
        note = f"; {self.collected / 1e6:.1f} MB are kept, it goes on from there" if self.collected else ""
        return self.error(f"{cause}{note}", f"{advice}run the command again, or {self.by_hand}")


def open_session(job: Job) -> requests.Session:
    """A session that can open nothing but the schemes of the job, also when it is redirected."""
    import requests
    from urllib3.exceptions import InvalidHeader
    from urllib3.response import BaseHTTPResponse
    from urllib3.util.retry import Retry

    class Patience(Retry):
        def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
            try:
                seconds = super().get_retry_after(response) or 0
            except InvalidHeader:
                return None
            if seconds > _LONGEST_WAIT_S:
                cause = f"{job.entry.page} asks to wait ({response.status})"
                raise job.later(cause, f"in {seconds / 60:.0f} min ")
            return seconds

        def sleep(self, response: BaseHTTPResponse | None = None) -> None:
            busy = f"is busy ({response.status})" if response else "does not answer"
            job.say(f"{job.entry.name}: the server {busy}; trying again")
            super().sleep(response)

    # A machine that cannot be reached, or not safely, is told at once.
    retry = Patience(
        _ATTEMPTS - 1, connect=0, other=0, status_forcelist=_BUSY, backoff_factor=1, raise_on_status=False
    )
    session = requests.Session()
    session.adapters.clear()
    for scheme in SCHEMES:
        session.mount(f"{scheme}://", requests.adapters.HTTPAdapter(max_retries=retry))
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
    failures = 0
    while True:
        size = job.collected
        try:
            _collect(job, session, url)
            return
        except _BrokenOff as broken:
            failures = 1 if job.collected - size >= _GETTING_ON else failures + 1
            if failures == _ATTEMPTS:
                raise job.later(f"{broken}, {failures} times in a row") from broken
            wait = 2 ** (failures - 1)
            job.say(f"{job.entry.name}: {broken}; trying again in {wait} s")
            time.sleep(wait)


def look(job: Job, session: requests.Session, url: str) -> str | None:
    """The page at an address, or None if a file lies there, of which nothing is read.

    Raises:
        DownloadError: the server or the network does not let it.
    """
    with _answer(job, session, url, {}) as response:
        return _text(response) if _says_page(response) else None


def _collect(job: Job, session: requests.Session, url: str) -> None:
    """One attempt."""
    # Ask for the rest, if it can be told of what
    offset, version, host = job.collected, _version_of_part(job), urllib.parse.urlsplit(url).netloc
    validator = version.get("etag") or version.get("modified")
    headers: dict[str, str] = {}
    if offset and version and (validator or job.expected):
        headers = {"Range": f"bytes={offset}-"} | ({"If-Range": validator} if validator else {})

    with _answer(job, session, url, headers) as response:
        # Refuse what is no file, or another one than the beginning is of
        status = response.status_code
        start, total = _extent(response)
        if _says_page(response) and status != 416:
            raise WebPage(_text(response))
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise job.error(f"{host} sends the file compressed although it was asked not to")
        if status == 416 and total == offset:
            job.progress(offset, total)
            return
        offered = _version(job, response)
        other_version = any(version.get(key, "") not in ("", offered[key]) for key in offered if offered[key])
        if status == 416 or (status == 206 and (start != offset or other_version)):
            job.discard()
            raise _BrokenOff(f"{host} has another file than the one that was begun")
        if status == 200:
            if headers:
                job.say(f"{job.entry.name}: {host} sends the whole file anew; beginning again")
            offset = 0

        # Know how much comes, and that there is room for it
        if job.entry.size and total not in (None, job.entry.size):
            raise job.error(f"{host} offers {total} bytes, the file has {job.entry.size}")
        total = total if total is not None else job.entry.size or None
        chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        if total is None and not chunked and not job.expected:
            raise job.error(f"{host} does not say how large the file is: half of it would pass for all")
        # What lies in the part and is not kept makes room.
        with job.disk("read"):
            room = shutil.disk_usage(job.part.parent).free + (0 if offset else job.collected)
        if total is not None and total - offset > room:
            raise full(job, f"{(total - offset) / 1e6:.1f} MB are needed, {room / 1e6:.1f} MB are free")

        # Append it to the part
        if offset:
            job.say(f"{job.entry.name}: going on after {offset / 1e6:.1f} MB")
        else:
            job.discard()
        size = _write(job, response, offset, total)
    if total is not None and size != total:
        if size > total:
            job.discard()
        raise _BrokenOff(f"{host} sent {size} of {total} bytes")


def _write(job: Job, response: requests.Response, offset: int, total: int | None) -> int:
    """Appends to the part; returns how many bytes it has."""
    size = offset
    with job.disk():
        if not offset:
            job.origin.write_text(json.dumps(_version(job, response)), encoding="utf-8")
        with job.part.open("ab") as stream:
            for block in _blocks(response):
                if not size and is_web_page(block[:512]):
                    raise WebPage(block.decode("utf-8", "replace"))
                stream.write(block)
                size += len(block)
                job.progress(size, total)
                if total is not None and size > total:
                    # The caller throws it away; an endless answer would fill the disk.
                    break
    return size


def _answer(
    job: Job, session: requests.Session, url: str, headers: dict[str, str]
) -> contextlib.closing[requests.Response]:
    """The answer of the server, if it is one to go on with (200, 206, and 416 to a request for a part)."""
    host = urllib.parse.urlsplit(url).netloc
    try:
        response = session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S)
    except OSError as error:
        # All of requests' errors are of this class, and so is what it raises without certificates.
        if told := connection_error(job, url, error):
            raise told from error
        raise job.error(f"{host} cannot be read over {SCHEMES[0]} ({error})") from error
    status = response.status_code
    if status in (200, 206) or (status == 416 and headers):
        return contextlib.closing(response)
    response.close()
    if status in _BUSY:
        busy = "asks to wait: too many requests" if status == 429 else "is busy or broken"
        raise job.later(f"{host} {busy} ({status}), {_ATTEMPTS} times in a row")
    refusals = {
        404: "has no such file",
        410: "has no such file",
        401: "refuses the file",
        403: "refuses the file",
    }
    raise job.error(f"{host} {refusals.get(status, 'sends something else')} ({status})")


def _blocks(response: requests.Response) -> Iterator[bytes]:
    import requests

    try:
        yield from response.iter_content(_BLOCK)
    except requests.exceptions.RequestException as error:
        raise _BrokenOff(f"the connection broke off ({cause(error)})") from error


def _text(response: requests.Response) -> str:
    """The beginning of a page."""
    text = b""
    for block in _blocks(response):
        text += block
        if len(text) >= _LARGEST_PAGE:
            break
    return text.decode("utf-8", "replace")


def _says_page(response: requests.Response) -> bool:
    media_type = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    return media_type in ("text/html", "application/xhtml+xml")


def _extent(response: requests.Response) -> tuple[int | None, int | None]:
    """(first byte, size of the whole file), each None where the server does not say."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    header = response.headers.get("Content-Range", "").strip()
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", header)
    start, total = match.groups() if match else (None, None)
    return int(start) if start else None, int(total) if total else None


def _version(job: Job, response: requests.Response) -> dict[str, str]:
    tag = response.headers.get("ETag", "")
    # A weak tag does not promise the same bytes.
    etag = "" if tag.startswith("W/") else tag
    return {"page": job.entry.page, "etag": etag, "modified": response.headers.get("Last-Modified", "")}


def _version_of_part(job: Job) -> dict[str, str]:
    """Which version of the file the part belongs to; empty if nobody can say."""
    try:
        version = json.loads(job.origin.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    usable = isinstance(version, dict) and all(isinstance(value, str) for value in version.values())
    return version if usable and version.get("page") == job.entry.page else {}


def full(job: Job, cause: str) -> DownloadError:
    """The error of a disk without room."""
    return job.error(
        f"no space on the disk of {job.target.parent} ({cause})",
        "free some and run the command again, it goes on from there, or choose another folder (--dir)",
    )
