"""An empty cache, a server on this machine, and a caller that keeps what a download says."""

from __future__ import annotations

import time

import pytest
from download_server import entry, reach, running

from stylegan_swap.errors import DownloadError
from stylegan_swap.weights.cache import cached_path
from stylegan_swap.weights.download import download_published, drive, transfer


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache; and no proxy of this machine between it and the server."""
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch):
    """A server that downloads may speak to."""
    for module, name in ((transfer, "SCHEMES"), (drive, "DRIVE"), (drive, "DRIVE_DOMAINS")):
        monkeypatch.setattr(module, name, getattr(module, name))
    with running() as local:
        reach(local.url)
        yield local


class Caller:
    """Downloads from a server; keeps what was said, waited and shown."""

    def __init__(self, server, waits):
        self.server = server
        self.said: list[str] = []
        self.waits: list[float] = waits
        self.shown: list[tuple[int, int | None]] = []

    def __call__(self, folder=None, **fields):
        return download_published(
            entry(f"{self.server.url}/net.pt", **fields),
            folder,
            say=self.said.append,
            progress=lambda done, total: self.shown.append((done, total)),
        )

    def refused(self, *words, folder=None, **fields):
        with pytest.raises(DownloadError) as caught:
            self(folder, **fields)
        message = str(caught.value)
        assert "\n" not in message and message.startswith("net: ")
        for word in words:
            assert word in message, message
        assert not cached_path(entry()).exists()
        assert not list(cached_path(entry()).parent.glob(".*.lock"))
        return message


@pytest.fixture
def fetch(server, monkeypatch):
    """Waits are noted, not waited."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return Caller(server, waits)
