"""Downloads that are not kept: another hash or size than known, a full disk, no place to write."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys

import pytest
from download_server import DATA, PART, SHA, entry, file, left

from stylegan_swap.errors import DownloadError
from stylegan_swap.weights import download
from stylegan_swap.weights.cache import cached_path, record_path, recorded_sha256

# ---- the file is not the one


def test_a_wrong_hash(fetch, server, cache):
    server.answers = [file()]
    fetch.refused(
        f"its sha256 is {SHA}, not {'0' * 64}", "thrown away", "run the command again", sha256="0" * 64
    )
    assert left(cache) == []


def test_a_hash_other_than_the_first(fetch, server, cache):
    server.answers = [file()]
    path = fetch().path
    path.unlink()
    server.answers = [file(DATA[::-1])]
    fetch.refused("its sha256 is", f"not {SHA}", str(record_path(entry())), "if you trust the new file")
    record_path(entry()).unlink()
    assert fetch().trusted and path.read_bytes() == DATA[::-1]
    assert recorded_sha256(entry()) == hashlib.sha256(DATA[::-1]).hexdigest()


def test_a_wrong_size(fetch, server, cache):
    server.answers = [file()]
    fetch.refused(f"offers {len(DATA)} bytes, the file has 5", size=5)
    assert left(cache) == []
    assert fetch(size=len(DATA)).fetched


def test_put_there_by_hand(fetch, cache):
    path = cached_path(entry())
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    found = fetch()
    assert not found.fetched and found.trusted and recorded_sha256(entry()) == SHA
    for content, word in ((b"<html>", "web page"), (b"other", "its sha256 is"), (b"", "")):
        path.write_bytes(content)
        with pytest.raises(DownloadError, match=f"lies there already, but .*{word}.*delete it"):
            fetch()
        assert path.read_bytes() == content


# ---- the disk


def test_too_little_room(fetch, server, monkeypatch, cache):
    server.answers = [file()]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    fetch.refused("no space on the disk", "3.1 MB are needed, 0.0 MB are free", "--dir")
    assert left(cache) == []


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits")
def test_a_disk_that_fills_up(fetch, server, cache):
    import resource
    import signal

    server.answers = [file()]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, before[1]))
        fetch.refused("no space on the disk", "after 1.5 MB", "goes on from there", "--dir")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert left(cache) == PART
    assert fetch().path.read_bytes() == DATA
    assert server.requests[-1]["Range"] == "bytes=1500000-"


def test_a_folder_that_cannot_be_written(fetch, server, tmp_path, monkeypatch):
    server.answers = [file()]
    (tmp_path / "a file").write_bytes(b"")
    fetch.refused("a file", "cannot be written", "--dir", folder=tmp_path / "a file")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "there")

    monkeypatch.setattr(download, "put_in_place", denied)
    fetch.refused("there cannot be written (Permission denied)", "STYLEGAN_SWAP_CACHE")
