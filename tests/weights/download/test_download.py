"""Downloads over HTTP: resumed, verified, whole or not at all, and each failure told in one line."""

from __future__ import annotations

import email.utils
import json
import os
import socket
import sys
import time

import pytest
from download_server import DATA, PART, SHA, entry, file, left, page, status

from stylegan_swap.cli import main as cli
from stylegan_swap.errors import CheckpointError, DownloadError
from stylegan_swap.weights import download
from stylegan_swap.weights import store as weights
from stylegan_swap.weights.cache import cached_path, record_path
from stylegan_swap.weights.download import download_published, transfer
from stylegan_swap.weights.download.transfer import open_session

# Of an answer that breaks off, whole blocks of 64 KiB are kept.
BROKEN = 16 * 65_536


HTTPS = transfer.SCHEMES

# ---- what goes well


def test_a_whole_file(fetch, server, cache):
    server.answers = [file()]
    found = fetch()
    assert found.path == cache / "weights" / "net" / "net.pt" and found.path.read_bytes() == DATA
    assert found.fetched and found.trusted and found.sha256 == SHA
    assert left(cache) == ["net.pt", "net.pt.sha256"]
    assert record_path(entry()).read_text() == f"{SHA}  net.pt\n"
    assert [line for line in fetch.said if SHA in line and "trusted from now on" in line]
    assert fetch.shown[-1] == (len(DATA), len(DATA)) and fetch.waits == []
    assert server.requests[0]["Accept-Encoding"] == "identity" and "Range" not in server.requests[0]
    if os.name == "posix":
        umask = os.umask(0)
        os.umask(umask)
        assert found.path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_the_second_call_fetches_nothing(fetch, server):
    server.answers = [file()]
    fetch()
    again = fetch()
    assert not again.fetched and not again.trusted and again.sha256 == SHA
    assert len(server.requests) == 1


def test_another_folder(fetch, server, tmp_path, cache):
    server.answers = [file()]
    found = fetch(tmp_path / "mine")
    assert found.path == tmp_path / "mine" / "net.pt" and os.listdir(tmp_path / "mine") == ["net.pt"]
    # What is trusted from now on is remembered for every folder.
    assert left(cache) == ["net.pt.sha256"]


def test_a_connection_that_breaks_off_is_resumed(fetch, server):
    server.answers = [file(cut=BROKEN), file(cut=BROKEN // 2), file()]
    assert fetch().path.read_bytes() == DATA
    asked = [request.get("Range") for request in server.requests]
    assert asked == [None, f"bytes={BROKEN}-", f"bytes={BROKEN * 3 // 2}-"]
    assert server.requests[1]["If-Range"] == '"one"'
    assert fetch.waits == [1, 2]
    assert [line for line in fetch.said if "broke off" in line and "trying again in 1 s" in line]


def test_a_transfer_that_gets_on_may_break_off_often(fetch, server):
    data = os.urandom(7 * BROKEN)
    server.answers = [file(data, cut=BROKEN)]
    assert fetch().path.read_bytes() == data
    assert fetch.waits == [1] * 6


def test_a_later_command_goes_on(fetch, server, cache):
    server.answers = [file(cut=131_072), status(503)]
    fetch.refused("busy", "(503)", "5 times in a row", "are kept", "goes on from there", server.url)
    assert left(cache) == PART
    server.answers = [file()]
    assert fetch().path.read_bytes() == DATA
    assert server.requests[-1]["Range"] == "bytes=131072-"


def test_a_server_that_sends_no_parts(fetch, server):
    server.answers = [file(cut=BROKEN), file(ranges=False)]
    assert fetch().path.read_bytes() == DATA
    assert server.requests[1]["Range"] == f"bytes={BROKEN}-"
    assert len(server.requests) == 2 and [line for line in fetch.said if "beginning again" in line]


def test_a_file_that_changed_in_between(fetch, server):
    other = DATA[::-1]
    server.answers = [file(cut=BROKEN), file(other, etag='"two"')]
    assert fetch().path.read_bytes() == other


def test_a_server_that_ignores_the_version(fetch, server):
    """It sends the rest of another file: seen by its tag, and begun again."""

    def wrong(handler):
        handler.headers.replace_header("If-Range", '"two"')
        file(DATA[::-1], etag='"two"')(handler)

    server.answers = [file(cut=BROKEN), wrong, file(DATA[::-1], etag='"two"')]
    assert fetch().path.read_bytes() == DATA[::-1]
    assert "Range" not in server.requests[2]


def test_no_version_and_no_hash_means_no_resuming(fetch, server):
    server.answers = [file(cut=BROKEN, etag=""), file(etag="")]
    assert fetch().path.read_bytes() == DATA
    assert "Range" not in server.requests[1]


def test_a_known_hash_makes_up_for_the_version(fetch, server):
    server.answers = [file(cut=BROKEN, etag=""), file(etag="")]
    found = fetch(sha256=SHA.upper())
    assert not found.trusted and found.path.read_bytes() == DATA
    assert server.requests[1]["Range"] == f"bytes={BROKEN}-" and "If-Range" not in server.requests[1]


def test_killed_between_the_last_byte_and_the_name(fetch, server, cache):
    server.answers = [file()]
    fetch()
    (cache / "weights/net/net.pt").rename(cache / "weights/net/.net.pt.part")
    (cache / "weights/net/.net.pt.part.json").write_text(
        json.dumps({"page": f"{server.url}/net.pt", "etag": '"one"', "modified": ""})
    )
    fetch.shown.clear()
    assert fetch().path.read_bytes() == DATA
    assert fetch.shown == [(len(DATA), len(DATA))]


@pytest.mark.parametrize(
    "begun, size",
    [
        ("", 5000),
        ("no JSON", 5000),
        ('["page"]', 5000),
        ({"page": "https://example.org/other.pt", "etag": '"one"', "modified": ""}, 5000),
        # Of this file, but longer than it is.
        ({"etag": '"one"', "modified": ""}, 2 * len(DATA)),
    ],
)
def test_a_part_of_something_else(fetch, server, cache, begun, size):
    folder = cache / "weights" / "net"
    folder.mkdir(parents=True)
    (folder / ".net.pt.part").write_bytes(b"x" * size)
    if begun:
        text = begun if isinstance(begun, str) else json.dumps({"page": f"{server.url}/net.pt", **begun})
        (folder / ".net.pt.part.json").write_text(text)
    server.answers = [file()]
    assert fetch().path.read_bytes() == DATA
    assert left(cache) == ["net.pt", "net.pt.sha256"]
    assert len(server.requests) == (1 if size < len(DATA) else 2)


def test_without_a_length_but_in_chunks(fetch, server):
    def chunks(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in (DATA[:1000], DATA[1000:]):
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    server.answers = [chunks]
    assert fetch().path.read_bytes() == DATA


# ---- the server says no


def test_wait_and_come_again(fetch, server):
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    server.answers = [status(429, Retry_After="7"), status(503, Retry_After=soon), status(429), file()]
    assert fetch().path.read_bytes() == DATA
    assert fetch.waits[0] == 7 and 25 < fetch.waits[1] <= 30 and fetch.waits[2] == 4


def test_wait_for_ever(fetch, server):
    server.answers = [status(429, Retry_After="5")]
    fetch.refused("too many requests (429)", "5 times in a row", "later", "browser", "net.pt")
    assert fetch.waits == [5] * 4 and len(server.requests) == 5


def test_wait_too_long(fetch, server):
    server.answers = [status(429, Retry_After="7200")]
    fetch.refused("(429)", "in 120 min run the command again")
    assert fetch.waits == []


@pytest.mark.parametrize("answer, words", [
    (status(404), ("has no such file (404)", "browser")),
    (status(410), ("(410)",)),
    (status(403), ("refuses the file (403)", "browser")),
    (status(418), ("(418)",)),
    (page("<html><title>Sign\n in</title></html>"), ("this is a web page, not weights (Sign in)",)),
    (file(b"\n <!DOCTYPE html><title>Quota</title>"), ("this is a web page, not weights (Quota)",)),
    (file(b""), ("the file is empty",)),
    (file(Content_Encoding="gzip"), ("compressed",)),
    (file(length=False), ("does not say how large",)),
    (status(302, Location="file:///etc/passwd"), ("over http", "file:///etc/passwd")),
    (status(302, Location="https://127.0.0.1:9/"), ("over http",)),
    (status(302, Location="/net.pt"), ("redirects",)),
])  # fmt: skip
def test_an_answer_that_is_no_file(fetch, server, cache, answer, words):
    server.answers = [answer]
    fetch.refused(*words)
    assert left(cache) == [] and fetch.waits == []


def test_no_network(fetch, server, cache):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        fetch.refused("no connection to 127.0.0.1", "Connection refused", "check the network", "browser")
    assert fetch.waits == [] and left(cache) == []


@pytest.fixture
def proxied(monkeypatch):
    """Sets a proxy for all addresses, this machine's too."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    return monkeypatch.setenv


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_is_not_there(fetch, proxied, variable, cache):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxied(variable, f"http://me:secret@127.0.0.1:{closed.getsockname()[1]}")
        told = fetch.refused(f"proxy of {variable}", "Connection refused", f"check {variable}", "browser")
    assert "secret" not in told and left(cache) == []


@pytest.mark.parametrize("address", ["htp:/x", "http://", "http://me:secret@proxy:port", "ftp://proxy"])
def test_a_proxy_with_a_malformed_address(fetch, proxied, address):
    proxied("HTTP_PROXY", address)
    told = fetch.refused("the proxy's address in HTTP_PROXY is malformed", "http://proxy:3128")
    assert "secret" not in told


def test_a_proxy_that_is_not_asked_is_not_blamed(fetch, server, monkeypatch):
    server.answers = [status(404)]
    monkeypatch.setenv("HTTP_PROXY", "htp:/x")
    assert "HTTP_PROXY" not in fetch.refused("has no such file (404)")


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_are_not_there(server, monkeypatch, tmp_path, cache, variable):
    monkeypatch.setattr(transfer, "SCHEMES", HTTPS)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "none.pem"))
    address = server.url.replace("http", "https")
    with pytest.raises(
        DownloadError, match=rf"{variable}=.*none\.pem names no file of certificates"
    ) as caught:
        download_published(entry(f"{address}/net.pt"), say=lambda text: None)
    assert "written" not in str(caught.value) and left(cache) == []
    (tmp_path / "none.pem").write_text("no certificate")
    with pytest.raises(DownloadError, match=rf"no connection to .*check the certificates in {variable}"):
        download_published(entry(f"{address}/net.pt"), say=lambda text: None)


def test_users_get_https_and_nothing_else(server, monkeypatch):
    """The server is there, and would answer."""
    monkeypatch.setattr(transfer, "SCHEMES", HTTPS)
    server.answers = [file()]
    with pytest.raises(DownloadError, match="over https"):
        download_published(entry(f"{server.url}/net.pt"), say=lambda text: None)
    assert server.requests == []
    with pytest.raises(DownloadError, match=r"no connection to 127\.0\.0\.1"):
        download_published(entry(server.url.replace("http", "https")), say=lambda text: None)
    with open_session(transfer.Job(entry(), cached_path(entry()))) as session:
        assert list(session.adapters) == ["https://"]


# ---- by name


def test_by_name_in_python_and_on_the_command_line(fetch, server, cache, monkeypatch, capsys):
    server.answers = [file()]
    known = {"net": entry(f"{server.url}/net.pt")}
    for module in (download, weights):
        monkeypatch.setattr(module, "published_weights", lambda: known)
    with pytest.raises(CheckpointError, match=r"`stylegan-swap download net`.*net\.pt"):
        weights.find_weights("net")
    run(monkeypatch, "download", "net")
    said = capsys.readouterr()
    assert said.out == f"{cached_path(entry())}\n"
    assert "licence: MIT; cite: nobody" in said.err and "trusted from now on" in said.err
    assert weights.find_weights("net") == cached_path(entry())
    run(monkeypatch, "download", "net", "landmark_net")
    assert "was there already" in capsys.readouterr().err
    run(monkeypatch, "download", "--list")
    assert "a test [MIT], downloaded" in capsys.readouterr().out
    cached_path(entry()).write_bytes(b"other")
    with pytest.raises(CheckpointError, match=f"sha256 is .*, not {SHA}; delete it and run"):
        weights.find_weights("net")


def run(monkeypatch, *arguments, code=0):
    monkeypatch.setattr(sys, "argv", ["stylegan-swap", *arguments])
    monkeypatch.setattr(cli.warnings, "showwarning", cli.warnings.showwarning)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code or 0) == code


def test_wrong_names_and_wrong_usage(monkeypatch, capsys):
    run(monkeypatch, "download", "psp-ffhq-encod", code=1)
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "no known weights (nearest: psp-ffhq-encode); `stylegan-swap download --list`" in said.err
    run(monkeypatch, "download", code=2)
    run(monkeypatch, "download", "--list", "rafswap", code=2)
