"""Downloads from Google Drive: its pages are as gdown reads them, the answers come from this machine."""

from __future__ import annotations

import gdown
import pytest
import requests
from download_server import DATA, entry, file, page, status

from stylegan_swap.errors import DownloadError
from stylegan_swap.weights.cache import cached_path
from stylegan_swap.weights.download import download_published
from stylegan_swap.weights.download.drive import find_in_folder
from stylegan_swap.weights.download.transfer import Job

ID = "1bMTNWkh5LArlaWSc_wa8VKyq2V42T2z0"
WARNING = (
    '<html><title>Google Drive - Virus scan warning</title><form id="download-form" '
    'action="{url}/download" method="get"><input type="hidden" name="id" value="{id}">'
    '<input type="hidden" name="confirm" value="t"></form></html>'
)
QUOTA = (
    "<html><title>Google Drive - Quota exceeded</title>\n"
    '<p class="uc-error-subcaption">Too many users have viewed or <b>downloaded</b> this file recently. '
    "Please try accessing the file again later. If the file is large, it may take 24 hours.</p></html>"
)


def fetch(server, **fields):
    return download_published(entry(**{"drive": ID, **fields}), say=lambda text: None)


def refused(server, *words, **fields):
    with pytest.raises(DownloadError) as caught:
        fetch(server, **fields)
    for word in words:
        assert word in str(caught.value), caught.value
    assert "\n" not in str(caught.value)
    assert not list(cached_path(entry()).parent.glob(".*.lock"))
    assert not cached_path(entry()).exists()


def warning(server, url=None):
    return page(WARNING.format(url=url or server.url, id=ID))


def test_a_small_file_comes_at_once(server):
    server.answers = [file()]
    assert fetch(server).path.read_bytes() == DATA
    assert {request["path"] for request in server.requests} == {f"/uc?export=download&id={ID}"}


def test_a_large_file_comes_behind_a_warning(server):
    server.answers = [warning(server), file(), file(cut=1 << 20), file()]
    assert fetch(server).path.read_bytes() == DATA
    asked = [(request["path"], request.get("Range")) for request in server.requests]
    link = f"/download?id={ID}&confirm=t"
    assert asked == [
        (f"/uc?export=download&id={ID}", None),
        (link, None),
        (link, None),
        (link, f"bytes={1 << 20}-"),
    ]


@pytest.mark.parametrize("body, words", [
    (QUOTA, ("Too many users have viewed or downloaded this file recently",)),
    ("<title>Sign in</title> https://accounts.google.com/x", ("not shared with everybody",)),
    ("<title>Oh no</title>", ("Oh no",)),
    ("", ("without a link",)),
    ('<form id="download-form"></form>', ("unknown kind",)),
])  # fmt: skip
def test_pages_in_place_of_a_file(server, body, words):
    server.answers = [page(body)]
    by_hand = f"open https://drive.google.com/file/d/{ID}/view in a browser and put the file at"
    refused(server, "a web page, not weights", "again in a day", by_hand, str(cached_path(entry())), *words)
    assert not list(cached_path(entry()).parent.iterdir())


def test_the_quota_ends_in_the_middle(server):
    """What is here stays, for another day."""
    server.answers = [file(), file(cut=1 << 20), page(QUOTA)]
    refused(server, "Google Drive - Quota exceeded")
    assert cached_path(entry()).with_name(".net.pt.part").stat().st_size == 1 << 20
    server.answers = [file()]
    assert fetch(server).path.read_bytes() == DATA
    assert server.requests[-1]["Range"] == f"bytes={1 << 20}-"


def test_a_page_may_not_lead_elsewhere(server):
    for elsewhere in ("http://example.org", "http://127.0.0.1.example.org", "ftp://example.org"):
        server.answers = [warning(server, elsewhere)]
        refused(server, "leads elsewhere: ")
    server.answers = [warning(server, server.url.replace("http:", "file:"))]
    refused(server, "over http")
    server.answers = [warning(server)]
    refused(server, "one page leads to another")


def test_a_file_that_is_gone(server):
    server.answers = [status(404)]
    refused(server, "has no such file (404)")


# ---- folders


def test_a_file_of_a_folder(server, monkeypatch):
    asked = {}

    def contents(**options):
        asked.update(options)
        found = gdown.download.__globals__["GoogleDriveFileToDownload"]
        return [found("other" * 5, "a.pt", "x"), found(ID, "deep/net.pt", "x"), found("n" * 25, "b.pt", "x")]

    monkeypatch.setattr(gdown, "download_folder", contents)
    server.answers = [file()]
    assert fetch(server, drive="", drive_folder="folder").path.read_bytes() == DATA
    assert server.requests[0]["path"].endswith(f"id={ID}")
    assert (
        asked["id"] == "folder" and asked["skip_download"] and not asked["use_cookies"] and asked["timeout"]
    )
    refused_name = entry(drive="", drive_folder="folder", file="c.pt")
    with pytest.raises(DownloadError, match=r"0 files called c\.pt, but a\.pt, deep/net\.pt"):
        download_published(refused_name, say=lambda text: None)


@pytest.mark.parametrize("error, words", [
    (requests.exceptions.ConnectionError("x"), "no connection to Google Drive; check the network"),
    (gdown.exceptions.DownloadError("x"), "its folder cannot be read"),
    (AssertionError(), "its folder cannot be read"),
])  # fmt: skip
def test_a_folder_that_cannot_be_read(monkeypatch, error, words):
    def fails(**_):
        raise error

    monkeypatch.setattr(gdown, "download_folder", fails)
    with pytest.raises(DownloadError, match=words):
        find_in_folder(Job(entry(drive_folder="folder"), cached_path(entry())))


def test_gdown_takes_the_options_it_is_given():
    """A folder's listing is the one call this library cannot try here; its options must at least exist."""
    import inspect

    known = inspect.signature(gdown.download_folder).parameters
    assert {"id", "quiet", "use_cookies", "skip_download", "timeout"} <= set(known)
