"""Google Drive: from the identifier of a file, or of a folder, to an address that sends bytes.

Large files come behind a page that warns of viruses, files that many people fetched behind one that refuses.
gdown reads both pages and the listings of folders; ``transfer`` fetches, because gdown's own transfer takes
whatever a server sends for the rest of the same file.
"""

from __future__ import annotations

import re
import urllib.parse
from pathlib import PurePath
from typing import TYPE_CHECKING

from stylegan_swap.errors import DownloadError
from stylegan_swap.weights.download.connection import connection_error
from stylegan_swap.weights.download.transfer import Job, look

if TYPE_CHECKING:
    import requests

DRIVE = "https://drive.google.com"
#: Where a page of Google Drive may send us on.
DRIVE_DOMAINS = ("google.com", "googleusercontent.com")
_MOST_PAGES = 3
# What gdown raises on a page that is not built as it knows it.
_UNEXPECTED_PAGE = (AssertionError, AttributeError, LookupError, TypeError, ValueError)


def drive_address(job: Job, session: requests.Session) -> str:
    """The address from which the file of a job on Google Drive can be fetched.

    Raises:
        DownloadError: Google Drive does not give the file.
    """
    url = f"{DRIVE}/uc?export=download&id={job.entry.drive or find_in_folder(job)}"
    for _ in range(_MOST_PAGES):
        page = look(job, session, url)
        if page is None:
            return url
        url = _next_address(job, page)
    raise drive_refusal(job, "one page leads to another")


def find_in_folder(job: Job) -> str:
    """The identifier of the file of a job among those of its folder.

    Raises:
        DownloadError: the folder cannot be read, or has no such file or more than one.
    """
    import gdown
    import requests

    try:
        files = gdown.download_folder(
            id=job.entry.drive_folder,
            quiet=True,
            use_cookies=False,
            skip_download=True,
            timeout=(15, 60),
        )
    except OSError as error:
        # requests' errors, and what it raises without certificates; with skip_download nothing is written.
        told = connection_error(job, DRIVE, error)
        plain = (requests.exceptions.ConnectionError, requests.exceptions.Timeout)
        special = (requests.exceptions.ProxyError, requests.exceptions.SSLError)
        if told is None or (isinstance(error, plain) and not isinstance(error, special)):
            told = job.error("no connection to Google Drive", f"check the network, or {job.by_hand}")
        raise told from error
    except (gdown.exceptions.DownloadError, *_UNEXPECTED_PAGE) as error:
        raise drive_refusal(job, "its folder cannot be read") from error
    # With skip_download all of them have an identifier, which the type does not say.
    identifiers = {str(getattr(file, "path", file)): str(getattr(file, "id", "")) for file in files or []}
    matches = [key for path, key in identifiers.items() if PurePath(path).name == job.entry.file]
    if len(matches) != 1:
        names = ", ".join([*identifiers][:10]) or "nothing"
        raise job.error(f"its folder has {len(matches)} files called {job.entry.file}, but {names}")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", matches[0]):
        raise drive_refusal(job, "its folder names a file in an unknown way")
    return matches[0]


def drive_refusal(job: Job, cause: str) -> DownloadError:
    """The error of a page that came in place of a file."""
    return job.error(
        f"Google Drive sent a web page, not weights ({cause})",
        f"it limits how often a file is fetched: try again in a day, or {job.by_hand}",
    )


def _next_address(job: Job, page: str) -> str:
    """The address behind a page of Google Drive."""
    from gdown.download import get_url_from_gdrive_confirmation
    from gdown.exceptions import FileURLRetrievalError

    try:
        url = str(get_url_from_gdrive_confirmation(page))
        host = urllib.parse.urlsplit(url).hostname or ""
    except FileURLRetrievalError as error:
        raise drive_refusal(job, _message(page, str(error))) from error
    except _UNEXPECTED_PAGE as error:
        raise drive_refusal(job, "of an unknown kind") from error
    if not any(host == domain or host.endswith(f".{domain}") for domain in DRIVE_DOMAINS):
        raise drive_refusal(job, f"it leads elsewhere: {host[:100] or 'nowhere'}")
    return url


def _message(page: str, error: str) -> str:
    """What the page tells a person."""
    if re.search(r"accounts\.google\.com|ServiceLogin", page):
        return "it asks to sign in: the file is not shared with everybody"
    if "uc-error-subcaption" not in page:
        return page_title(page) or "without a link to the file"
    text = " ".join(re.sub(r"<[^>]*>", " ", error).split())
    return text.split(". ")[0].rstrip(".")[:200]


def page_title(page: str) -> str:
    """The title of a page, as a short line; empty if it has none."""
    match = re.search(r"<title[^>]*>(.*?)</title>", page[: 1 << 16], flags=re.IGNORECASE | re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", match.group(1)).split())[:100] if match else ""
